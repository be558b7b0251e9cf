"""What of the app's headers a provider sees, by the wire that it is asked on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.gateway import headers
from midshift.providers.http.settings import Upstream
from midshift.providers.presets import bundled
from midshift.wire.protocol import WireName
from tests.gateway.fakes import CLAIM, Exchange, a_route, a_stage

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
OPENAI = [(b"openai-organization", b"org-1"), (b"openai-project", b"p-1"), (b"openai-beta", b"x=1")]
ANTHROPICS = [(b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", b"x-2026-01-01")]
GOOGLES = [(b"x-goog-user-project", b"p-1"), (b"x-goog-api-client", b"g/1")]
NEUTRAL = [(b"user-agent", b"app/1"), (b"idempotency-key", b"k"), (b"traceparent", b"00-1")]
ALL = [*OPENAI, *ANTHROPICS, *GOOGLES, *NEUTRAL]


@pytest.mark.parametrize(
    ("wire", "own"), [(CHAT, OPENAI), (RESPONSES, OPENAI), (ANTHROPIC, ANTHROPICS), (GEMINI, GOOGLES)]
)
def test_a_vendors_headers_go_to_that_vendors_wire_alone(wire: WireName, own: list[tuple[bytes, bytes]]) -> None:
    """A beta of one vendor is an error, or another beta, at the next."""
    assert [*own, *NEUTRAL] == headers.on_wire(ALL, wire, is_apps_own=True)


@pytest.mark.parametrize(("wire", "left"), [(CHAT, OPENAI[2:]), (ANTHROPIC, ANTHROPICS), (GEMINI, GOOGLES[1:])])
def test_account_names_go_to_the_apps_own_provider_alone(wire: WireName, left: list[tuple[bytes, bytes]]) -> None:
    """Another provider on the same wire has no such organisation, and need not know that there is one."""
    assert [*left, *NEUTRAL] == headers.on_wire(ALL, wire, is_apps_own=False)


async def messages(exchange: Exchange) -> None:
    """A message as Anthropic has it."""
    content = [{"type": "text", "text": "new"}]
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    await exchange.answer(json.dumps({**answer, "stop_reason": "end_turn", "usage": {}}).encode())


def the_vendors_own() -> dict[str, Any]:
    """What an upstream brings along for Anthropic, by the bundled presets."""
    preset = bundled().find("anthropic")
    assert preset is not None
    lines = tuple((name.encode(), value.encode()) for name, value in preset.wires[ANTHROPIC].headers.items())
    return {"wires": {"anthropic": ""}, "cuts_version": frozenset({"anthropic"}), "headers": {"anthropic": lines}}


async def test_a_request_that_was_translated_names_the_version_and_no_other_vendors_headers() -> None:
    """The API refuses a request without a version, and an app of another wire has none to name."""
    async with a_stage(messages, messages, route=a_route(), upstream=the_vendors_own()) as stage:
        lines = [("openai-beta", "x=1"), ("openai-organization", "o"), ("x-stainless-lang", "python")]
        answer = await stage.app.chat(lines=lines, max_tokens=10)

        seen = stage.new.seen[0].headers
        assert 200 == answer.status
        assert "2023-06-01" == seen["anthropic-version"]
        assert "python" == seen["x-stainless-lang"]
        assert not [name for name in seen if name.startswith("openai-")]


async def test_the_apps_own_version_and_betas_pass() -> None:
    """They say what its client can read."""
    async with a_stage(messages, messages, route=a_route(), upstream=the_vendors_own()) as stage:
        body = {"model": CLAIM, "max_tokens": 10, "messages": [{"role": "user", "content": "Hello."}]}
        named = [("anthropic-version", "2026-10-21"), ("anthropic-beta", "x-2026-01-01")]
        answer = await stage.app.ask(body, named, "/v1/messages")

        assert 200 == answer.status
        assert dict(named).items() <= stage.new.seen[0].headers.items()


@pytest.mark.parametrize("said", [[], [(b"anthropic-version", b"2026-10-21")]])
def test_a_version_is_named_once(said: list[tuple[bytes, bytes]]) -> None:
    """Two would be read as a list, which is none."""
    lines = Upstream("https://api.anthropic.com", **the_vendors_own()).completed("anthropic", said)

    assert 1 == [name for name, _ in lines].count(b"anthropic-version")


async def test_the_apps_organisation_reaches_its_own_provider_and_not_the_candidates() -> None:
    """Both speak one wire; an organisation that a host does not know is a refusal at some of them."""
    lines = [("openai-organization", "org-1"), ("openai-beta", "x=1")]
    async with a_stage(route=a_route(share=0.0)) as stage:
        await stage.app.chat(lines=lines)
        stage.put(a_route(share=1.0, epoch=2))
        await stage.app.chat(lines=lines)

        old, new = stage.old.seen[0].headers, stage.new.seen[0].headers
        assert ("org-1", "x=1") == (old["openai-organization"], old["openai-beta"])
        assert (None, "x=1") == (new.get("openai-organization"), new["openai-beta"])
