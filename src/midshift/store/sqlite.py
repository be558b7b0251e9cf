"""SQLite: one file, many processes, one writer at a time.

Contract: write-ahead log; decisions are synced to the disk before they are acknowledged (`synchronous=FULL`),
measurements at the next decision or checkpoint (`NORMAL`); a writer waits for its turn and then says who might be in
the way. The file must be on a local disk: the log is shared memory.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, Insert, StaticPool, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from midshift.errors import Fenced, StoreError
from midshift.store.database import Incoming

LOG = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 10.0
CHECKPOINT_BYTES = 4 << 20
CHECKPOINT_PATIENCE_S = 3.0
GIVE_WAY_MS = 1000
_LOOK_MS = 2
_IMMEDIATE = "midshift_immediate"

# https://www.sqlite.org/rescode.html, the low byte.
_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _CONSTRAINT, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 19, 26
_UNIQUE = (1555, 2067, 2579)  # primary key, unique, rowid


class SqliteDatabase:
    """Implements `database.Database` on `sqlite:///FILE`, and on `sqlite://`, which dies with the process.

    `?timeout=SECONDS` says how long to wait for the write lock.

    Raises:
        StoreError: if the file cannot be opened as a database with a write-ahead log.
    """

    def __init__(self, url: URL) -> None:
        self._where = f"store {url.database!r}" if url.database else "store in memory"
        self._is_file = bool(url.database) and url.database != ":memory:"
        self._patience_s = float(str(url.query.get("timeout", BUSY_TIMEOUT_S)))
        self._decisions = self._engine(url, "FULL")
        self._measurements = self._engine(url, "NORMAL") if self._is_file else self._decisions
        # In memory there is one connection for all threads: a transaction at a time, also of readers.
        self._turn = nullcontext() if self._is_file else threading.RLock()
        self._log_path = ""
        self._precedence = _Precedence(None)
        self._checkpoint_bytes = CHECKPOINT_BYTES
        self._seen: int | None = None
        with ExitStack() as on_failure:
            on_failure.callback(self._dispose)
            try:
                self._watch = on_failure.enter_context(self._decisions.connect())
                if self._is_file:
                    path = self._use_log(_raw(self._watch))
                    self._log_path = f"{path}-wal"
                    self._precedence = _Precedence(f"{path}-decides")
            except (SQLAlchemyError, sqlite3.Error) as error:
                raise self._explained(error) from error
            on_failure.pop_all()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment of the file; writers go on meanwhile."""
        with self._transaction(self._decisions, immediate=False) as connection:
            yield connection

    @contextmanager
    def deciding(self) -> Iterator[Connection]:
        """The write lock from the beginning, so that what is read cannot change before it is written."""
        with self._precedence.claimed(), self._transaction(self._decisions, immediate=True) as connection:
            yield connection
        self._checkpoint()

    @contextmanager
    def collecting(self) -> Iterator[Connection]:
        """The same, without waiting for the disk; decisions go first."""
        self._precedence.give_way()
        with self._transaction(self._measurements, immediate=True) as connection:
            yield connection
        self._checkpoint()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Foreign keys are checked at the end only: a batch migration replaces the tables that they point to."""
        with self._transaction(self._decisions, immediate=True, foreign_keys=False) as connection:
            yield connection
            if dangling := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
                raise StoreError(f"{self._where}: the migration left rows without what they name: {dangling[:5]}")

    def changed(self) -> bool:
        """A counter that SQLite raises with each commit: 3 µs, no lock. In memory, the count of changed rows."""
        try:
            watched = _raw(self._watch)
            if self._is_file:
                now = int(watched.execute("PRAGMA data_version").fetchone()[0])
            else:
                now = watched.total_changes
        except sqlite3.Error as error:
            raise self._explained(error) from error
        changed, self._seen = now != self._seen, now
        return changed

    def upsert(self, table: Table, change: Callable[[Incoming], Mapping[str, Any]] | None = None) -> Insert:
        """ON CONFLICT, as SQLite spells it."""
        insert = sqlite.insert(table)
        if change is None:
            return insert.on_conflict_do_nothing()
        keys = [column.name for column in table.primary_key]
        incoming = {column.name: insert.excluded[column.name] for column in table.columns}
        return insert.on_conflict_do_update(index_elements=keys, set_=dict(change(incoming)))

    def close(self) -> None:
        """The last connection to leave folds the log into the file."""
        self._watch.close()
        self._dispose()

    def _dispose(self) -> None:
        self._measurements.dispose()
        self._decisions.dispose()

    def _engine(self, url: URL, synchronous: str) -> Engine:
        shared: dict[str, Any] = {} if self._is_file else {"poolclass": StaticPool}
        connect = {"check_same_thread": False, "timeout": self._patience_s}
        engine = create_engine(url, connect_args=connect, **shared)

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # transactions begin below, not when the driver thinks fit
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA wal_autocheckpoint=0")  # see _checkpoint

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            immediate = connection.get_execution_options().get(_IMMEDIATE)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine

    @contextmanager
    def _transaction(self, engine: Engine, immediate: bool, foreign_keys: bool = True) -> Iterator[Connection]:
        try:
            with self._turn, engine.connect() as connection, _foreign_keys(connection, foreign_keys):
                connection.execution_options(**{_IMMEDIATE: immediate})
                with connection.begin():
                    yield connection
        except SQLAlchemyError as error:
            raise self._explained(error) from error

    def _use_log(self, connection: sqlite3.Connection) -> str:
        """Turn the write-ahead log on, for good; the path of the file."""
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(
                    f"{self._where}: this file system allows no write-ahead log (journal_mode is {mode!r}); "
                    "put the store on a local disk"
                )
        return str(connection.execute("PRAGMA database_list").fetchone()[2])

    def _checkpoint(self) -> None:
        """Fold a long log into the file, holding the write lock.

        SQLite's own checkpoints hold none, and up to 3.51.2 (but for 3.44.6 and 3.50.7) one of them can meet a commit
        that restarts the log, and lose pages: https://www.sqlite.org/wal.html#walresetbug. A checkpoint that fails,
        or meets a reader who does not leave, is tried again later: what was committed is committed.
        """
        try:
            if not self._is_file or os.stat(self._log_path).st_size < self._checkpoint_bytes:
                return
            with self._measurements.connect() as pooled:
                connection = _raw(pooled)
                connection.execute(f"PRAGMA busy_timeout={min(self._patience_s, CHECKPOINT_PATIENCE_S) * 1000:.0f}")
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                connection.execute(f"PRAGMA busy_timeout={self._patience_s * 1000:.0f}")
        except FileNotFoundError:
            return
        except (SQLAlchemyError, sqlite3.Error) as error:
            LOG.warning("%s: the log could not be folded into the file: %s", self._where, error)
            busy = 1
        self._checkpoint_bytes = 2 * self._checkpoint_bytes if busy else CHECKPOINT_BYTES

    def _explained(self, error: SQLAlchemyError | sqlite3.Error) -> StoreError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", 0)
        if code in _UNIQUE:
            return Fenced(f"{self._where}: somebody else wrote the same row first ({cause}); read again")
        return StoreError(f"{self._where}: {_ADVICE.get(code & 0xFF, 'the database refused')} ({cause})")


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


class _Precedence:
    """Decisions before measurements, over all processes: a courtesy; what is right does not depend on it.

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


@contextmanager
def _foreign_keys(connection: Connection, on: bool) -> Iterator[None]:
    """SQLite takes this setting outside of a transaction only."""
    if on:
        yield
        return
    _raw(connection).execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        _raw(connection).execute("PRAGMA foreign_keys=ON")


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)
