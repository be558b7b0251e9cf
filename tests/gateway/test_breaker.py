"""When a candidate is left alone."""

from __future__ import annotations

import asyncio

import pytest

from midshift.gateway.breaker import BreakerState
from midshift.gateway.settings import Breaker
from tests.gateway.fakes import (
    CLAIM,
    Exchange,
    a_question,
    a_route,
    a_stage,
    completion,
    event,
    failing,
    silent,
)

RULES = Breaker(window=4, share=0.5, pause_s=30.0)


def a_breaker(*tries: bool) -> BreakerState:
    """A breaker after these tries, all at second 0."""
    breaker = BreakerState(RULES)
    for answered in tries:
        breaker.record(number(breaker.allows(0.0)), answered, 0.0)
    return breaker


def number(attempt: int | None) -> int:
    """The number of a try that is allowed."""
    assert attempt is not None
    return attempt


def test_half_of_a_whole_window_opens_it() -> None:
    """Fewer tries than a window say nothing, however they end."""
    assert not a_breaker(False, False, False).is_open
    assert not a_breaker(True, True, True, False).is_open
    assert a_breaker(True, False, True, False).is_open


def test_only_the_last_tries_count() -> None:
    """A bad morning is over."""
    assert not a_breaker(False, True, True, True, True).is_open


def test_open_lets_one_request_through_after_each_pause() -> None:
    """To find out, at the cost of one user's patience."""
    breaker = a_breaker(False, False, False, False)

    allowed = [breaker.allows(at_s) is not None for at_s in (29.9, 30.0, 30.0, 59.9, 60.0)]
    assert [False, True, False, False, True] == allowed


def test_an_answer_closes_it() -> None:
    """And the past does not count again."""
    breaker = a_breaker(False, False, False, False)
    breaker.record(number(breaker.allows(30.0)), True, 31.0)

    breaker.record(number(breaker.allows(31.0)), False, 31.0)

    assert (False, True) == (breaker.is_open, breaker.allows(31.0) is not None)


def test_a_failed_probe_keeps_it_open() -> None:
    """Until the next pause is over."""
    breaker = a_breaker(False, False, False, False)

    breaker.record(number(breaker.allows(30.0)), False, 31.0)

    assert [False, True] == [breaker.allows(at_s) is not None for at_s in (59.9, 60.0)]


def test_what_was_asked_before_the_outage_does_not_end_it() -> None:
    """A long answer that began in good times says nothing about now."""
    breaker = BreakerState(RULES)
    early = number(breaker.allows(0.0))
    for _ in range(4):
        breaker.record(number(breaker.allows(1.0)), False, 1.0)

    breaker.record(early, True, 2.0)

    assert (True, None) == (breaker.is_open, breaker.allows(2.0))


def test_a_probe_may_take_longer_than_a_pause() -> None:
    """Models think for minutes: were each probe overtaken by the next one, none would ever close it."""
    breaker = a_breaker(False, False, False, False)
    first, second = number(breaker.allows(30.0)), number(breaker.allows(60.0))

    breaker.record(first, True, 75.0)
    breaker.record(second, False, 76.0)

    assert (False, 0) == (breaker.is_open, len(breaker._tries))


def test_a_probe_that_could_not_be_asked_is_the_next_requests() -> None:
    """A pool that is full, or a field that cannot be translated, must not cost a pause each."""
    breaker = a_breaker(False, False, False, False)

    breaker.give_back(number(breaker.allows(30.0)), 31.0)

    assert [True, False] == [breaker.allows(at_s) is not None for at_s in (31.0, 31.0)]


SMALL = Breaker(window=4, share=0.5, pause_s=30.0)


async def test_an_answer_that_began_before_the_outage_does_not_bring_the_candidate_back() -> None:
    """A stream of minutes ends in the midst of it, and four users more would wait for a candidate that fails."""
    goes_on = asyncio.Event()
    calls = iter(range(100))

    async def script(exchange: Exchange) -> None:
        if next(calls):
            await exchange.answer(b"{}", 500)
            return
        await exchange.begin_stream()
        await exchange.chunk(event("long"))
        await goes_on.wait()
        await exchange.chunk(event(finish="stop"))
        await exchange.end_stream()

    async with a_stage(new=script, route=a_route(), breaker=SMALL) as stage:
        async with stage.app.asking(a_question("a", stream=True)) as streamed:
            await streamed.chunk()
            for user in "bcde":
                await stage.app.chat(user)
            goes_on.set()
            await streamed.read()
        await stage.app.chat("f")

        assert (5, {("support", "500"): 4, ("support", "breaker"): 1}) == (
            len(stage.new.seen),
            stage.gateway.counters.fell_back,
        )


@pytest.mark.parametrize(("status", "asked"), [(500, 4), (429, 4), (400, 10)])
async def test_a_failure_is_heard_also_where_the_app_does_not_wait_for_the_incumbent(status: int, asked: int) -> None:
    """Apps that are out of patience leave; but of a 400 nobody knows whose fault it was before the incumbent says."""
    async with a_stage(old=silent, new=failing(status), route=a_route(), breaker=SMALL) as stage:
        for _ in range(10):
            stage.old.asked.clear()
            async with stage.app.sent(a_question()):
                await stage.old.asked.wait()
            await stage.settled()

        assert asked == len(stage.new.seen)


async def test_too_few_connections_of_our_own_do_not_open_it() -> None:
    """They say nothing about the candidate. On the record it counts against it: at this size it could not serve."""
    goes_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await goes_on.wait()
        await exchange.answer(completion("new"))

    upstream = {"max_connections": 1, "max_waiting": 0}
    async with a_stage(new=script, route=a_route(), upstream=upstream, breaker=SMALL) as stage:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(stage.app.chat())
            await stage.new.asked.wait()
            for _ in range(5):
                await stage.app.chat()
            goes_on.set()

        assert "new" == first.result().text
        assert {("support", "busy"): 5} == stage.gateway.counters.fell_back
        assert 5 == sum(exposure.has_failed for exposure in stage.exposures)


COUNT = "/v1/responses/input_tokens"
COUNTED = {"model": CLAIM, "input": "Hello", "user": "u"}


async def counting(exchange: Exchange) -> None:
    """A count of tokens."""
    await exchange.answer(b'{"object":"response.input_tokens","input_tokens":5}')


async def test_a_count_of_tokens_waits_for_a_candidate_no_longer_than_an_answer() -> None:
    """Its app holds a request of its own up for it."""
    upstream = {"wires": {"openai_responses": ""}}
    async with a_stage(counting, silent, route=a_route(), upstream=upstream, candidate_patience_s=0.3) as stage:
        async with asyncio.timeout(5.0):
            answer = await stage.app.ask(COUNTED, path=COUNT)

        assert (200, 5, 1) == (answer.status, answer.json["input_tokens"], len(stage.new.seen))


async def test_a_candidate_that_is_left_alone_is_not_asked_for_a_count() -> None:
    """Nor is a count the probe: it is no answer, so it can bring nobody back."""
    calls = iter(range(100))

    async def script(exchange: Exchange) -> None:
        if next(calls) < 4:
            await exchange.answer(b"{}", 500)
        else:
            await counting(exchange)

    upstream = {"wires": {"openai_responses": ""}}
    async with a_stage(counting, script, route=a_route(), upstream=upstream, breaker=SMALL) as stage:
        for _ in range(4):
            await stage.app.ask({"model": CLAIM, "input": "Hello", "user": "u"}, path="/v1/responses")
        stage.clock.advance(31.0)
        answer = await stage.app.ask(COUNTED, path=COUNT)

        assert (200, 4) == (answer.status, len(stage.new.seen))
