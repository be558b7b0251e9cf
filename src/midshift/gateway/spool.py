"""Feedback that waits for the store: in memory, and in a file that survives the process.

Contract. What `add` has acknowledged survives `kill -9`. A line may come back after it was counted (a process that died
in between): the store knows what it has had. Any thread may call.
Elsewhere: who takes it (feedback).
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from midshift.domain.exposure import Credit

LOG = logging.getLogger(__name__)

_FILE = "feedback-waiting.ndjson"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One feedback, with all that the store is told. `request` is the digest of the request id."""

    request: str
    credit: Credit
    at: datetime
    satisfaction: float | None
    has_ticket: bool


class Spool:
    """At most `limit` of them. Without a `folder` they are lost with the process."""

    def __init__(self, folder: Path | None, limit: int) -> None:
        self._path = None if folder is None else folder / _FILE
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting = {one.request: one for one in _read(self._path)}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, one: Waiting) -> bool:
        return one.request in self._waiting

    def add(self, one: Waiting) -> bool:
        """Keep one; False if there is no room, or the disk does not take it."""
        with self._lock:
            if one.request in self._waiting:  # said twice at once: the first one counts
                return True
            if len(self._waiting) >= self._limit:
                return False
            try:
                self._append(one)
            except OSError as error:
                LOG.warning("feedback cannot be written: %s", error)
                return False
            self._waiting[one.request] = one
            return True

    def all(self) -> list[Waiting]:
        """What waits, oldest first."""
        with self._lock:
            return list(self._waiting.values())

    def remove(self, one: Waiting) -> None:
        """It is counted. The file goes with the last of them."""
        with self._lock:
            self._waiting.pop(one.request, None)
            if not self._waiting and self._path is not None:
                self._path.unlink(missing_ok=True)

    def _append(self, one: Waiting) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            line = b"\n%b\n" % msgspec.json.encode(one)  # begins anew, after a line that a process before died in
            if os.write(file, line) < len(line):
                raise OSError("the disk took a part of it only")
        finally:
            os.close(file)


def _read(path: Path | None) -> list[Waiting]:
    """What a process before this one left; a torn last line was never acknowledged."""
    if path is None or not path.exists():
        return []
    found = []
    for line in filter(None, path.read_bytes().splitlines()):
        try:
            found.append(msgspec.json.decode(line, type=Waiting))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            LOG.warning("a feedback that waited cannot be read and is left out")
    return found
