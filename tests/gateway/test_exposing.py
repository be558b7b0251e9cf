"""From what came of a request to its exposure: nothing of it may be forgotten on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from msgspec import NODEFAULT
from msgspec.structs import fields

from midshift.domain.exposure import Exposure, Fate, ShadowFate
from midshift.domain.light import replaced
from midshift.domain.routing import Arm, Route
from midshift.domain.usage import Usage
from midshift.domain.variant import Variant
from midshift.gateway.exposing import exposure_of
from midshift.gateway.job import Job, Outcome
from midshift.gateway.reading import Said
from midshift.gateway.route import ServedVariant, Serving
from midshift.wire.protocol import Answer, WireName
from midshift.wire.wires import WIRES
from tests.gateway.fakes import a_workload

BY = ServedVariant.of(Variant("one", "old"))
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
USAGE = Usage(100, 60, 40, 20, 5, 30, 10, 2, 4, 1, "flex")
ROUTE = Route("support", BY.id, 7, "c0ffee", 0.25, upgrade="up-1", step=2)


def a_job() -> Job:
    """A request with something to say about everything."""
    body = b'{"model": "m", "messages": [], "stream": true}'
    return Job(
        id="req-1",
        workload=a_workload(),
        wire=WireName.OPENAI_CHAT,
        path="/v1/chat/completions",
        query="",
        request=WIRES[WireName.OPENAI_CHAT].read_request(body, "/v1/chat/completions", ""),
        said=Said([], b"", frozenset(), frozenset()),
        serving=Serving(ROUTE, BY),
        assigned=Arm.CANDIDATE,
        unit="ada",
        block=3,
        slices=("german",),
        came_at=NOON,
        started_s=1.0,
        chosen=Arm.INCUMBENT,
        ring="staff",
        unnamed=True,
    )


def an_outcome() -> Outcome:
    """An answer that came late, from the other one, to an app that had gone."""
    answer = Answer(USAGE, "stop", "Hello.", "old-0125")
    return Outcome(
        fate=Fate.INCUMBENT,
        status=200,
        by=BY,
        fell_back="500",
        left=True,
        is_answered=True,
        first_byte_s=0.5,
        latency_s=2.0,
        answer=answer,
    )


def test_an_exposure_says_everything_that_is_known() -> None:
    """A field that nobody fills in looks like one that was unknown."""
    expected = Exposure(
        request_id="req-1",
        workload="support",
        epoch=7,
        fate=Fate.INCUMBENT,
        assigned=Arm.CANDIDATE,
        upgrade="up-1",
        step=2,
        propensity=1.0,
        unit="ada",
        block=3,
        slices=("german",),
        status=499,
        fell_back=True,
        shadow=ShadowFate.PAIRED,
        latency_s=2.0,
        first_byte_s=0.5,
        tokens_in=100,
        tokens_out=60,
        cost_usd=0.01,
        finish_reason="stop",
        streamed=True,
        ring="staff",
        unnamed=True,
        stayed=True,
        at=NOON,
        variant=BY.id,
        model="old-0125",
        wire="openai_chat",
        fell_back_reason="500",
        cached_in=40,
        cache_write_in=20,
        cache_write_long_in=5,
        reasoning_out=30,
        audio_in=10,
        cached_audio_in=2,
        audio_out=4,
        searches=1,
        service_tier="flex",
        price_book="book-1",
        usage_unknown=False,
    )

    assert expected == exposure_of(a_job(), an_outcome(), ShadowFate.PAIRED, 0.01, "book-1", NOON)
    assert all(one.default is NODEFAULT or getattr(expected, one.name) != one.default for one in fields(expected))


def test_a_refusal_counts_against_no_upgrade() -> None:
    """No variant was asked."""
    outcome = replaced(an_outcome(), fate=Fate.REFUSED, by=None)
    found = exposure_of(a_job(), outcome, None, None, "book-1", NOON)

    assert (None, "", None) == (found.upgrade, found.variant, found.price_book)


@pytest.mark.parametrize(("billed_usd", "expected"), [(None, "book-1"), (0.01, None)])
def test_what_the_provider_billed_is_of_no_price_book(billed_usd: float | None, expected: str | None) -> None:
    """Whoever checks a bill asks for the prices that made it."""
    answer = Answer(replaced(USAGE, cost_usd=billed_usd))
    found = exposure_of(a_job(), replaced(an_outcome(), answer=answer), None, 0.01, "book-1", NOON)

    assert expected == found.price_book


def test_a_stream_is_read_once_for_its_pair_and_its_texts() -> None:
    """It has an event for each few letters."""
    events = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("Hello", ", Ada.")]
    outcome = an_outcome()
    outcome.body = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"
    said = outcome.said(streamed=True)

    assert said is not None
    assert "Hello, Ada." == said.text
    assert said is outcome.said(streamed=True)
