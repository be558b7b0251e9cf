"""A gateway's side of a store in a file: what it follows and what it writes, without an SQL toolkit in its process.

Contract: what the same methods of `sql.SqlStore` promise, on the same file and beside any number of them. It makes no
tables and decides nothing. Any thread may call.
Elsewhere: the statements (followed, tallies), the rules of the file (sqlite_file), everybody else's side (sql).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.gateways import GatewayProcess, GatewayReport, Told
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Route
from midshift.domain.upgrade import Upgrade
from midshift.domain.variant import Variant
from midshift.errors import StoreError
from midshift.ports import Definition
from midshift.store import followed, tallies
from midshift.store.sqlite_file import Location, Log, Precedence, data_version, explained, prepare, use_log
from midshift.store.versions import HEAD, VERSION_TABLE
from midshift.store.writer import GroupWriter


def is_current(location: Location) -> bool:
    """Whether the file is there and its tables are those that this midshift knows."""
    if not Path(location.path).is_file():
        return False
    try:
        with closing(sqlite3.connect(location.path, timeout=location.patience_s)) as connection:
            found = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    except sqlite3.Error:
        return False
    return found is not None and found[0] == HEAD


class GatewaySide:
    """Implements `ports.RouteSource`, and of `ports.Measurements` and `ports.GatewayReports` what gateways call.

    The tables must be current (`is_current`).

    Raises:
        StoreError: if the file cannot be opened as a database with a write-ahead log.
    """

    def __init__(self, location: Location) -> None:
        self._where = location.where
        self._turn = threading.Lock()
        self._seen: int | None = None
        self._closed = False
        with self._saying_what_to_do():
            self._reading = _connected(location, "FULL")
            try:
                path = use_log(self._reading, self._where, location.patience_s)
                self._writing = _connected(location, "NORMAL")
            except BaseException:
                self._reading.close()
                raise
        self._log = Log(path, location.patience_s, self._where)
        self._precedence = Precedence(f"{path}-decides")
        self._writer = GroupWriter(self._collecting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what the writer was given, then let go of the file."""
        if not self._closed:
            self._closed = True
            self._writer.close()
            with self._turn:
                self._writing.close()
                self._reading.close()

    # What it follows

    def changed(self) -> bool:
        """Whether anything may have changed since the last call."""
        with self._looking() as connection:
            now = data_version(connection)
        changed, self._seen = now != self._seen, now
        return changed

    def definitions(self) -> Sequence[Definition]:
        """The newest definition of each workload."""
        with self._looking() as connection:
            return followed.definitions(connection)

    def routes(self) -> Sequence[Route]:
        """All routing rows."""
        with self._looking() as connection:
            return followed.routes(connection)

    def upgrades(self) -> Sequence[Upgrade]:
        """All upgrades."""
        with self._looking() as connection:
            return followed.upgrades(connection)

    def variant(self, variant_id: str) -> Variant:
        """A variant by its hash.

        Raises:
            StoreError: if it is not there.
        """
        with self._looking() as connection:
            return followed.variant(connection, variant_id)

    # What it writes

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({}),
    ) -> bool:
        """Add one batch, exactly once."""
        return self._writer.run(lambda connection: tallies.merge(connection, gateway, sequence, sums, histograms))

    def last_sequence(self, gateway: str) -> int | None:
        """The newest batch of a gateway."""
        with self._looking() as connection:
            return tallies.last_sequence(connection, gateway)

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """Add the first feedback on a request."""
        return self._writer.run(lambda connection: tallies.take_feedback(connection, request, workload, at, sums))

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Forget what the dead one of that name said."""
        self._writer.run(lambda connection: tallies.enter(connection, process, dead, at))

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of what a gateway serves."""
        self._writer.run(lambda connection: tallies.report(connection, process, told, at))

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends."""
        self._writer.run(lambda connection: tallies.leave(connection, process, at))

    def reports(self) -> Sequence[GatewayReport]:
        """What each process said last."""
        with self._looking() as connection:
            return followed.reports(connection)

    # Parts

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        """One statement sees one moment of the file; writers go on meanwhile."""
        with self._turn, self._saying_what_to_do():
            if self._closed:
                raise StoreError(f"{self._where} is closed: open it again")
            yield self._reading

    @contextmanager
    def _collecting(self) -> Iterator[sqlite3.Connection]:
        """A transaction of the writer's thread; decisions go first."""
        self._precedence.give_way()
        with self._saying_what_to_do(), self._writing:
            self._writing.execute("BEGIN IMMEDIATE")
            yield self._writing
        if self._log.is_long():
            self._log.fold(self._writing)

    @contextmanager
    def _saying_what_to_do(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explained(self._where, error) from error


def _connected(location: Location, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(location.path, timeout=location.patience_s, check_same_thread=False)
    try:
        prepare(connection, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection
