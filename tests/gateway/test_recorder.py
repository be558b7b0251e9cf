"""The record on its way out: never in the way, and never lost in silence."""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import Any

import pytest

from midshift.domain.exposure import Exposure, Fate, Pair, ShadowAnswer
from midshift.domain.light import replaced
from midshift.domain.routing import Arm
from midshift.domain.sums import Sums
from midshift.errors import StoreError
from midshift.gateway.recorder import RecordQueue
from midshift.gateway.settings import Queues
from midshift.testing.clock import ManualClock
from tests.gateway.fakes import FakeSink


def an_exposure(number: int = 0, **fields: Any) -> Exposure:
    """A request that the candidate answered."""
    given = {"upgrade": "up-1", "status": 200, "latency_s": 0.5, **fields}
    return Exposure(f"req-{number}", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, **given)


def a_pair(text: str = "text") -> Pair:
    """A pair with these texts."""
    return Pair("req", "support", "up-1", "c", (), ShadowAnswer(text, 200), ShadowAnswer(text, 200))


def a_queue(sink: FakeSink | None, **limits: Any) -> RecordQueue:
    """A queue whose thread is not running: tests hand over by hand."""
    return RecordQueue("gateway-1", Queues(**limits), sink, sink, ManualClock().monotonic_s)


def sums_of(*exposures: Exposure) -> Sums:
    """What these exposures add up to."""
    sums = Sums()
    for exposure in exposures:
        sums.add(exposure)
    return sums


def merged(sink: FakeSink) -> Sums:
    """What a store would have, of each batch once."""
    sums = Sums()
    once = {number: (batch, sink.histograms[at]) for at, (_, number, batch) in enumerate(sink.batches)}
    for batch, histograms in once.values():
        sums.merge(batch, histograms)
    return sums


def test_exposures_pairs_and_sums_are_handed_over() -> None:
    """Sums are numbered from one, under the gateway's name."""
    sink = FakeSink()
    queue = a_queue(sink)
    queue.record(an_exposure(1))
    queue.record_pair(a_pair())

    queue.hand_over()
    queue.hand_over()

    assert ([an_exposure(1)], [a_pair()]) == (sink.exposures, sink.pairs)
    assert [("gateway-1", 1, dict(sums_of(an_exposure(1)).by_key))] == sink.batches


def test_a_restarted_gateway_goes_on_with_its_numbers() -> None:
    """Under an old number, a batch would be taken for one that is merged already, and be lost."""
    sink = FakeSink(last=41)
    queue = a_queue(sink)
    queue.record(an_exposure())

    queue.hand_over()

    assert [42] == [sequence for _, sequence, _ in sink.batches]


def test_two_gateways_of_one_name_lose_no_sums(caplog: pytest.LogCaptureFixture) -> None:
    """The other one has used the number: said aloud, and tried again under the next."""

    class Taken(FakeSink):
        def merge_sums(self, gateway: str, sequence: int, sums: Any, histograms: Any = MappingProxyType({})) -> bool:
            return sequence > 7 and super().merge_sums(gateway, sequence, sums, histograms)

    sink = Taken()
    queue = a_queue(sink)
    queue.record(an_exposure(1))
    queue.hand_over()
    sink.last = 7
    queue.hand_over()

    assert [8] == [sequence for _, sequence, _ in sink.batches]
    assert "two processes share the gateway name" in caplog.text


def test_a_batch_whose_number_is_taken_again_and_again_is_not_lost() -> None:
    """That it was tried before does not make it merged: the number was another process's each time."""

    class Racing(FakeSink):
        def merge_sums(self, gateway: str, sequence: int, sums: Any, histograms: Any = MappingProxyType({})) -> bool:
            self.last = 8 if sequence == 1 else 9
            return sequence > 9 and super().merge_sums(gateway, sequence, sums, histograms)

    sink = Racing()
    queue = a_queue(sink)
    queue.record(an_exposure(1))
    for _ in range(3):
        queue.hand_over()

    assert [10] == [sequence for _, sequence, _ in sink.batches]
    assert sums_of(an_exposure(1)) == merged(sink)


def test_a_batch_whose_fate_is_unknown_is_sent_again_as_it_was() -> None:
    """The store may have merged it before the connection broke: same number, same content, merged once."""

    class Merging(FakeSink):
        def merge_sums(self, gateway: str, sequence: int, sums: Any, histograms: Any = MappingProxyType({})) -> bool:
            super().merge_sums(gateway, sequence, sums, histograms)
            if len(self.batches) == 1:
                raise StoreError("the connection broke after the commit")
            return True

    sink = Merging()
    queue = a_queue(sink)
    queue.record(an_exposure(1))
    queue.hand_over()
    queue.record(an_exposure(2))
    queue.hand_over()
    queue.hand_over()

    assert [1, 1, 2] == [sequence for _, sequence, _ in sink.batches]
    assert sink.batches[0] == sink.batches[1]
    assert sums_of(an_exposure(1), an_exposure(2)) == merged(sink)


def test_sums_wait_for_a_store_that_is_away_and_none_is_lost() -> None:
    """An hour without a store costs no evidence, and memory for one batch."""
    sink = FakeSink(trouble=StoreError("gone"))
    queue = a_queue(sink)
    exposures = [an_exposure(number) for number in range(10)]
    for exposure in exposures:
        queue.record(exposure)
        queue.hand_over()

    sink.trouble = None
    queue.hand_over()
    queue.hand_over()

    assert sums_of(*exposures) == merged(sink)
    assert 0 == queue.lost_sums


def test_exposures_that_find_the_queue_full_are_counted_as_lost_and_still_summed() -> None:
    """A slow disk costs the log, and not the numbers that gates read."""
    sink = FakeSink()
    queue = a_queue(sink, max_exposures=3)
    exposures = [an_exposure(number) for number in range(5)]
    for exposure in exposures:
        queue.record(exposure)

    queue.hand_over()

    assert (exposures[:3], 2) == (sink.exposures, queue.lost_exposures)
    assert sums_of(*exposures) == merged(sink)


def test_of_exposures_that_come_together_as_many_are_taken_as_there_is_room_for() -> None:
    """They come by the turn of the loop, and the queue has its limit by the piece."""
    sink = FakeSink()
    queue = a_queue(sink, max_exposures=3)
    exposures = [an_exposure(number) for number in range(5)]
    queue.record(*exposures[:2])
    queue.record(*exposures[2:])

    queue.hand_over()

    assert (exposures[:3], 2) == (sink.exposures, queue.lost_exposures)
    assert sums_of(*exposures) == merged(sink)


async def test_texts_are_handed_over_as_soon_as_many_wait_and_sums_when_they_are_due() -> None:
    """A whole second of them has left the processor's caches, and to get it back holds up requests."""
    arrived = threading.Event()

    class Seeing(FakeSink):
        def record_pair(self, pair: Pair) -> None:
            super().record_pair(pair)
            if len(self.pairs) == 2:
                arrived.set()

    sink = Seeing()
    queue = a_queue(sink, max_pairs=4, sums_every_s=3600.0)
    queue.start()
    queue.record(an_exposure(0))
    queue.record_pair(a_pair())
    queue.record_pair(a_pair())

    assert arrived.wait(10.0)
    assert [] == sink.batches
    await queue.stop()
    assert sums_of(an_exposure(0)) == merged(sink)


async def test_sums_are_handed_over_when_they_are_due_however_many_texts_come() -> None:
    """A gateway that is never done with its record has the numbers all the same that gates read."""
    clock, arrived = ManualClock(), threading.Event()

    class Flooded(FakeSink):
        def record_pair(self, pair: Pair) -> None:
            super().record_pair(pair)
            clock.advance(0.4)
            if not self.batches:
                queue.record_pair(pair)

        def merge_sums(self, gateway: str, sequence: int, sums: Any, histograms: Any = MappingProxyType({})) -> bool:
            arrived.set()
            return super().merge_sums(gateway, sequence, sums, histograms)

    sink = Flooded()
    queue = RecordQueue("gateway-1", Queues(max_pairs=2, sums_every_s=1.0), sink, sink, clock.monotonic_s)
    queue.record(an_exposure(0))
    queue.start()
    queue.record_pair(a_pair())

    assert arrived.wait(10.0)
    await queue.stop()
    assert sums_of(an_exposure(0)) == merged(sink)


def test_an_exposure_that_cannot_be_summed_costs_the_others_nothing() -> None:
    """A clock that ran backwards, say."""
    sink = FakeSink()
    queue = a_queue(sink)
    good, bad = an_exposure(0), replaced(an_exposure(1), latency_s=-1.0)
    queue.record(bad, good)

    queue.hand_over()

    assert [bad, good] == sink.exposures
    assert sums_of(good) == merged(sink)
    assert 1 == queue.lost_sums


def test_pairs_are_limited_by_number_and_by_size() -> None:
    """They hold whole texts."""
    sink = FakeSink()
    by_number, by_size = a_queue(sink, max_pairs=2), a_queue(sink, max_pair_bytes=30_000)
    for _ in range(5):
        by_number.record_pair(a_pair())
        by_size.record_pair(a_pair("x" * 5000))

    assert (3, 3) == (by_number.lost_pairs, by_size.lost_pairs)
    by_size.hand_over()
    by_size.record_pair(a_pair("x" * 5000))
    assert 3 == by_size.lost_pairs


def test_what_the_sink_refuses_is_counted() -> None:
    """A full disk, say."""
    sink = FakeSink(trouble=OSError("disk full"))
    queue = a_queue(sink)
    queue.record(an_exposure())
    queue.record_pair(a_pair())

    queue.hand_over()

    assert (1, 1) == (queue.lost_exposures, queue.lost_pairs)
    assert 3 == queue.failures


def test_without_a_sink_nothing_is_kept() -> None:
    """A gateway without a store serves all the same."""
    queue = a_queue(None, max_exposures=1)
    for number in range(3):
        queue.record(an_exposure(number))
    queue.hand_over()

    assert 0 == queue.lost_exposures


def test_without_a_sink_everything_is_summed_all_the_same() -> None:
    """Also what finds no room, where nothing but the sums is asked for."""
    sums = FakeSink()
    queue = RecordQueue("gateway-1", Queues(max_exposures=2), None, sums, ManualClock().monotonic_s)
    exposures = [an_exposure(number) for number in range(5)]
    queue.record(*exposures)
    queue.hand_over()

    assert sums_of(*exposures) == merged(sums)
    assert (0, 0) == (queue.lost_exposures, queue.lost_sums)


async def test_a_sink_that_hangs_does_not_hold_up_a_request() -> None:
    """Recording returns at once, whatever the thread behind it is waiting for."""
    go_on, waiting = threading.Event(), threading.Event()

    class Hanging(FakeSink):
        def record(self, *exposures: Exposure) -> None:
            waiting.set()
            go_on.wait()
            super().record(*exposures)

    sink = Hanging()
    queue = a_queue(sink, max_exposures=4, sums_every_s=0.01)
    queue.start()
    queue.record(an_exposure(0))
    waiting.wait()
    for number in range(1, 10):
        queue.record(an_exposure(number))
    assert 5 == queue.lost_exposures

    go_on.set()
    await queue.stop()
    assert (5, 5) == (len(sink.exposures), queue.lost_exposures)


async def test_what_a_sink_that_hangs_holds_at_the_end_is_counted_as_lost() -> None:
    """Whether it will still take them, nobody can tell; what is said to be lost is never less than what is."""
    go_on, waiting = threading.Event(), threading.Event()

    class Hanging(FakeSink):
        def record(self, *exposures: Exposure) -> None:
            waiting.set()
            go_on.wait()

    sink = Hanging()
    queue = a_queue(sink, sums_every_s=0.01)
    queue.record(*map(an_exposure, range(500)))
    queue.start()
    waiting.wait()

    await queue.stop(patience_s=0.0)
    lost = queue.lost_exposures, queue.lost_sums
    go_on.set()
    queue._thread.join(10.0)

    assert (500, 500) == lost
    assert sums_of(*map(an_exposure, range(500))) == merged(sink)  # once, also of those that came behind


async def test_texts_that_come_meanwhile_are_handed_over_without_being_called_for() -> None:
    """The thread has not looked at the call of those that came while it was busy: it looks at what waits."""
    go_on, busy, arrived = threading.Event(), threading.Event(), threading.Event()

    class Slow(FakeSink):
        def record_pair(self, pair: Pair) -> None:
            super().record_pair(pair)
            busy.set()
            go_on.wait(10.0)
            if len(self.pairs) == 4:
                arrived.set()

    queue = a_queue(Slow(), max_pairs=4, sums_every_s=3600.0)
    queue.start()
    for _ in range(2):
        queue.record_pair(a_pair())
    assert busy.wait(10.0)
    for _ in range(2):
        queue.record_pair(a_pair())
    go_on.set()

    assert arrived.wait(10.0)
    await queue.stop()


async def test_stopping_hands_over_what_there_is() -> None:
    """The last second before a deploy counts like any other."""
    sink = FakeSink()
    queue = a_queue(sink, sums_every_s=3600.0)
    queue.start()
    queue.record(an_exposure())
    queue.record_pair(a_pair())

    await queue.stop()

    assert (1, 1, 1) == (len(sink.exposures), len(sink.pairs), len(sink.batches))


async def test_what_cannot_be_handed_over_at_the_end_is_counted() -> None:
    """Requests in sums are counted, not cells."""
    sink = FakeSink(trouble=StoreError("gone"))
    queue = a_queue(sink, sums_every_s=3600.0)
    queue.start()
    for number in range(3):
        queue.record(an_exposure(number, slices=("a", "b")))

    await queue.stop()

    assert (3, 3) == (queue.lost_sums, queue.lost_exposures)
