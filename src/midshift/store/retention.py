"""When records of single requests go: texts as the `capture` of their workload says, the rest after `NUMBERS_KEEP`.

Contract. A segment that is closed is replaced as a whole by one with less in it, or removed when nothing is left; one
that still grows is left alone, which its writer's lock says, and is closed within an hour. A text goes within minutes
after its time. What nothing is said about (a workload that is no longer defined) is kept without its texts. Any number
of processes may clean up one folder; they take turns. An order to erase a unit is kept for as long as a segment may
hold something from before it, so that what still grows is cleaned when it is closed.
Elsewhere: what is kept in the first place (capturing), the sums, which hold nobody's records (sql).
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from midshift.domain.capture import NUMBERS_KEEP, CapturedRequest, FeedbackRecord
from midshift.domain.exposure import Pair
from midshift.domain.workload import Capture
from midshift.store.capturing import without_texts
from midshift.store.segments import TYPES, Kind, Reading, Record, Segment, exposures, segments

LOG = logging.getLogger(__name__)

EVERY_S = 300.0
ORDERS_KEEP = timedelta(days=2)
"""How long an order to erase stands: far longer than a segment grows."""

_ORDERS = "erased.ndjson"
_LOCK = ".cleaning"
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """How long texts are kept, by workload; `key` makes the digests of lines whose text goes."""

    captures: Mapping[str, Capture]
    key: bytes = field(repr=False)

    def left_of(self, row: Record, at: datetime, now: datetime) -> Record | None:
        """What may be kept of a row that was written at `at`; None for nothing."""
        numbers_expired, texts_expired = at + NUMBERS_KEEP <= now, at + self._keep(row.workload) <= now
        match row:
            case CapturedRequest():
                return None if texts_expired else row
            case _ if numbers_expired:
                return None
            case Pair() if texts_expired and _has_texts(row):
                return without_texts(row, self.key)
            case FeedbackRecord() if texts_expired and (row.comment is not None or row.ticket is not None):
                return replace(row, comment=None, ticket=None)
        return row

    def next_at(self, row: Record, at: datetime, now: datetime) -> datetime:
        """When less may be kept of it than now."""
        times = (at + self._keep(row.workload), at + NUMBERS_KEEP)
        return min((time for time in times if time > now), default=_NEVER)

    def _keep(self, workload: str) -> timedelta:
        capture = self.captures.get(workload, Capture())
        return capture.keep if capture.share > 0.0 else timedelta()


class Order(msgspec.Struct, frozen=True):
    """Erase a unit of a workload: everything up to `at`, and the feedback on `requests`."""

    workload: str
    unit: str
    at: datetime
    requests: tuple[str, ...] = ()

    def names(self, row: Record, at: datetime) -> bool:
        """Whether a row is one of those."""
        if row.workload != self.workload or at > self.at:
            return False
        if isinstance(row, FeedbackRecord):
            return row.request_id in self.requests
        return row.unit == self.unit


@dataclass(slots=True)
class Cleaned:
    """What became of the folder: rows by kind that went or lost their texts; `growing` segments were left alone."""

    removed: dict[Kind, int] = field(default_factory=dict)
    stripped: dict[Kind, int] = field(default_factory=dict)
    growing: int = 0
    unreadable: int = 0


def erase(folder: Path, workload: str, unit: str, now: datetime) -> Cleaned:
    """Remove all records of a unit, and leave an order for the segments that still grow.

    Raises:
        OSError: if the folder cannot be written; what was removed until then stays removed.
    """
    done = Cleaned()
    with _taking_turns(folder, waits=True):
        found = _requests_of(folder, workload, unit)
        order = Order(workload, unit, now, found)
        standing = [order, *(one for one in _orders(folder) if one.at + ORDERS_KEEP > now)]
        _replace(folder / _ORDERS, (msgspec.json.encode(one) + b"\n" for one in standing), None)
        for segment in _all(folder):
            _rewrite(segment, lambda row, at: None if order.names(row, at) else row, done)
    return done


class Janitor:
    """Cleans a folder up now and then, on a thread of its own, as long as the block lasts.

    It first looks after `begins_after_s`: the first look reads every record, and who has just begun to serve is busy.
    """

    def __init__(
        self,
        folder: Path,
        rules: Rules,
        machine_now: Callable[[], datetime],
        every_s: float = EVERY_S,
        begins_after_s: float = 0.0,
    ) -> None:
        self._folder = folder
        self._rules = rules
        self._machine_now = machine_now
        self._every_s = every_s
        self._begins_after_s = begins_after_s
        self._due: dict[tuple[Path, int], datetime] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="midshift-janitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> Cleaned:
        """Look at every segment of which less may be kept than when it was looked at before."""
        done, now = Cleaned(), self._machine_now()
        with _taking_turns(self._folder, waits=False) as is_ours:
            orders = [one for one in _orders(self._folder) if one.at + ORDERS_KEEP > now] if is_ours else []
            for segment in _all(self._folder) if is_ours else ():
                if orders or self._due.get((segment.path, segment.bytes), now) <= now:
                    self._clean(segment, orders, now, done)
        return done

    def _clean(self, segment: Segment, orders: list[Order], now: datetime, done: Cleaned) -> None:
        due = _NEVER

        def left(row: Record, at: datetime) -> Record | None:
            nonlocal due
            if any(order.names(row, at) for order in orders):
                return None
            kept = self._rules.left_of(row, at, now)
            if kept is not None:
                due = min(due, self._rules.next_at(kept, at, now))
            return kept

        if _rewrite(segment, left, done) and segment.path.exists():
            self._due[segment.path, segment.path.stat().st_size] = due

    def _run(self) -> None:
        self._stopping.wait(self._begins_after_s)
        while not self._stopping.is_set():
            try:
                self.sweep()
            except Exception as error:
                LOG.error("records cannot be cleaned up; tried again later: %s", error, exc_info=error)
            self._stopping.wait(self._every_s)


def _rewrite(segment: Segment, left: Callable[[Record, datetime], Record | None], done: Cleaned) -> bool:
    """Replace a closed segment by what is left of it; False if it still grows, or is gone.

    Line by line, and twice where something goes: a segment is 64 MB, and a gateway that ever held one in memory keeps
    what it took.
    """
    try:
        with segment.path.open("rb") as file:
            if not _is_closed(file.fileno()):
                done.growing += 1
                return False
            written = os.fstat(file.fileno())
            written_at = datetime.fromtimestamp(written.st_mtime, UTC)
            if all(kept is line for line, kept in _left_of(segment.kind, file, written_at, left, Cleaned())):
                return True
            file.seek(0)
            lines = (kept for _, kept in _left_of(segment.kind, file, written_at, left, done) if kept is not None)
            first = next(lines, None)
            if first is None:
                segment.path.unlink()
            else:
                _replace(segment.path, chain((first,), lines), (written.st_atime, written.st_mtime))
    except FileNotFoundError:
        return False
    return True


def _left_of(
    kind: Kind,
    lines: Iterable[bytes],
    written_at: datetime,
    left: Callable[[Record, datetime], Record | None],
    done: Cleaned,
) -> Iterator[tuple[bytes, bytes | None]]:
    """Each line with what stays of it: itself, less, or None. One that cannot be read might hold anything: it goes."""
    for line in lines:
        try:
            row: Record = msgspec.json.decode(line, type=TYPES[kind])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            done.unreadable += 1
            yield line, None
            continue
        stays = left(row, row.at or written_at)
        if stays is row:
            yield line, line
            continue
        counts = done.removed if stays is None else done.stripped
        counts[kind] = counts.get(kind, 0) + 1
        yield line, None if stays is None else msgspec.json.encode(stays) + b"\n"


def _requests_of(folder: Path, workload: str, unit: str) -> tuple[str, ...]:
    """The request ids of a unit, of all segments, growing or not."""
    reading = Reading()
    rows = (row for segment in segments(folder, Kind.EXPOSURES) for row in exposures(segment.path, reading))
    return tuple(dict.fromkeys(row.request_id for row in rows if row.unit == unit and row.workload == workload))


def _all(folder: Path) -> Iterator[Segment]:
    for kind in Kind:
        yield from segments(folder, kind)


def _has_texts(pair: Pair) -> bool:
    return pair.incumbent.text is not None or pair.candidate.text is not None


def _orders(folder: Path) -> list[Order]:
    try:
        return msgspec.json.Decoder(Order).decode_lines((folder / _ORDERS).read_bytes())
    except FileNotFoundError:
        return []


def _is_closed(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(path: Path, lines: Iterable[bytes], times: tuple[float, float] | None) -> None:
    """Whole or not at all, on the disk, with the times of what was there."""
    made = path.with_name(f".{path.name}.new")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(file, "wb", closefd=False) as writing:
            writing.writelines(lines)
        os.fsync(file)
    finally:
        os.close(file)
    if times is not None:
        os.utime(made, times)
    os.replace(made, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _taking_turns(folder: Path, waits: bool) -> Iterator[bool]:
    """Whether it is ours to clean up."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
