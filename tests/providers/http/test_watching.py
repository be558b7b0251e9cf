"""One timer for all calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from midshift.providers.http.watching import Watch

STEP_S = 0.02


@dataclass(eq=False)
class Limited:
    """Implements `Watched`: over at one time, and looked at no later than at another."""

    at: float
    watch: Watch
    looks: int = 0
    expired_at: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def look_at(self, now: float) -> float:
        self.looks += 1
        return self.at

    def expire(self, now: float) -> None:
        self.expired_at = now
        self.watch.end(self)
        self.over.set()


def begun(watch: Watch, *after_s: float) -> list[Limited]:
    """Calls whose limits are over after so many seconds."""
    now = asyncio.get_running_loop().time()
    calls = [Limited(now + seconds, watch) for seconds in after_s]
    for call in calls:
        watch.begin(call, call.at)
    return calls


async def test_every_limit_is_kept_in_whatever_order_the_calls_begin() -> None:
    """A later call may have less time than an earlier one."""
    patient, *calls = begun(Watch(), 60.0, 2 * STEP_S, STEP_S, 3 * STEP_S)

    for call in calls:
        await call.over.wait()
        assert call.at <= call.expired_at
    assert not patient.expired_at


async def test_a_call_that_ends_in_time_is_not_looked_at() -> None:
    """Nearly all do; their timer is the next call's."""
    watch = Watch()
    first, last = begun(watch, STEP_S, 2 * STEP_S)
    watch.end(first)

    await last.over.wait()
    assert (0, 0.0) == (first.looks, first.expired_at)


async def test_a_call_may_come_to_have_less_time_than_it_had() -> None:
    """Its body was sent slowly; its answer is owed soon."""
    watch = Watch()
    (call,) = begun(watch, 10.0)
    before_at, call.at = call.at, asyncio.get_running_loop().time() + STEP_S
    watch.begin(call, call.at)

    await call.over.wait()
    assert call.at <= call.expired_at < before_at - 5.0


async def test_many_calls_are_looked_at_together() -> None:
    """Limits that end one after the other would otherwise cost as many looks at all calls as there are calls."""
    calls = begun(Watch(), *[STEP_S + number * 1e-5 for number in range(1000)])

    for call in calls:
        await call.over.wait()
    assert max(call.looks for call in calls) < 20


async def test_a_watch_that_is_closed_looks_no_more_until_a_call_begins() -> None:
    """A pool that is closed leaves nothing behind on the loop."""
    watch = Watch()
    (call,) = begun(watch, STEP_S)
    watch.close()
    (other,) = begun(Watch(), 2 * STEP_S)
    await other.over.wait()
    assert 0 == call.looks

    (later,) = begun(watch, STEP_S)
    await later.over.wait()
    assert 0 < call.looks
    assert later.at <= later.expired_at
