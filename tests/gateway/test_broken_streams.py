"""A stream that breaks in the midst of it, although its head said 200 and its connection ended in peace.

Nobody can take back what the app has seen; but on the record it is a failure, as it is for whoever reads it unseen.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import pytest

from midshift.domain.routing import Arm
from midshift.gateway.settings import Breaker
from tests.gateway.fakes import Exchange, a_route, a_stage, failing, silent, streaming
from tests.gateway.test_opening import (
    ANTHROPIC,
    CHAT,
    CONTENTS,
    FAILURES,
    GEMINI,
    OPENINGS,
    PATHS,
    RESPONSE,
    RESPONSES,
    UPSTREAM,
    named,
    plain,
    question,
    sending,
)

ENDS = {
    CHAT: (plain(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),),
    RESPONSES: (named("response.completed", response={**RESPONSE, "status": "completed"}),),
    ANTHROPIC: (named("message_delta", delta={"stop_reason": "end_turn"}), named("message_stop")),
    GEMINI: (plain(candidates=[{"finishReason": "STOP"}]),),
}


def begun(wire: str) -> tuple[bytes, ...]:
    """A stream up to its first word, which is what the app is shown."""
    return (*OPENINGS[wire], CONTENTS[wire][0])


def broken(wire: str) -> dict[str, tuple[bytes, ...]]:
    """The ways in which it goes wrong from there without breaking the connection."""
    return {
        "an error": (*begun(wire), FAILURES[wire]),
        "an error, and the words of an end": (*begun(wire), FAILURES[wire], *ENDS[wire]),
        "no end": begun(wire),
        "half an end": (*begun(wire), ENDS[wire][-1][:-9]),
    }


WAYS = list(broken(CHAT))


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_a_stream_that_breaks_in_band_is_a_failure_of_whoever_served_it(
    wire: str, way: str, share: float
) -> None:
    """Its head said 200, and what came is the app's as it came: a gate would have read it as success."""
    sent = broken(wire)[way]
    async with a_stage(streaming(sent), streaming(sent), route=a_route(share), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(question(wire), path=PATHS[wire])

        assert (200, b"".join(sent)) == (answer.status, answer.body)
        assert [(502, True)] == [(exposure.status, exposure.has_failed) for exposure in stage.exposures]


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("way", [*WAYS, "whole"])
async def test_live_and_unseen_the_same_bytes_are_the_same_answer(wire: str, way: str) -> None:
    """Shadow would else forgive, or blame, what the canary does not."""
    sent: Sequence[bytes] = {**broken(wire), "whole": (*begun(wire), *ENDS[wire])}[way]
    route = a_route(0.0, shadow_share=1.0)
    async with a_stage(streaming(sent), streaming(sent), route=route, upstream=UPSTREAM) as stage:
        await stage.app.ask(question(wire), path=PATHS[wire])
        await stage.settled()

        expected = 200 if way == "whole" else 502
        assert [expected] == [exposure.status for exposure in stage.exposures]
        assert [(expected, expected)] == [(pair.incumbent.status, pair.candidate.status) for pair in stage.pairs]


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("way", WAYS)
async def test_streams_that_break_in_band_open_the_breaker(wire: str, way: str) -> None:
    """An overloaded provider often says so in the midst of an answer."""
    rules = Breaker(window=2, share=0.5, pause_s=30.0)
    whole = streaming((*begun(wire), *ENDS[wire]))
    async with a_stage(whole, streaming(broken(wire)[way]), route=a_route(), upstream=UPSTREAM, breaker=rules) as stage:
        for _ in range(3):
            await stage.app.ask(question(wire), path=PATHS[wire])

        assert (2, {("support", "breaker"): 1}) == (len(stage.new.seen), stage.gateway.counters.fell_back)


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_an_app_that_leaves_because_of_an_error_was_driven_away(wire: str, share: float) -> None:
    """Clients raise it and close, often before the provider does: that is no user who pressed stop."""
    script = sending(*begun(wire), FAILURES[wire], then=silent)
    rules = Breaker(window=1, share=0.5, pause_s=30.0)
    async with a_stage(script, script, route=a_route(share), upstream=UPSTREAM, breaker=rules) as stage:
        async with stage.app.sent(question(wire), path=PATHS[wire]) as (reader, _):
            await reader.readuntil(FAILURES[wire])
        await (stage.new if share else stage.old).left.wait()
        await stage.settled()

        assert [502] == [exposure.status for exposure in stage.exposures]
        assert {} == stage.gateway.counters.left
        assert bool(share) is bool(stage.gateway._relay.open_breakers())


async def test_a_stream_in_a_coding_that_nobody_asked_for_is_not_called_broken() -> None:
    """Its end cannot be seen from here, and its app may well read it."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream([("content-encoding", "gzip")])
        await exchange.chunk(gzip.compress(b"".join((*begun(CHAT), *ENDS[CHAT]))))
        await exchange.end_stream()

    async with a_stage(script, route=a_route(share=0.0), upstream=UPSTREAM) as stage:
        assert 200 == (await stage.app.ask(question(CHAT), path=PATHS[CHAT])).status
        assert [(200, None)] == [(exposure.status, exposure.tokens_in) for exposure in stage.exposures]


@pytest.mark.parametrize("wire", PATHS)
async def test_json_where_a_stream_was_asked_for_is_the_apps_as_it_came_and_a_failure(wire: str) -> None:
    """Some servers do not stream. What the app made of it before midshift stood between, it makes of it now."""
    script = failing(200, body=b'{"choices": []}')
    route = a_route(0.0, shadow_share=1.0)
    async with a_stage(script, script, route=route, upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(question(wire), path=PATHS[wire])
        await stage.settled()

        assert (200, b'{"choices": []}') == (answer.status, answer.body)
        assert [502] == [exposure.status for exposure in stage.exposures]
        assert [(502, 502)] == [(pair.incumbent.status, pair.candidate.status) for pair in stage.sink.pairs]


@pytest.mark.parametrize("wire", PATHS)
async def test_a_candidate_that_does_not_stream_is_answered_for(wire: str) -> None:
    """The incumbent streams: nobody has seen anything of the other yet."""
    sent = (*begun(wire), *ENDS[wire])
    script = failing(200, body=b'{"choices": []}')
    async with a_stage(streaming(sent), script, route=a_route(1.0), upstream=UPSTREAM) as stage:
        answer = await stage.app.ask(question(wire), path=PATHS[wire])

        assert (200, b"".join(sent)) == (answer.status, answer.body)
        assert [(Arm.CANDIDATE, True, 200)] == [(one.assigned, one.fell_back, one.status) for one in stage.exposures]
