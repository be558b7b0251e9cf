"""The rules of a store's file, whoever opens it: settings, the log, who goes first, errors that say what to do.

Contract: write-ahead log; decisions are synced to the disk before they are acknowledged (`synchronous=FULL`),
measurements at the next decision or checkpoint (`NORMAL`). The file must be on a local disk: the log is shared memory.
Elsewhere: transactions of SQLAlchemy (sqlite), of a gateway (gateway_side).
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from midshift.errors import Fenced, StoreError

LOG = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 10.0
CHECKPOINT_BYTES = 4 << 20
CHECKPOINT_PATIENCE_S = 3.0
GIVE_WAY_MS = 1000
_LOOK_MS = 2

# https://www.sqlite.org/rescode.html, the low byte.
_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _CONSTRAINT, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 19, 26
_UNIQUE = (1555, 2067, 2579)  # primary key, unique, rowid
_ADDRESS = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<file>[^?]+?)(?:\?timeout=(?P<timeout>\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class Location:
    """A file, and how long to wait for its write lock."""

    path: str
    patience_s: float = BUSY_TIMEOUT_S

    @classmethod
    def of(cls, address: str) -> Location | None:
        """What `sqlite:///FILE` names; None for another address, for memory, for settings other than `timeout`."""
        match = _ADDRESS.fullmatch(address)
        if match is None or match["file"] == ":memory:" or match["file"].startswith("file:"):
            return None
        return cls(match["file"], float(match["timeout"] or BUSY_TIMEOUT_S))

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"store {self.path!r}"


def prepare(connection: sqlite3.Connection, synchronous: str) -> None:
    """The settings of every connection; transactions begin where they are said to, not when the driver thinks fit."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA wal_autocheckpoint=0")  # see Log


def use_log(connection: sqlite3.Connection, where: str, patience_s: float = BUSY_TIMEOUT_S) -> str:
    """Turn the write-ahead log on, for good; the path of the file.

    Raises:
        StoreError: if the file system allows none.
        sqlite3.OperationalError: if somebody else holds the file for longer than `patience_s`.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        mode = _with_log(connection, patience_s)
        if mode != "wal":
            raise StoreError(
                f"{where}: this file system allows no write-ahead log (journal_mode is {mode!r}); "
                "put the store on a local disk"
            )
    return str(connection.execute("PRAGMA database_list").fetchone()[2])


def _with_log(connection: sqlite3.Connection, patience_s: float) -> str:
    """The mode after asking for the log. Of several that ask at once SQLite refuses all but one, and lets none wait."""
    left = round(patience_s * 1000 / _LOOK_MS)
    connection.execute("PRAGMA busy_timeout=0")  # who holds the file otherwise is waited for here too, and once
    try:
        while True:
            try:
                return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != _BUSY or left <= 0:
                    raise
            left -= 1
            threading.Event().wait(_LOOK_MS / 1000)
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience_s * 1000:.0f}")


def data_version(connection: sqlite3.Connection) -> int:
    """A counter that SQLite raises with each commit of another connection: 3 µs, no lock."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


class Log:
    """The write-ahead log of a file: when it is long, and how it is folded into the file.

    SQLite's own checkpoints hold no write lock, and up to 3.51.2 (but for 3.44.6 and 3.50.7) one of them can meet a
    commit that restarts the log, and lose pages: https://www.sqlite.org/wal.html#walresetbug. So they are off, and
    `fold` holds it. A checkpoint that fails, or meets a reader who does not leave, is tried again later: what was
    committed is committed.
    """

    def __init__(self, path: str, patience_s: float, where: str) -> None:
        self._path = f"{path}-wal"
        self._patience_s = patience_s
        self._where = where
        self._long_bytes = CHECKPOINT_BYTES

    def is_long(self) -> bool:
        """Whether it is time to fold it."""
        try:
            return os.stat(self._path).st_size >= self._long_bytes
        except FileNotFoundError:
            return False

    def fold(self, connection: sqlite3.Connection) -> None:
        """Fold it, on a connection that has no transaction open."""
        try:
            connection.execute(f"PRAGMA busy_timeout={min(self._patience_s, CHECKPOINT_PATIENCE_S) * 1000:.0f}")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            connection.execute(f"PRAGMA busy_timeout={self._patience_s * 1000:.0f}")
        except sqlite3.Error as error:
            self.stays(error)
        else:
            self._long_bytes = 2 * self._long_bytes if busy else CHECKPOINT_BYTES

    def stays(self, error: Exception) -> None:
        """It could not be folded: wait for longer before the next time."""
        LOG.warning("%s: the log could not be folded into the file: %s", self._where, error)
        self._long_bytes *= 2


def explained(where: str, error: BaseException | None) -> StoreError:
    """What the database said, and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _UNIQUE:
        return Fenced(f"{where}: somebody else wrote the same row first ({error}); read again")
    return StoreError(f"{where}: {_ADVICE.get(code & 0xFF, 'the database refused')} ({error})")


_ADVICE = {
    _BUSY: "somebody else has held the write lock for too long, so nothing was written. Type next: fuser FILE, to see "
    "who; then try again, or wait longer (sqlite:///FILE?timeout=SECONDS)",
    _LOCKED: "another transaction of this process is open, so nothing was written. Try again",
    _READONLY: "it cannot be written by this user. Make the file and its folder writable: chmod u+w FILE FOLDER",
    _IOERR: "the disk reported an error, so nothing was written. Free space, look at the disk (dmesg), then try again",
    _CORRUPT: "the file is damaged. Restore a backup, or save what is readable: sqlite3 FILE .recover",
    _FULL: "the disk is full, so nothing was written; what is there is whole. Free space, then try again",
    _CANTOPEN: "it cannot be opened: the folder must exist and be writable. Type next: mkdir -p FOLDER",
    _CONSTRAINT: "the row breaks a rule of the schema, so nothing was written",
    _NOTADB: "the file is no SQLite database. Name another file, or move this one away",
}


class Precedence:
    """Decisions before measurements, over all processes: a courtesy; what is right does not depend on it.

    `path` is the file that is locked for it; None where there is nobody to give way to.

    SQLite gives the write lock to whoever asks at the right moment. Beside gateways that catch up after an outage,
    one batch after the other, a rollback would wait for seconds (measured). So a decision holds a file locked while it
    waits and writes, and who writes measurements looks at that file first.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._never = threading.Event()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Others give way for so long."""
        file = self._opened()
        try:
            if file is not None:
                fcntl.flock(file, fcntl.LOCK_SH)
            yield
        finally:
            if file is not None:
                os.close(file)  # which unlocks it

    def give_way(self) -> None:
        """Wait while somebody decides, but not for ever: it may be a process that somebody has stopped."""
        file = self._opened()
        if file is None:
            return
        try:
            for _ in range(GIVE_WAY_MS // _LOOK_MS):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    self._never.wait(_LOOK_MS / 1000)
        finally:
            os.close(file)

    def _opened(self) -> int | None:
        if self._path is None:
            return None
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # a folder that may only be read; the transaction will say so
            return None
