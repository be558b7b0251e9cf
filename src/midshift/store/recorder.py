"""Writes records of single requests into segments.

Contract: recording never blocks and never fails; what `flush` has acknowledged survives `kill -9`, since the kernel
has it; what is older than the sync interval survives the loss of power, since the disk has it. Nothing is lost in
silence: what could not be kept is counted.
Elsewhere: the file that grows (growing); the form of the files, and reading them (segments).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from midshift.domain.capture import CapturedRequest, FeedbackRecord
from midshift.domain.exposure import Exposure, Pair
from midshift.errors import StoreError, UsageError
from midshift.store.growing import Growing
from midshift.store.segments import Kind, Record

LOG = logging.getLogger(__name__)

_ENCODER = msgspec.json.Encoder()
# A member is looked up in its class by a function of Python's.
_EXPOSURES, _PAIRS, _REQUESTS = Kind.EXPOSURES, Kind.PAIRS, Kind.REQUESTS
_LOOK_AT_AGES_S = 60.0
_ROWS_AT_ONCE = 128
"""The lines of a whole busy second take megabytes, which the allocator never gives back to the system."""

_GATEWAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long records are gathered before they are written (kill -9 takes those that wait), and the like.

    `sync_ms` or `sync_bytes`, whichever comes first, is what the loss of power takes. A segment is closed at
    `segment_bytes` or after `segment_s`: only a closed one can be rid of what is too old. `waiting` bounds the memory,
    in kilobytes or so, while the disk does not keep up.
    """

    write_ms: float = 10.0
    sync_ms: float = 250.0
    sync_bytes: int = 8 << 20
    segment_bytes: int = 64 << 20
    segment_s: float = 3600.0
    waiting: int = 200_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records so far. `lost`: no room while the disk did not keep up, or no JSON says it.

    `mended` were written with a stand-in for text that is no Unicode.
    """

    written: int = 0
    lost: int = 0
    mended: int = 0


class SegmentWriter:
    """Implements `ports.Recorder` on a folder, with one thread. Any thread may record.

    Two writers never share a segment, even with the same gateway name.

    Raises:
        UsageError: for a gateway name that is no plain file name.
        StoreError: if the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        gateway: str,
        limits: Limits = Limits(),
        monotonic_s: Callable[[], float] = time.monotonic,  # noqa: TID251 - the disk is behind in machine time
    ) -> None:
        if not _GATEWAY.fullmatch(gateway):
            raise UsageError(
                f"gateway name: found {gateway!r}, expected letters, digits, dots, dashes, underscores. "
                "Type next: --name gateway-1"
            )
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._by_kind = {kind: Growing(folder / kind, gateway, limits.segment_bytes, limits.segment_s) for kind in Kind}
        self._door = threading.Lock()  # around what waits, the counts, and whether more may come
        self._waiting = _Waiting()
        self._counts = Counts()
        self._closed = False
        self._wake = threading.Event()  # there is something to do
        self._hurry = threading.Event()  # and it does not wait for more
        self._flushing: list[_Flush] = []
        self._thread = threading.Thread(target=self._work, name="midshift-recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, *exposures: Exposure) -> None:
        """Take finished requests."""
        with self._door:
            is_first = self._waiting.load == 0
            room = 0 if self._closed else max(0, self._limits.waiting - self._waiting.load)
            taken = exposures[:room]
            self._waiting.rows[_EXPOSURES] += taken
            self._waiting.load += len(taken)
            if len(taken) < len(exposures):
                self._lose(len(exposures) - len(taken))
        if is_first:
            self._wake.set()

    def record_pair(self, pair: Pair) -> None:
        """Take both answers to one shadowed request."""
        self._take(_PAIRS, pair, pair.size)

    def record_request(self, request: CapturedRequest, size: int = 4000) -> None:
        """Take a request with its texts, of about `size` characters."""
        self._take(_REQUESTS, request, size)

    def record_feedback(self, feedback: FeedbackRecord) -> None:
        """Take what a user said about an answer."""
        self._take(Kind.FEEDBACK, feedback, len(feedback.comment or ""))

    def flush(self, sync: bool = False) -> None:
        """Wait until all that was recorded before is written; with `sync`, until it is on the disk.

        Raises:
            StoreError: if it could not be written; it is kept and tried again.
        """
        flush = _Flush(sync, Future())
        with self._door:
            if self._closed:
                raise StoreError("the segment writer is closed: make another one")
            self._waiting.flushes.append(flush)
        self._hurry.set()
        self._wake.set()
        flush.done.result()

    def counts(self) -> Counts:
        """What became of the records so far; those that wait are not in it."""
        with self._door:
            return self._counts

    def close(self) -> None:
        """Write and sync all that was recorded, and stop.

        Raises:
            StoreError: if not all could be written; the rest is counted as lost.
        """
        flush = _Flush(True, Future())
        with self._door:
            if self._closed:
                return
            self._closed = True
            self._waiting.flushes.append(flush)
        self._hurry.set()
        self._wake.set()
        self._thread.join()
        flush.done.result()

    def _take(self, kind: Kind, row: Record, characters: int = 0) -> None:
        with self._door:
            waiting = self._waiting
            load = waiting.load
            if self._closed or load >= self._limits.waiting:
                self._lose(1)
            else:
                waiting.rows[kind].append(row)
                waiting.load = load + 1 + characters // 1000
        if not load:  # the others find the writer awake, or still to look
            self._wake.set()

    def _lose(self, rows: int) -> None:
        """With the door shut: no room."""
        self._counts = replace(self._counts, lost=self._counts.lost + rows)

    # What follows runs on the writer's thread.

    def _work(self) -> None:
        try:
            self._write_until_closed()
        finally:  # whatever ended it, nobody waits in vain
            with self._door:
                self._closed = True
                left = self._waiting
            self._count(lost=left.count() + sum(one.close() for one in self._streams()))
            for flush in (*self._flushing, *left.flushes):
                flush.fail(StoreError("the segment writer has stopped before this was written; see the log"))

    def _write_until_closed(self) -> None:
        synced_s = self._monotonic_s()
        last = False
        while not last:
            self._wake.wait(self._patience_s())
            self._hurry.wait(self._limits.write_ms / 1000)
            self._wake.clear()  # before looking: whoever comes later wakes again
            self._hurry.clear()
            last = self._write_waiting()
            now_s = self._monotonic_s()
            if any(flush.sync for flush in self._flushing) or self._is_sync_due(now_s - synced_s):
                self._try(Growing.sync)
                synced_s = self._monotonic_s()
            self._try(partial(Growing.end_if_old, now_s=now_s))
            for flush in self._flushing:
                flush.finish()

    def _streams(self) -> Collection[Growing]:
        return self._by_kind.values()

    def _patience_s(self) -> float | None:
        """Until when there is nothing to do if nobody comes."""
        if self._owes():
            return self._limits.sync_ms / 1000
        is_growing = any(stream.is_open for stream in self._streams())
        return min(self._limits.segment_s, _LOOK_AT_AGES_S) if is_growing else None

    def _owes(self) -> bool:
        return any(stream.pending or stream.unsynced for stream in self._streams())

    def _is_sync_due(self, behind_s: float) -> bool:
        unsynced = sum(stream.unsynced for stream in self._streams())
        return unsynced >= self._limits.sync_bytes or (unsynced > 0 and behind_s * 1000 >= self._limits.sync_ms)

    def _write_waiting(self) -> bool:
        """Write everything; whether no more can come.

        While older records wait for the disk, newer ones wait outside, where there is a limit.
        """
        with self._door:
            self._flushing, self._waiting.flushes = self._waiting.flushes, []
            last = self._closed
        self._try(self._write)
        if last or not any(stream.pending for stream in self._streams()):
            with self._door:
                taken, self._waiting = self._waiting, _Waiting(flushes=self._waiting.flushes)
            for kind, rows in taken.rows.items():
                self._write_rows(self._by_kind[kind], rows)
        return last

    def _write_rows(self, stream: Growing, rows: Sequence[Record]) -> None:
        """Write a few at a time; once the disk refuses, the rest waits with what it has refused."""
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            keeps_up = not stream.pending
            self._encode(stream, rows[begin : begin + _ROWS_AT_ONCE])
            if keeps_up:
                self._try_one(stream, self._write)

    def _write(self, stream: Growing) -> None:
        self._count(written=stream.write())

    def _encode(self, stream: Growing, rows: Sequence[Record]) -> None:
        try:
            stream.add(_ENCODER.encode_lines(rows), len(rows))
        except (ValueError, TypeError):  # one of them is to blame: find it
            for row in rows:
                self._encode_one(stream, row)

    def _encode_one(self, stream: Growing, row: Record) -> None:
        try:
            try:
                stream.add(_ENCODER.encode(row) + b"\n", 1)
            except UnicodeEncodeError:
                stream.add(_mended(row), 1)
                self._count(mended=1)
        except (ValueError, TypeError) as error:
            LOG.error("a record cannot be written as JSON and is lost: %s", error)
            self._count(lost=1)

    def _try(self, work: Callable[[Growing], None]) -> None:
        """Do something with each file."""
        for stream in self._streams():
            self._try_one(stream, work)

    def _try_one(self, stream: Growing, work: Callable[[Growing], None]) -> None:
        """Do something with one file; who waits for it hears what the disk says."""
        try:
            work(stream)
        except OSError as error:
            told = StoreError(
                f"records cannot be written to {str(stream.folder)!r} ({error}); they are kept and tried again. "
                "Free space on that disk, or make the folder writable"
            )
            LOG.warning("%s", told)
            for flush in self._flushing:
                flush.fail(told)

    def _count(self, written: int = 0, lost: int = 0, mended: int = 0) -> None:
        with self._door:
            now = self._counts
            self._counts = Counts(now.written + written, now.lost + lost, now.mended + mended)


def _mended(row: object) -> bytes:
    """The line with question marks for halves of surrogate pairs, which JSON in UTF-8 cannot hold."""
    plain = msgspec.to_builtins(row, enc_hook=_decoded)
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _decoded(part: object) -> object:
    """What was encoded already, as the body of a request."""
    if isinstance(part, msgspec.Raw):
        return msgspec.json.decode(part)
    raise TypeError(f"a record holds {type(part).__name__}, which no JSON says")


@dataclass(slots=True)
class _Waiting:
    """What was recorded and not yet taken by the writer; `load` is about one a kilobyte."""

    rows: dict[Kind, list[Record]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    flushes: list[_Flush] = field(default_factory=list)
    load: int = 0

    def count(self) -> int:
        return sum(map(len, self.rows.values()))


@dataclass(frozen=True, slots=True)
class _Flush:
    """Somebody who waits for what was recorded before."""

    sync: bool
    done: Future[None]

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: StoreError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
