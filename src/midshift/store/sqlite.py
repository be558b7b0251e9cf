"""SQLite: one file, many processes, one writer at a time.

Contract: that of `sqlite_file`; a writer waits for its turn and then says who might be in the way.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, Insert, StaticPool, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from midshift.errors import StoreError
from midshift.store.database import Incoming
from midshift.store.plain import Plain
from midshift.store.sqlite_file import BUSY_TIMEOUT_S, Log, Precedence, data_version, explained, prepare, use_log

_IMMEDIATE = "midshift_immediate"


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
        self._log: Log | None = None
        self._precedence = Precedence(None)
        self._seen: int | None = None
        with ExitStack() as on_failure:
            on_failure.callback(self._dispose)
            try:
                self._watch = on_failure.enter_context(self._decisions.connect())
                if self._is_file:
                    path = use_log(_raw(self._watch), self._where, self._patience_s)
                    self._log = Log(path, self._patience_s, self._where)
                    self._precedence = Precedence(f"{path}-decides")
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
        """A counter that rises with each commit. In memory, the count of changed rows."""
        try:
            watched = _raw(self._watch)
            now = data_version(watched) if self._is_file else watched.total_changes
        except sqlite3.Error as error:
            raise self._explained(error) from error
        changed, self._seen = now != self._seen, now
        return changed

    def plain(self, connection: Connection) -> Plain:
        """The driver's own connection."""
        return _raw(connection)

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
        def connected(connection: sqlite3.Connection, _record: object) -> None:
            prepare(connection, synchronous)

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
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._explained(error) from error

    def _checkpoint(self) -> None:
        """Fold a long log into the file."""
        if self._log is None or not self._log.is_long():
            return
        try:
            with self._measurements.connect() as pooled:
                self._log.fold(_raw(pooled))
        except SQLAlchemyError as error:
            self._log.stays(error)

    def _explained(self, error: SQLAlchemyError | sqlite3.Error) -> StoreError:
        return explained(self._where, error.orig if isinstance(error, DBAPIError) else error)


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
