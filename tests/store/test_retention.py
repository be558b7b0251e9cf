"""What goes and when: texts after `keep`, numbers after 90 days, and all of a unit when it is to be erased."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from midshift.domain.capture import NUMBERS_KEEP, FeedbackRecord
from midshift.domain.exposure import Pair
from midshift.domain.light import replaced
from midshift.domain.workload import Capture
from midshift.store.recorder import SegmentWriter
from midshift.store.retention import Janitor, Rules, erase
from midshift.store.segments import Kind, Reading, exposures, feedback, pairs, requests, segments
from midshift.testing.clock import ManualClock
from tests.store.children import an_exposure
from tests.store.test_capturing import KEY, a_pair, a_request

DAY_S = 86_400.0
KEEP = Capture(1.0, timedelta(days=14))


def a_janitor(folder: Path, clock: ManualClock, **captures: Capture) -> Janitor:
    """One whose thread is not running: tests sweep by hand."""
    return Janitor(folder, Rules(captures or {"support": KEEP}, KEY), clock.machine_now)


def write(folder: Path, clock: ManualClock, number: int = 1, **fields: Any) -> None:
    """One record of each kind, now, in segments that are closed."""
    with writer(folder, clock, number, **fields):
        pass


def writer(
    folder: Path, clock: ManualClock, number: int = 1, unit: str = "u-1", workload: str = "support"
) -> SegmentWriter:
    """The same, with segments that still grow."""
    made, at, name = SegmentWriter(folder, "g1"), clock.machine_now(), f"r-{number}"
    made.record(replaced(an_exposure(name), unit=unit, workload=workload, at=at))
    made.record_pair(replaced(a_pair(name), unit=unit, workload=workload, at=at))
    made.record_request(replaced(a_request(name), unit=unit, workload=workload, at=at))
    made.record_feedback(FeedbackRecord(name, workload, at, 1.0, None, "Good."))
    made.flush()
    return made


def there(folder: Path) -> dict[Kind, list[str]]:
    """The ids that are left, by kind."""
    reading = Reading()

    def ids(kind: Kind) -> list[str]:
        match kind:
            case Kind.EXPOSURES:
                return [row.request_id for one in segments(folder, kind) for row in exposures(one.path, reading)]
            case Kind.PAIRS:
                return [row.request_id for one in segments(folder, kind) for row in pairs(one.path, reading)]
            case Kind.REQUESTS:
                return [row.id for one in segments(folder, kind) for row in requests(one.path, reading)]
            case Kind.FEEDBACK:
                return [row.request_id for one in segments(folder, kind) for row in feedback(one.path, reading)]

    found = {kind: ids(kind) for kind in Kind}
    assert (0, 0) == (reading.unreadable, reading.torn_bytes)
    return found


def texts(folder: Path) -> list[str | None]:
    """The texts of pairs that are left."""
    return [row.incumbent.text for one in segments(folder, Kind.PAIRS) for row in pairs(one.path, Reading())]


def peak_bytes_of(work: Callable[[], object]) -> int:
    """The most that was held while it ran, beyond what was there."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_texts_go_after_their_time_and_numbers_stay(tmp_path: Path) -> None:
    """To the second; what drift asks for is measured before its text goes."""
    clock = ManualClock()
    write(tmp_path, clock)
    janitor = a_janitor(tmp_path, clock)
    clock.advance(14 * DAY_S - 1)
    janitor.sweep()
    assert ["Dear Ada,\nwrite to ada@example.com."] == texts(tmp_path)

    clock.advance(1)
    done = janitor.sweep()

    assert {Kind.REQUESTS: 1} == done.removed
    assert {Kind.PAIRS: 1, Kind.FEEDBACK: 1} == done.stripped
    assert [None] == texts(tmp_path)
    [pair] = pairs(segments(tmp_path, Kind.PAIRS)[0].path, Reading())
    assert pair.incumbent.features is not None
    assert (["r-1"], []) == (there(tmp_path)[Kind.EXPOSURES], there(tmp_path)[Kind.REQUESTS])


def test_numbers_go_after_ninety_days(tmp_path: Path) -> None:
    """And the files with the last of them."""
    clock = ManualClock()
    write(tmp_path, clock)
    clock.advance(NUMBERS_KEEP.total_seconds())
    a_janitor(tmp_path, clock).sweep()

    assert [] == [one for kind in Kind for one in segments(tmp_path, kind)]


def test_each_workload_has_its_own_time(tmp_path: Path) -> None:
    """They share a file: one's promise is not the other's."""
    clock = ManualClock()
    with writer(tmp_path, clock, 1, workload="short") as made:
        made.record_request(replaced(a_request("r-2"), workload="long", at=clock.machine_now()))
    clock.advance(2 * DAY_S)
    a_janitor(tmp_path, clock, short=Capture(1.0, timedelta(days=1)), long=Capture(1.0, timedelta(days=9))).sweep()

    assert ["r-2"] == there(tmp_path)[Kind.REQUESTS]


def test_whoever_says_nothing_any_more_keeps_nothing(tmp_path: Path) -> None:
    """A workload that is gone from the files, and one whose `capture` was taken out."""
    clock = ManualClock()
    write(tmp_path, clock, 1)
    write(tmp_path, clock, 2, workload="gone")
    a_janitor(tmp_path, clock, support=Capture()).sweep()

    assert [] == there(tmp_path)[Kind.REQUESTS]
    assert [None, None] == texts(tmp_path)


def test_a_segment_that_grows_is_left_alone(tmp_path: Path) -> None:
    """Replacing it would lose what is written to it meanwhile."""
    clock = ManualClock()
    with writer(tmp_path, clock) as made:
        clock.advance(20 * DAY_S)
        done = a_janitor(tmp_path, clock).sweep()
        assert 4 == done.growing
        made.record(an_exposure("r-2"))
    assert ["r-1", "r-2"] == there(tmp_path)[Kind.EXPOSURES]

    a_janitor(tmp_path, clock).sweep()
    assert [] == there(tmp_path)[Kind.REQUESTS]


def test_records_of_an_earlier_midshift_are_as_old_as_their_file(tmp_path: Path) -> None:
    """Its pairs were kept whole, without a time and for ever."""
    clock = ManualClock()
    with SegmentWriter(tmp_path, "g1") as made:
        made.record_pair(replaced(a_pair(), at=None))
    a_janitor(tmp_path, ManualClock(clock.machine_now() + timedelta(days=10_000)), support=KEEP).sweep()

    assert [] == segments(tmp_path, Kind.PAIRS)


def test_a_segment_is_not_read_again_before_something_is_due(tmp_path: Path) -> None:
    """Ninety days of records every five minutes would keep a disk busy."""
    clock = ManualClock()
    write(tmp_path, clock)
    janitor = a_janitor(tmp_path, clock)
    janitor.sweep()
    for one in [one for kind in Kind for one in segments(tmp_path, kind)]:
        one.path.write_bytes(b"x" * one.bytes)  # would be counted if it were read

    assert 0 == janitor.sweep().unreadable
    clock.advance(14 * DAY_S)
    assert 0 < janitor.sweep().unreadable


def test_a_segment_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """The janitor lives in a gateway, a segment is 64 MB, and what a process took once it keeps."""
    clock = ManualClock()
    with SegmentWriter(tmp_path, "g1") as made:
        for number in range(1200):
            clock.advance(1.0)
            made.record(replaced(an_exposure(f"r-{number}"), at=clock.machine_now()))
    janitor, (segment,) = a_janitor(tmp_path, clock), segments(tmp_path, Kind.EXPOSURES)

    unchanged_bytes = peak_bytes_of(janitor.sweep)
    clock.advance(NUMBERS_KEEP.total_seconds() - 600.0)
    rewritten_bytes = peak_bytes_of(janitor.sweep)

    assert 600 == len(there(tmp_path)[Kind.EXPOSURES])
    assert max(unchanged_bytes, rewritten_bytes) < segment.bytes / 4


def test_two_janitors_take_turns(tmp_path: Path) -> None:
    """Several gateways share a folder: one that finds it taken does nothing this time."""
    clock = ManualClock()
    write(tmp_path, clock)
    clock.advance(14 * DAY_S)
    first, second = a_janitor(tmp_path, clock), a_janitor(tmp_path, clock)

    assert [1, 0] == [janitor.sweep().removed.get(Kind.REQUESTS, 0) for janitor in (first, second)]


def test_the_thread_ends_with_its_block(tmp_path: Path) -> None:
    """And has swept once by then or not at all; nothing waits for its pause."""
    with a_janitor(tmp_path, ManualClock()):
        begun = [thread for thread in threading.enumerate() if thread.name == "midshift-janitor"]

    assert [False] == [thread.is_alive() for thread in begun]


def test_a_unit_is_erased_from_every_kind_of_record(tmp_path: Path) -> None:
    """And nobody else, nor the same unit in another workload: it was asked for there or not at all."""
    clock = ManualClock()
    write(tmp_path, clock, 1, unit="u-1")
    write(tmp_path, clock, 2, unit="u-2")
    write(tmp_path, clock, 3, unit="u-1", workload="other")
    done = erase(tmp_path, "support", "u-1", clock.machine_now())

    assert dict.fromkeys(Kind, 1) == done.removed
    assert dict.fromkeys(Kind, ["r-2", "r-3"]) == there(tmp_path)
    assert {} == erase(tmp_path, "support", "u-1", clock.machine_now()).removed


def test_what_still_grows_is_erased_when_it_is_closed(tmp_path: Path) -> None:
    """By the gateways, which find the order; and what the unit does later is new."""
    clock = ManualClock()
    with writer(tmp_path, clock, 1, unit="u-1") as made:
        clock.advance(10.0)
        done = erase(tmp_path, "support", "u-1", clock.machine_now())
        assert (4, {}) == (done.growing, done.removed)
        clock.advance(1.0)
        made.record(replaced(an_exposure("r-later"), unit="u-1", at=clock.machine_now()))
    janitor = a_janitor(tmp_path, clock)
    janitor.sweep()

    assert {Kind.EXPOSURES: ["r-later"], Kind.PAIRS: [], Kind.REQUESTS: [], Kind.FEEDBACK: []} == there(tmp_path)


def test_a_rewritten_segment_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """It is made beside the old one, for its owner alone, and takes its place at once."""
    clock = ManualClock()
    write(tmp_path, clock, 1, unit="u-1")
    [segment] = segments(tmp_path, Kind.PAIRS)
    before = segment.path.stat()
    clock.advance(14 * DAY_S)
    a_janitor(tmp_path, clock).sweep()
    after = segment.path.stat()

    assert before.st_ino != after.st_ino
    assert (before.st_mtime, 0o600) == (after.st_mtime, after.st_mode & 0o777)
    assert [segment.path.name] == [path.name for path in segment.path.parent.iterdir()]
    assert all(isinstance(row, Pair) for row in pairs(segment.path, Reading()))
