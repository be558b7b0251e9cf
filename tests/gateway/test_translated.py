"""A provider of another wire: what cannot be told it, and what it says that nobody can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.domain.exposure import Fate
from midshift.domain.unseen import PairKind
from midshift.domain.variant import Prompt, PromptMode, Variant
from tests.gateway.fakes import CLAIM, OLD, Exchange, FakeSource, Script, a_route, a_stage

NEW = Variant("new-provider", "new-model")
ALL, HOME = a_route(share=1.0, candidate=NEW.id), a_route(share=0.0, candidate=NEW.id)
SHADOW = a_route(share=0.0, shadow_share=1.0, candidate=NEW.id)
GENERATE = f"/v1beta/models/{CLAIM}:generateContent"
CONTENTS = [{"role": "user", "parts": [{"text": "Hello"}]}]
HI = [{"role": "user", "content": "Hello"}]
LATIN = b'"caf\xe9"'


def on(wire: str) -> dict[str, Any]:
    return {"wires": {wire: ""}}


def saying(body: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(body)

    return script


UNCARRIED: dict[str, tuple[str, str, str, Any, str]] = {
    "a history that was cut": (
        *("gemini", "openai_chat", GENERATE),
        {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}]}]},
        "contents.0.parts.0",
    ),
    "stops that are none": (
        *("gemini", "openai_chat", GENERATE),
        {"contents": CONTENTS, "generationConfig": {"stopSequences": 5}},
        "generationConfig.stopSequences",
    ),
    "a byte that is no UTF-8": (
        *("openai_chat", "anthropic", "/v1/chat/completions"),
        b'{"model": "old-model", "max_tokens": 9, "messages": [{"role": "user", "content": %b}]}' % LATIN,
        "messages",
    ),
    "such a byte in a tool": (
        *("anthropic", "openai_chat", "/v1/messages"),
        b'{"model": "old-model", "max_tokens": 9, "messages": [], "tools": [{"name": %b}]}' % LATIN,
        "tools",
    ),
    "a number beyond all bounds": (
        *("anthropic", "openai_chat", "/v1/messages"),
        {"model": CLAIM, "max_tokens": 9, "messages": HI, "temperature": 10**400},
        "temperature",
    ),
    "a text for a number": (
        *("openai_chat", "anthropic", "/v1/chat/completions"),
        {"model": CLAIM, "max_tokens": 9, "messages": HI, "temperature": "0.5"},
        "temperature",
    ),
    "a list for a text": (
        *("openai_responses", "openai_chat", "/v1/responses"),
        {"model": CLAIM, "store": False, "input": "Hello", "instructions": ["a"]},
        "instructions",
    ),
}
EVERY = pytest.mark.parametrize(("apps", "providers", "path", "body", "param"), UNCARRIED.values(), ids=UNCARRIED)


@EVERY
async def test_what_the_candidate_cannot_be_told_the_incumbent_is(
    apps: str, providers: str, path: str, body: Any, param: str
) -> None:
    """It is asked on the app's own wire, and knows better than a gateway what is wrong with its own requests."""
    ok = saying(b'{"ok": true}')
    async with a_stage(
        ok, route=ALL, source=FakeSource(OLD, NEW), upstream=on(apps), new_upstream=on(providers)
    ) as stage:
        answer = await stage.app.ask(body, path=path)

        assert (200, {"ok": True}) == (answer.status, answer.json)
        assert (1, []) == (len(stage.old.seen), stage.new.seen)
        found = stage.exposures[-1]
        assert (Fate.INCUMBENT, True) == (found.fate, found.fell_back)
        assert {("support", "uncarried"): 1} == stage.gateway.counters.fell_back


@EVERY
async def test_what_the_incumbent_cannot_be_told_is_a_400_that_names_the_field(
    apps: str, providers: str, path: str, body: Any, param: str
) -> None:
    """It is the app's to mend: a 500 would say that it is ours, and be asked again."""
    async with a_stage(route=HOME, source=FakeSource(OLD, NEW), upstream=on(providers)) as stage:
        answer = await stage.app.ask(body, path=path)

        assert 400 == answer.status
        assert f"'{param}' cannot be carried" in answer.json["error"]["message"]
        assert [] == stage.old.seen


@EVERY
async def test_what_cannot_be_told_unseen_is_skipped(
    apps: str, providers: str, path: str, body: Any, param: str
) -> None:
    """The user's answer is none of the mirror's business."""
    options: dict[str, Any] = {"upstream": on(apps), "new_upstream": on(providers)}
    async with a_stage(saying(b"{}"), route=SHADOW, source=FakeSource(OLD, NEW), **options) as stage:
        answer = await stage.app.ask(body, path=path)
        await stage.settled()

        assert 200 == answer.status
        assert [] == stage.new.seen
        assert {("support", PairKind.SHADOW, "uncarried"): 1} == stage.gateway.counters.not_mirrored


async def test_a_number_may_be_a_text_in_googles_json() -> None:
    """ProtoJSON takes both, and some clients write 64 bits as a text."""
    config = {"maxOutputTokens": "100", "temperature": "0.5", "thinkingConfig": {"thinkingBudget": "0"}}
    options: dict[str, Any] = {"upstream": on("gemini"), "new_upstream": on("openai_chat")}
    async with a_stage(route=ALL, source=FakeSource(OLD, NEW), **options) as stage:
        answer = await stage.app.ask({"contents": CONTENTS, "generationConfig": config}, path=GENERATE)

        assert 200 == answer.status
        expected = {"max_completion_tokens": 100, "temperature": 0.5, "reasoning_effort": "none"}
        assert expected.items() <= stage.new.seen[0].json.items()


def calling(call: object) -> bytes:
    """An answer that only calls."""
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json.dumps({"id": "x", "choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()


NO_CALL = calling({"id": "a", "type": "function"})
ASKED = {"model": CLAIM, "max_tokens": 9, "messages": HI}


async def test_an_answer_of_the_candidate_that_cannot_be_read_is_the_incumbents() -> None:
    """It went to the app as it was: a 200 in the words of another vendor, which its client reads as nothing."""
    options: dict[str, Any] = {"upstream": on("anthropic"), "new_upstream": on("openai_chat")}
    source = FakeSource(OLD, NEW)
    async with a_stage(saying(b'{"ok": true}'), saying(NO_CALL), route=ALL, source=source, **options) as stage:
        answer = await stage.app.ask(ASKED, path="/v1/messages")

        assert (200, {"ok": True}) == (answer.status, answer.json)
        assert {("support", "502"): 1} == stage.gateway.counters.fell_back


@pytest.mark.parametrize("body", [NO_CALL, b"<html>", b'{"choices": [{"message": {"content": "caf\xe9"}}]}'])
async def test_an_answer_of_the_incumbent_that_cannot_be_read_is_a_502_of_the_apps_wire(body: bytes) -> None:
    """Its client raises that, and may ask again."""
    async with a_stage(saying(body), route=HOME, source=FakeSource(OLD, NEW), upstream=on("openai_chat")) as stage:
        answer = await stage.app.ask(ASKED, path="/v1/messages")

        assert (502, "error") == (answer.status, answer.json["type"])
        assert "none that the gateway can read" in answer.json["error"]["message"]
        assert (Fate.INCUMBENT, 502) == (stage.exposures[-1].fate, stage.exposures[-1].status)


async def test_on_its_own_wire_an_answer_passes_whatever_it_is() -> None:
    """It is between the app and its provider there."""
    async with a_stage(saying(NO_CALL), route=HOME, source=FakeSource(OLD, NEW)) as stage:
        assert NO_CALL == (await stage.app.chat()).body


async def test_a_prompt_that_is_not_all_text_is_not_edited() -> None:
    """What the edit makes of it would take the place of a file that holds the rules."""
    edit = Prompt(PromptMode.EDIT, '[{"append": " Be brief."}]')
    candidate = Variant("new-provider", "new-model", edit)
    file = {"role": "developer", "content": [{"type": "input_file", "file_url": "https://a.example/a.pdf"}]}
    asked = {"model": CLAIM, "store": False, "instructions": "RULES", "input": [file, *HI]}
    route = a_route(share=1.0, candidate=candidate.id)
    source = FakeSource(OLD, candidate)
    async with a_stage(saying(b"{}"), route=route, source=source, upstream=on("openai_responses")) as stage:
        await stage.app.ask(asked, path="/v1/responses")

        assert ([asked], []) == ([seen.json for seen in stage.old.seen], stage.new.seen)
