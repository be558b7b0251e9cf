"""Reading segments: what a crash, or a damaged disk, leaves is cut off or left out, and said."""

from pathlib import Path

from midshift.store.recorder import SegmentWriter
from midshift.store.segments import Kind, Reading, Segment, exposures, segments
from tests.store.children import an_exposure


def test_a_torn_last_line_is_cut_off_and_reported(tmp_path: Path) -> None:
    """A crash in the middle of a write must not become a request without a fate."""
    [segment] = written(tmp_path, 3)
    torn(segment.path, 10)
    reading = Reading()
    found = [row.request_id for row in exposures(segment.path, reading)]

    assert ["r-0", "r-1"] == found
    assert (2, 0) == (reading.rows, reading.unreadable)
    assert segment.bytes // 3 - 10 == reading.torn_bytes
    assert 2 == segment.count()


def test_a_segment_after_a_crash_is_never_continued(tmp_path: Path) -> None:
    """A line behind a torn one would be lost with it."""
    [segment] = written(tmp_path, 3)
    torn(segment.path, 10)
    before = segment.path.read_bytes()
    written(tmp_path, 2)

    assert [1, 2] == [one.number for one in segments(tmp_path, Kind.EXPOSURES)]
    assert before == segment.path.read_bytes()


def test_a_line_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    """After a loss of power a file can hold zeros in its middle; the rest of it is still evidence."""
    [segment] = written(tmp_path, 3)
    lines = segment.path.read_bytes().splitlines(keepends=True)
    segment.path.write_bytes(lines[0] + b"\0" * 100 + b"\n" + b'{"request_id": 3}\n' + b"\xff\n" + lines[2])
    reading = Reading()
    found = [row.request_id for row in exposures(segment.path, reading)]

    assert ["r-0", "r-2"] == found
    assert (2, 3, 0) == (reading.rows, reading.unreadable, reading.torn_bytes)
    assert reading.places[0].startswith(f"{segment.path}:2: ")


def test_segments_are_listed_by_gateway_and_age(tmp_path: Path) -> None:
    """Also after the ten millionth; and what somebody else put there is not ours."""
    folder = tmp_path / Kind.EXPOSURES
    folder.mkdir()
    for name in ("b-00000001", "a-00000010", "a-00000009", "a-b-1-00000002", "notes", "a-x"):
        (folder / f"{name}.ndjson").write_bytes(b"")
    (folder / "a-00000001.parquet").write_bytes(b"")

    found = [(one.gateway, one.number) for one in segments(tmp_path, Kind.EXPOSURES)]
    assert [("a", 9), ("a", 10), ("a-b-1", 2), ("b", 1)] == found
    assert [] == segments(tmp_path, Kind.PAIRS)


def test_an_empty_segment_is_no_error(tmp_path: Path) -> None:
    """A gateway that was killed between making a file and writing to it."""
    path = tmp_path / "empty.ndjson"
    path.write_bytes(b"")
    reading = Reading()

    assert [] == list(exposures(path, reading))
    assert Reading() == reading


def written(folder: Path, rows: int) -> list[Segment]:
    """Segments with this many exposures, by a writer of their own."""
    with SegmentWriter(folder, "g1") as writer:
        for number in range(rows):
            writer.record(an_exposure(f"r-{number}"))
    return segments(folder, Kind.EXPOSURES)


def torn(path: Path, missing: int) -> None:
    """The same file without its last bytes."""
    path.write_bytes(path.read_bytes()[:-missing])


def test_exposures_of_an_earlier_midshift_are_read(tmp_path: Path) -> None:
    """What it did not know is unknown, and not zero."""
    path = tmp_path / "g1-00000001.ndjson"
    path.write_bytes(
        b'{"request_id":"req_1","workload":"support","epoch":7,"fate":"served_by_candidate","assigned":"candidate",'
        b'"upgrade":"up-1","step":2,"propensity":0.25,"unit":"u","block":3,"slices":["german"],"status":200,'
        b'"fell_back":false,"shadow":null,"latency_s":1.25,"first_byte_s":null,"tokens_in":null,"tokens_out":null,'
        b'"cost_usd":0.0031,"finish_reason":null,"streamed":false}\n'
    )
    [found] = exposures(path, Reading())

    assert ("req_1", None, None, None, "") == (
        found.request_id,
        found.at,
        found.cached_in,
        found.usage_unknown,
        found.variant,
    )
