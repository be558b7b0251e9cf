"""The vendors' endpoints over real loopback HTTP: documented shapes, and everything that a network can do instead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest

from midshift.domain.retirement import ModelName, Retirement, Source, State
from midshift.providers.http.client import HttpClient
from midshift.providers.lifecycle.answers import Access, SigningKeys
from midshift.providers.lifecycle.radar import Limits, look
from tests.providers.lifecycle.fakes import lists, raw, stub
from tests.providers.lifecycle.test_vendors import ANTHROPIC, BEDROCK, FIREWORKS, MISTRAL, OPENAI, OPENROUTER

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNING = SigningKeys("AKIDEXAMPLE", "secret")
NOVA = "/foundation-models/amazon.nova-pro-v1%3A0"
FALLS_BACK = ModelName("openai", "gpt-old")
PATH = "/v1/models/gpt-old"


def seen(replies: Mapping[str, bytes | None], *models: ModelName, answer_s: float = 5.0) -> list[Retirement]:
    """One look at one server that stands in for all vendors."""

    async def scenario() -> list[Retirement]:
        async with stub(replies) as base, HttpClient({}) as http:
            access = {name.provider: Access(base, "key", "eu-central-1", SIGNING) for name in models}
            return await look(models, http, access, lists(), NOW, Limits(answer_s=answer_s))

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "body", "name", "state", "day"),
    [
        ("/v1/models/gpt-5", OPENAI, "openai/gpt-5", State.DEPRECATED, date(2026, 12, 11)),
        (
            "/v1/models/claude-sonnet-4-5-20250929",
            ANTHROPIC,
            "anthropic/claude-sonnet-4-5-20250929",
            State.DEPRECATED,
            date(2026, 11, 30),
        ),
        ("/v1/models", MISTRAL, "mistral/mistral-medium-2505", State.DEPRECATED, date(2027, 1, 31)),
        (NOVA, BEDROCK, "bedrock/eu.amazon.nova-pro-v1:0", State.DEPRECATED, date(2027, 6, 1)),
        ("/api/v1/models", OPENROUTER, "openrouter/anthropic/claude-sonnet-4.5", State.DEPRECATED, date(2026, 12, 1)),
        (
            "/v1/accounts/fireworks/models/deepseek-v3-0324",
            FIREWORKS,
            "fireworks/accounts/fireworks/models/deepseek-v3-0324",
            State.DEPRECATED,
            date(2027, 2, 3),
        ),
        ("/v1beta/models/gemini-x", {"name": "models/gemini-x"}, "gemini/gemini-x", State.UNKNOWN, None),
    ],
)
def test_a_vendors_answer_is_the_live_word(path: str, body: object, name: str, state: State, day: date | None) -> None:
    found = seen({path: raw("200 OK", body)}, ModelName.parse(name))[0]

    assert (state, day, Source.LIVE_API) == (found.state, found.shuts_down_on, found.source)
    assert (True, 0) == (found.callable, found.age_days(NOW.date()))
    assert found.origin.endswith(path)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (None, "timeout"),
        (b"", "broken"),
        (b"220 mail.example ESMTP\r\n", "broken"),
        (raw("200 OK", {"id": "gpt-old", "shutdown_date": None}, cut=50), "broken"),
        (raw("401 Unauthorized", {"error": {"message": "Incorrect API key"}}), "answered 401, the key was refused"),
        (raw("429 Too Many Requests", {"error": {}}), "answered 429, asked too often"),
        (raw("503 Service Unavailable", b"upstream connect error"), "answered 503, the vendor is in trouble"),
        (raw("302 Found", b""), "answered 302"),
        (raw("200 OK", b"\xff\xfe garbage"), "no JSON"),
        (raw("200 OK", {"id": "gpt-old", "shutdown_date": {"year": 2027}}), "an object, expected a date"),
    ],
)
def test_whatever_the_network_does_the_radar_shows_what_it_fell_back_to(reply: bytes | None, reason: str) -> None:
    """The catalogue's date, its age, and why it is not the vendor's."""
    found = seen({PATH: reply}, FALLS_BACK, answer_s=0.15 if reply is None else 5.0)[0]

    assert (date(2027, 3, 1), Source.CATALOGUE) == (found.shuts_down_on, found.source)
    assert 21 == found.age_days(NOW.date())
    assert reason in found.notes[0]


def test_a_server_that_is_not_there_is_said() -> None:
    async def scenario() -> list[Retirement]:
        async with stub({}) as base:
            pass
        async with HttpClient({}) as http:
            return await look([FALLS_BACK], http, {"openai": Access(base, "key")}, lists(), NOW)

    assert "unreachable" in asyncio.run(scenario())[0].notes[0]


def test_one_vendor_that_hangs_does_not_hide_another() -> None:
    """All of them are asked at the same time, each with its own limit."""
    claude = ModelName("anthropic", "claude-sonnet-4-5-20250929")

    found = seen(
        {PATH: None, f"/v1/models/{claude.model}": raw("200 OK", ANTHROPIC)}, FALLS_BACK, claude, answer_s=0.15
    )

    assert [Source.LIVE_API, Source.CATALOGUE] == [item.source for item in found]


def test_a_signed_question_reaches_bedrock_as_it_was_signed() -> None:
    """The colon of a model's id is one escaped step of the path, on the wire as in the signature."""

    async def scenario() -> list[Retirement]:
        async with stub({NOVA: raw("200 OK", BEDROCK)}) as base, HttpClient({}) as http:
            access = {"bedrock": Access(base, region="eu-central-1", signing=SIGNING)}
            return await look([ModelName("bedrock", "amazon.nova-pro-v1:0")], http, access, lists(), NOW)

    assert date(2027, 6, 1) == asyncio.run(scenario())[0].shuts_down_on
