"""Records of single requests: what is kept, what is counted, and that nothing ever waits for a disk."""

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Semaphore, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.exposure import Exposure, Fate, Pair, ShadowAnswer, ShadowFate
from midshift.domain.light import replaced
from midshift.domain.routing import Arm
from midshift.errors import StoreError, UsageError
from midshift.store.recorder import Counts, Limits, SegmentWriter
from midshift.store.segments import Kind, Reading, exposures, pairs, segments
from tests.store import children
from tests.store.children import an_exposure
from tests.store.processes import running

AT_ONCE = Limits(write_ms=0.1, sync_ms=1.0)
ONLY_WHEN_FLUSHED = Limits(write_ms=60_000.0)
A_PAIR = Pair(
    "r-1",
    "support",
    "up-1",
    "c0ffee",
    ("german",),
    ShadowAnswer("Grüße,\nIhr Team \U0001f355", 200, 1.5, 310, 120, 0.003, "stop"),
    ShadowAnswer(None, 503),
)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
any_exposure = st.builds(
    Exposure,
    text,
    text,
    st.integers(0, 2**53),
    st.sampled_from(Fate),
    st.sampled_from(Arm),
    upgrade=st.none() | text,
    propensity=st.floats(0, 1),
    unit=text,
    slices=st.lists(text, max_size=3).map(tuple),
    fell_back=st.booleans(),
    shadow=st.none() | st.sampled_from(ShadowFate),
    latency_s=numbers,
    tokens_in=st.none() | st.integers(0, 2**53),
    finish_reason=st.none() | text,
)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    """Both kinds, each in its own files, in the order in which they were recorded."""
    recorded = [an_exposure(f"r-{number}") for number in range(1000)]
    with SegmentWriter(tmp_path, "g1") as writer:
        for exposure in recorded:
            writer.record(exposure)
        writer.record_pair(A_PAIR)

    assert recorded == list(all_exposures(tmp_path))
    assert [A_PAIR] == [row for one in segments(tmp_path, Kind.PAIRS) for row in pairs(one.path, Reading())]
    assert Counts(written=1001) == writer.counts()


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all examples of a property: one exposure each."""
    return tmp_path_factory.mktemp("records")


@settings(max_examples=25)
@given(exposure=any_exposure)
def test_any_record_is_one_line(shared_folder: Path, exposure: Exposure) -> None:
    """Line breaks in texts and odd characters must not look like an end of a record."""
    before = {one.path for one in segments(shared_folder, Kind.EXPOSURES)}
    with SegmentWriter(shared_folder, "g1", AT_ONCE) as writer:
        writer.record(exposure)

    mine = [one for one in segments(shared_folder, Kind.EXPOSURES) if one.path not in before]
    assert [exposure] == [row for one in mine for row in exposures(one.path, Reading())]
    assert [1] == [one.count() for one in mine]


def test_what_is_flushed_is_in_the_file(tmp_path: Path) -> None:
    """The kernel has it then: nothing that happens to the process can take it away."""
    with SegmentWriter(tmp_path, "g1", ONLY_WHEN_FLUSHED) as writer:
        writer.record(an_exposure("r-0"))
        assert [] == list(all_exposures(tmp_path))
        writer.flush()
        assert ["r-0"] == [row.request_id for row in all_exposures(tmp_path)]
        writer.record(an_exposure("r-1"))
        writer.flush(sync=True)
        assert ["r-0", "r-1"] == [row.request_id for row in all_exposures(tmp_path)]


def test_without_a_flush_it_is_written_soon(tmp_path: Path) -> None:
    """Nobody flushes in the path of a request."""
    looks = Semaphore(0)

    def look_at_clock() -> float:
        looks.release()
        return 0.0

    with SegmentWriter(tmp_path, "g1", AT_ONCE, look_at_clock) as writer:
        looks.acquire()  # when it starts
        writer.record(an_exposure("r-0"))
        looks.acquire()  # after it has written
        assert ["r-0"] == [row.request_id for row in all_exposures(tmp_path)]


def test_a_segment_is_closed_after_its_time_also_when_nothing_more_comes(tmp_path: Path) -> None:
    """Only a closed one can be rid of what is too old."""
    now_s = 0.0
    with SegmentWriter(tmp_path, "g1", replace(ONLY_WHEN_FLUSHED, segment_s=3600.0), lambda: now_s) as writer:
        for at_s in (0.0, 3599.0, 3600.0, 3601.0):
            now_s = at_s
            writer.record(an_exposure(f"r-{at_s:g}"))
            writer.flush()
        found = [
            [row.request_id for row in exposures(one.path, Reading())] for one in segments(tmp_path, Kind.EXPOSURES)
        ]

    assert [["r-0", "r-3599", "r-3600"], ["r-3601"]] == found


def test_many_threads_record_into_one_file(tmp_path: Path) -> None:
    """A line that two threads share would be lost for both."""

    def send(writer: SegmentWriter, name: str) -> None:
        for number in range(500):
            writer.record(an_exposure(f"{name}-{number}"))

    with SegmentWriter(tmp_path, "g1", AT_ONCE) as writer:
        threads = [Thread(target=send, args=(writer, name)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = [row.request_id for row in all_exposures(tmp_path)]
    for name in "abcd":
        assert [f"{name}-{number}" for number in range(500)] == [one for one in found if one.startswith(name)]


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    """Old records are deleted by the file, so files must end."""
    with SegmentWriter(tmp_path, "g1", replace(ONLY_WHEN_FLUSHED, segment_bytes=1000)) as writer:
        for number in range(10):
            writer.record(an_exposure(f"r-{number}"))
            writer.flush()

    found = segments(tmp_path, Kind.EXPOSURES)
    assert list(range(1, len(found) + 1)) == [one.number for one in found]
    assert len(found) > 1
    assert all(one.bytes < 2500 for one in found)
    assert 10 == sum(one.count() for one in found)


def test_two_writers_of_one_name_never_share_a_file(tmp_path: Path) -> None:
    """A gateway that is restarted while the old one still drains."""
    with SegmentWriter(tmp_path, "g1", AT_ONCE) as old, SegmentWriter(tmp_path, "g1", AT_ONCE) as new:
        old.record(an_exposure("old"))
        old.flush()
        new.record(an_exposure("new"))
        new.flush()
        old.record(an_exposure("old"))

    assert [["old", "old"], ["new"]] == [
        [row.request_id for row in exposures(one.path, Reading())] for one in segments(tmp_path, Kind.EXPOSURES)
    ]


def test_many_records_are_written_in_the_memory_of_a_few(tmp_path: Path) -> None:
    """What a busy second takes at once stays with the process, and grows with each second that was busier still."""
    with SegmentWriter(tmp_path, "g1", ONLY_WHEN_FLUSHED) as writer:
        for number in range(5000):
            writer.record(an_exposure(f"r-{number}"))
        tracemalloc.start()
        try:
            writer.flush()
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    written_bytes = sum(one.bytes for one in segments(tmp_path, Kind.EXPOSURES))
    assert 5000 == len(list(all_exposures(tmp_path)))
    assert peak_bytes < written_bytes / 4


def test_a_name_that_is_taken_is_never_written_to(tmp_path: Path) -> None:
    """Another writer may take it in between, or somebody may have put a link there."""
    with SegmentWriter(tmp_path, "g1", AT_ONCE) as writer:
        (tmp_path / Kind.EXPOSURES / "g1-00000001.ndjson").symlink_to(tmp_path / "elsewhere")
        writer.record(an_exposure("r-0"))

    assert [2] == [one.number for one in segments(tmp_path, Kind.EXPOSURES)]
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_is_lost_in_silence_when_the_disk_does_not_keep_up(tmp_path: Path) -> None:
    """Memory is not the place for an outage of hours; what does not fit is counted."""
    with SegmentWriter(tmp_path, "g1", replace(ONLY_WHEN_FLUSHED, waiting=10)) as writer:
        for number in range(13):
            writer.record(an_exposure(f"r-{number}"))
        writer.record_pair(A_PAIR)

    assert [f"r-{number}" for number in range(10)] == [row.request_id for row in all_exposures(tmp_path)]
    assert Counts(written=10, lost=4) == writer.counts()


def test_of_exposures_that_come_together_as_many_are_kept_as_there_is_room_for(tmp_path: Path) -> None:
    """A gateway hands them over by the hundred."""
    with SegmentWriter(tmp_path, "g1", replace(ONLY_WHEN_FLUSHED, waiting=10)) as writer:
        writer.record(*[an_exposure(f"r-{number}") for number in range(6)])
        writer.record(*[an_exposure(f"r-{number}") for number in range(6, 13)])

    assert [f"r-{number}" for number in range(10)] == [row.request_id for row in all_exposures(tmp_path)]
    assert Counts(written=10, lost=3) == writer.counts()


def test_long_texts_take_more_room_than_numbers(tmp_path: Path) -> None:
    """Ten thousand answers of a megabyte are not ten thousand exposures."""
    long = replaced(A_PAIR, incumbent=ShadowAnswer("x" * 20_000, 200))
    with SegmentWriter(tmp_path, "g1", replace(ONLY_WHEN_FLUSHED, waiting=10)) as writer:
        writer.record_pair(long)
        writer.record_pair(A_PAIR)

    assert Counts(written=1, lost=1) == writer.counts()


def test_what_cannot_be_written_is_kept_and_tried_again(tmp_path: Path) -> None:
    """Who flushes hears it; who records goes on, and nothing is lost once the folder is back."""
    with SegmentWriter(tmp_path, "g1", AT_ONCE) as writer:
        (tmp_path / Kind.EXPOSURES).rmdir()
        writer.record(an_exposure("r-0"))
        with pytest.raises(StoreError, match=r"cannot be written to .*kept and tried again"):
            writer.flush()
        writer.record(an_exposure("r-1"))
        (tmp_path / Kind.EXPOSURES).mkdir()
        writer.flush(sync=True)

    assert ["r-0", "r-1"] == [row.request_id for row in all_exposures(tmp_path)]
    assert Counts(written=2) == writer.counts()


def test_closing_says_what_could_not_be_written(tmp_path: Path) -> None:
    """The last chance to notice."""
    writer = SegmentWriter(tmp_path, "g1", ONLY_WHEN_FLUSHED)
    (tmp_path / Kind.EXPOSURES).rmdir()
    writer.record(an_exposure("r-0"))
    with pytest.raises(StoreError, match="cannot be written"):
        writer.close()

    writer.record(an_exposure("r-1"))
    assert Counts(lost=2) == writer.counts()
    writer.close()
    with pytest.raises(StoreError, match="is closed"):
        writer.flush()


def test_a_full_disk_tears_no_line_and_doubles_none(tmp_path: Path) -> None:
    """A write that stops in the middle of a line goes on there when there is room again."""
    with running(children.fill_the_disk, str(tmp_path)) as child:
        assert "they are kept and tried again" in child.hear()
        assert Counts(written=101) == child.hear()
        child.end()

    reading = Reading()
    found = [row.request_id for one in segments(tmp_path, Kind.EXPOSURES) for row in exposures(one.path, reading)]
    assert [f"r-{number}" for number in range(101)] == found
    assert Reading(rows=101) == reading


def test_text_that_is_no_unicode_is_mended_and_counted(tmp_path: Path) -> None:
    """Half a surrogate pair in a header must not cost the record, nor its neighbours."""
    odd = replaced(an_exposure("r-1"), unit="user-\ud83c")
    with SegmentWriter(tmp_path, "g1", ONLY_WHEN_FLUSHED) as writer:
        for exposure in (an_exposure("r-0"), odd, an_exposure("r-2")):
            writer.record(exposure)

    assert [an_exposure("r-0"), replaced(odd, unit="user-?"), an_exposure("r-2")] == list(all_exposures(tmp_path))
    assert Counts(written=3, mended=1) == writer.counts()


def test_a_record_that_is_no_json_costs_only_itself(tmp_path: Path) -> None:
    """A wrong type out of an integration is a bug to be counted, not the end of recording."""
    wrong = replaced(an_exposure("r-1"), slices=(datetime(2026, 1, 1, tzinfo=UTC), object()))
    with SegmentWriter(tmp_path, "g1", ONLY_WHEN_FLUSHED) as writer:
        for exposure in (an_exposure("r-0"), wrong, replaced(wrong, unit="\ud800"), an_exposure("r-2")):
            writer.record(exposure)

    assert ["r-0", "r-2"] == [row.request_id for row in all_exposures(tmp_path)]
    assert Counts(written=2, lost=2) == writer.counts()


@pytest.mark.parametrize("name", ["", "../g1", "a/b", ".hidden", "g 1"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    """It becomes part of a path."""
    with pytest.raises(UsageError, match=r"gateway name: found .*expected letters"):
        SegmentWriter(tmp_path, name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """At the start, where somebody looks, and not with the first request."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot make the folder .*name one that can be written"):
        SegmentWriter(tmp_path / "file", "g1")


def test_recording_loads_no_database() -> None:
    """A gateway records; SQLAlchemy would cost it half a second of start and 30 MB."""
    program = "import sys, midshift.store.recorder; print({'sqlalchemy', 'alembic', 'numpy'} & set(sys.modules))"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "set()" == run.stdout.strip()


def all_exposures(folder: Path) -> Iterator[Exposure]:
    """Every exposure under a folder; none may be unreadable."""
    reading = Reading()
    for one in segments(folder, Kind.EXPOSURES):
        yield from exposures(one.path, reading)
    assert (0, 0) == (reading.torn_bytes, reading.unreadable)
