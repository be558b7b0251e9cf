"""The segment that grows: its file, what waits to be written to it, and when it is closed.

While it grows it is locked, until its process is gone: whoever cleans up (retention) keeps away.
Elsewhere: the thread that writes (recorder), the form of the files (segments).
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from midshift.errors import StoreError
from midshift.store.segments import SUFFIX, Kind, segments

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Growing:
    """The growing segment of one kind. Only the writer's thread touches it.

    Raises:
        StoreError: if its folder cannot be made.
    """

    def __init__(self, folder: Path, gateway: str, segment_bytes: int, segment_s: float) -> None:
        self.folder = folder
        self.pending: deque[bytes] = deque()
        self.unsynced = 0
        self._gateway = gateway
        self._segment_bytes = segment_bytes
        self._segment_s = segment_s
        self._begun_s: float | None = None
        self._pending_rows = 0
        self._file: int | None = None
        self._bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder {str(folder)!r} ({error}); name one that can be written"
            ) from None

    def add(self, lines: bytes, rows: int) -> None:
        """Take whole lines, for the next write, as they are: to copy them costs as much as to write them."""
        self.pending.append(lines)
        self._pending_rows += rows

    def write(self) -> int:
        """Give everything to the kernel; the number of rows. What fails stays pending, from its first byte on."""
        while self.pending:
            if self._file is None:
                self._file = self._begin()
            lines = self.pending[0]
            written = os.write(self._file, lines)
            if written < len(lines):
                self.pending[0] = lines[written:]
            else:
                self.pending.popleft()
            self.unsynced += written
            self._bytes += written
        rows, self._pending_rows = self._pending_rows, 0
        if self._bytes >= self._segment_bytes:
            self._end()
        return rows

    @property
    def is_open(self) -> bool:
        """Whether there is a segment that grows."""
        return self._file is not None

    def end_if_old(self, now_s: float) -> None:
        """Close a segment that has grown for long enough, also when nothing more comes."""
        if self._file is None or self.pending:
            return
        self._begun_s = now_s if self._begun_s is None else self._begun_s
        if now_s - self._begun_s >= self._segment_s:
            self._end()

    def sync(self) -> None:
        """Give everything that the kernel has to the disk."""
        if self._file is not None and self.unsynced:
            _sync(self._file)
            self.unsynced = 0

    def close(self) -> int:
        """Let go of the file; the number of rows that were never written."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        return self._pending_rows

    def _begin(self) -> int:
        """A new segment, that no other writer has."""
        mine = [
            one.number for one in segments(self.folder.parent, Kind(self.folder.name)) if one.gateway == self._gateway
        ]
        for number in itertools.count(max(mine, default=0) + 1):
            path = self.folder / f"{self._gateway}-{number:08d}{SUFFIX}"
            with suppress(FileExistsError):
                made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
                break
        fcntl.flock(made, fcntl.LOCK_EX)  # for as long as it grows
        self._bytes, self._begun_s = 0, None
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the name, too, survives the loss of power
        finally:
            os.close(folder)
        return made

    def _end(self) -> None:
        self.sync()
        self.close()
        self._bytes = 0
