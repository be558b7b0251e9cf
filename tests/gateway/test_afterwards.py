"""What a request leaves behind is recorded behind the turn of the loop in which it ended, once."""

from __future__ import annotations

import asyncio

from midshift.domain.light import replaced
from midshift.gateway.afterwards import Afterwards
from midshift.gateway.recorder import RecordQueue
from midshift.gateway.settings import Queues
from midshift.testing.clock import ManualClock
from tests.gateway.fakes import FakeSink, priced_apart
from tests.gateway.test_exposing import NOON, a_job, an_outcome


async def test_what_ended_is_recorded_once_also_where_somebody_asks_for_it_within_the_turn() -> None:
    """As a rehearsal does before its controller looks: the last request of an hour belongs to that hour."""
    sink, clock = FakeSink(), ManualClock(NOON)
    queue = RecordQueue("g", Queues(), sink, None, clock.monotonic_s)
    afterwards = Afterwards(queue, clock, priced_apart, "book-1")
    for _ in range(2):
        afterwards.ended(a_job(), an_outcome(), None)
    queue.hand_over()
    assert [] == sink.exposures

    afterwards.record()
    queue.hand_over()
    assert 2 == len(sink.exposures)
    await asyncio.sleep(0)
    queue.hand_over()
    assert 2 == len(sink.exposures)


async def test_one_that_cannot_be_recorded_costs_the_others_of_its_turn_nothing() -> None:
    """Whatever is wrong with it."""
    sink, clock = FakeSink(), ManualClock(NOON)
    queue = RecordQueue("g", Queues(), sink, None, clock.monotonic_s)
    afterwards = Afterwards(queue, clock, priced_apart, "book-1")
    afterwards.ended(a_job(), replaced(an_outcome(), answer=None), None)
    afterwards.ended(a_job(), an_outcome(), None)
    await asyncio.sleep(0)
    queue.hand_over()

    assert 1 == len(sink.exposures)
