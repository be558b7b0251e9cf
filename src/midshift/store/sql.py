"""The store: what outlives a process, in one SQL body for every database.

Contract: `ports.Store`; `midshift.testing.contracts` checks it. A decision is one transaction, so that event, state and
routing row agree after any crash; it is fenced by what it was made on, so that of two controllers one is refused.
A rollback asks nobody.
Elsewhere: the statements (routing, upgrades, measurements, definitions, leases), what differs between databases
(sqlite), the records of single requests (segments).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType, TracebackType
from typing import Self

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError

from midshift.domain import upgrade as machine
from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.gateways import Death, GatewayProcess, GatewayReport, Told
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Route
from midshift.domain.upgrade import Event, Kind, Upgrade
from midshift.domain.variant import Variant
from midshift.errors import Fenced, MidshiftError, StoreError, UsageError
from midshift.ports import Definition, Lease, LoggedEvent, RouteChange, Standing
from midshift.store import definitions, documents, followed, leases, measurements, migrate, routing, tallies, upgrades
from midshift.store.database import Database
from midshift.store.sqlite import SqliteDatabase
from midshift.store.writer import GroupWriter

LOG = logging.getLogger(__name__)


def _machine_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - when a row was really written, which no playbook time may say


class SqlStore:
    """Implements `ports.Store`. Any thread may call it; it is also a context manager."""

    def __init__(self, database: Database, machine_now: Callable[[], datetime]) -> None:
        self._database = database
        self._machine_now = machine_now
        self._writer = GroupWriter(database.collecting)
        self._closed = False

    @classmethod
    def open(cls, url: str, machine_now: Callable[[], datetime] = _machine_now) -> Self:
        """Open `sqlite:///FILE` (made if it is not there) or `sqlite://` (in memory), and bring its tables up to date.

        Raises:
            UsageError: for another kind of address.
            StoreError: if it cannot be opened, is no store, or was written by a newer midshift.
        """
        database = SqliteDatabase(_sqlite_url(url))
        try:
            migrate.bring_up_to_date(database)
        except BaseException:
            database.close()
            raise
        return cls(database, machine_now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what the writer was given, then let go of the database."""
        if not self._closed:
            self._closed = True
            self._writer.close()
            self._database.close()

    # Definitions

    def put_variant(self, variant: Variant) -> str:
        """Store a variant whole, under its hash."""
        with self._deciding() as connection:
            return definitions.put_variant(connection, self._database, variant)

    def variant(self, variant_id: str) -> Variant:
        """A variant by its hash."""
        with self._reading() as connection:
            return followed.variant(self._database.plain(connection), variant_id)

    def apply_definitions(
        self, applied: Sequence[Definition], variants: Sequence[Variant] = (), routes: Sequence[Route] = ()
    ) -> None:
        """Record definitions with their variants, and first routing rows where there are none."""
        with self._deciding() as connection:
            for variant in variants:
                definitions.put_variant(connection, self._database, variant)
            for definition in applied:
                definitions.record(connection, definition)
            for route in routes:
                self._apply_route(connection, route, who=applied[0].who if applied else "")

    def definitions(self) -> Sequence[Definition]:
        """The newest definition of each workload."""
        with self._reading() as connection:
            return followed.definitions(self._database.plain(connection))

    # Routing

    def changed(self) -> bool:
        """Whether anything may have changed since the last call."""
        self._check_open()
        return self._database.changed()

    def routes(self) -> Sequence[Route]:
        """All routing rows."""
        with self._reading() as connection:
            return followed.routes(self._database.plain(connection))

    def route(self, workload: str) -> Route | None:
        """One routing row."""
        with self._reading() as connection:
            return routing.read(connection, workload)

    def route_changes(self, workload: str) -> Sequence[RouteChange]:
        """Every change of one routing row."""
        with self._reading() as connection:
            return routing.changes(connection, workload)

    def put_route(self, route: Route, expected_epoch: int, who: str = "", why: str = "") -> None:
        """Replace a routing row."""
        with self._deciding() as connection:
            routing.replace(connection, route, expected_epoch, who, why, self._machine_now())

    def roll_back(self, workload: str, who: str, why: str, at: datetime) -> Route:
        """Put the incumbent everywhere, whatever else is the matter."""
        event = Event(Kind.ROLLED_BACK, at, documents.printable(who), documents.printable(why))
        try:
            return self._roll_back(workload, event, close_upgrade=True)
        except _Unclosable as error:  # users come first: a log that cannot be continued keeps nobody on the candidate
            LOG.error(
                "workload %r: its upgrade cannot be closed, so only its route is rolled back: %s", workload, error
            )
            return self._roll_back(workload, event, close_upgrade=False)

    # Upgrades

    def upgrade(self, upgrade_id: str) -> Upgrade:
        """An upgrade by its id."""
        with self._reading() as connection:
            return upgrades.read(connection, upgrade_id)

    def began(self, upgrade_id: str) -> Upgrade:
        """The same as it was when it began."""
        with self._reading() as connection:
            return upgrades.began(connection, upgrade_id)

    def active_upgrade(self, workload: str) -> Upgrade | None:
        """The upgrade of a workload that is not over."""
        with self._reading() as connection:
            return upgrades.active(connection, workload)

    def standing(self, workload: str) -> Standing:
        """Routing row and active upgrade, read at one moment."""
        with self._reading() as connection:
            return Standing(routing.read(connection, workload), upgrades.active(connection, workload))

    def upgrades(self) -> Sequence[Upgrade]:
        """All upgrades."""
        with self._reading() as connection:
            return followed.upgrades(self._database.plain(connection))

    def events(self, upgrade_id: str) -> Sequence[LoggedEvent]:
        """What happened to one upgrade."""
        with self._reading() as connection:
            return upgrades.events(connection, upgrade_id)

    def start_upgrade(self, upgrade: Upgrade, route: Route | None, who: str = "", why: str = "") -> None:
        """Record a new upgrade and the next routing row."""
        _check_route_is_of(upgrade, route)
        with self._deciding() as connection:
            upgrades.start(connection, upgrade)
            serving = self._replace_route(connection, upgrade, route, who, why)
            if serving is not None and serving.incumbent != upgrade.incumbent:
                raise Fenced(
                    f"workload {upgrade.workload!r} is served by {serving.incumbent!r}, expected the incumbent of the "
                    f"upgrade, {upgrade.incumbent!r}; read the route again"
                )
            _check_share(upgrade, serving)

    def commit(
        self,
        before: Upgrade,
        after: Upgrade,
        event: Event,
        evidence: Mapping[str, object],
        policy: str,
        route: Route | None,
        lease_epoch: int | None,
    ) -> None:
        """Write event, state and routing row in one transaction."""
        if machine.apply(before, event) != after:
            raise UsageError(
                f"upgrade {before.id!r}: {event.kind} makes {machine.apply(before, event)!r}, found {after!r}; "
                "expected after = domain.upgrade.apply(before, event)"
            )
        _check_route_is_of(after, route)
        with self._deciding() as connection:
            if lease_epoch is not None:
                leases.check(connection, lease_epoch)
            upgrades.append(connection, before, after, event, evidence, policy, self._machine_now())
            _check_share(after, self._replace_route(connection, after, route, event.who, event.why))

    # Leases

    def take_lease(self, owner: str, now: datetime, ttl: timedelta) -> Lease | None:
        """The right to decide, or None while another has it."""
        with self._deciding() as connection:
            return leases.take(connection, owner, now, ttl)

    def renew(self, lease: Lease, now: datetime, ttl: timedelta) -> Lease:
        """The same lease for longer."""
        with self._deciding() as connection:
            leases.check(connection, lease.epoch)
            leases.set_until(connection, now + ttl, now)
            return replace(lease, until=now + ttl, looked_at=now)

    def release(self, lease: Lease, now: datetime) -> None:
        """Give a lease back."""
        with self._deciding() as connection:
            held = leases.read(connection)
            if held is not None and held.epoch == lease.epoch:
                leases.set_until(connection, min(now, held.until), min(now, held.until))

    def lease(self) -> Lease | None:
        """The last lease."""
        with self._reading() as connection:
            return leases.read(connection, hold=False)

    def extend_routes(self, until: datetime, lease_epoch: int) -> None:
        """Let gateways serve candidates until then."""
        with self._deciding() as connection:
            leases.check(connection, lease_epoch)
            routing.extend(connection, until)

    # Measurements

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({}),
    ) -> bool:
        """Add one batch, exactly once."""
        return self._writer.run(
            lambda connection: tallies.merge(self._database.plain(connection), gateway, sequence, sums, histograms)
        )

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """Add the first feedback on a request."""
        return self._writer.run(
            lambda connection: tallies.take_feedback(self._database.plain(connection), request, workload, at, sums)
        )

    def last_sequence(self, gateway: str) -> int | None:
        """The newest batch of a gateway."""
        with self._reading() as connection:
            return tallies.last_sequence(self._database.plain(connection), gateway)

    def sums(self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()) -> dict[SumKey, Sum]:
        """The sums of one upgrade: of these metrics and slices, or of all where none is named."""
        with self._reading() as connection:
            return measurements.read(connection, upgrade_id, metrics, slices)

    def histograms(
        self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
    ) -> dict[HistogramKey, Histogram]:
        """The histograms of one upgrade: of these metrics and slices, or of all where none is named."""
        with self._reading() as connection:
            return measurements.read_histograms(connection, upgrade_id, metrics, slices)

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Forget what the dead one of that name said."""
        self._writer.run(lambda connection: tallies.enter(self._database.plain(connection), process, dead, at))

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of what a gateway serves."""
        self._writer.run(lambda connection: tallies.report(self._database.plain(connection), process, told, at))

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends."""
        self._writer.run(lambda connection: tallies.leave(self._database.plain(connection), process, at))

    def say_dead(self, process: GatewayProcess, heard_at: datetime, death: Death) -> None:
        """Somebody says that it is dead."""
        self._writer.run(
            lambda connection: tallies.say_dead(self._database.plain(connection), process, heard_at, death)
        )

    def reports(self) -> Sequence[GatewayReport]:
        """What each process said last."""
        with self._reading() as connection:
            return followed.reports(self._database.plain(connection))

    # Parts

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_open()
        with self._database.reading() as connection:
            yield connection

    @contextmanager
    def _deciding(self) -> Iterator[Connection]:
        self._check_open()
        with self._database.deciding() as connection:
            yield connection

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed: open it again (SqlStore.open)")

    def _apply_route(self, connection: Connection, route: Route, who: str) -> None:
        serving = routing.read(connection, route.workload, hold=True)
        if serving is None:
            routing.replace(connection, route, 0, who, "first applied", self._machine_now())
        elif serving.incumbent != route.incumbent:
            raise StoreError(
                f"workload {route.workload!r} is served by {serving.incumbent!r} and the definitions name "
                f"{route.incumbent!r}: an incumbent changes only through an upgrade. Type next: "
                f"midshift upgrade start {route.workload} --to FILE, or midshift sync if the files are behind"
            )

    def _replace_route(
        self, connection: Connection, upgrade: Upgrade, route: Route | None, who: str, why: str
    ) -> Route | None:
        """The routing row as it is then."""
        if route is None:
            return routing.read(connection, upgrade.workload, hold=True)
        routing.replace(connection, route, route.epoch - 1, who, why, self._machine_now())
        return route

    def _roll_back(self, workload: str, event: Event, close_upgrade: bool) -> Route:
        with self._deciding() as connection:
            route = routing.read(connection, workload, hold=True)
            if route is None:
                known = (
                    ", ".join(repr(known.workload) for known in followed.routes(self._database.plain(connection)))
                    or "none"
                )
                raise StoreError(f"workload {workload!r} has no routing row; those that have one: {known}")
            now = self._machine_now()
            ended = _close_upgrade(connection, workload, event, now) if close_upgrade else None
            home = route.rolled_back()
            if ended is not None and ended.sheltered:
                home = replace(home, incumbent=ended.home)
            routing.replace(connection, home, route.epoch, event.who, event.why, now)
            return home


class _Unclosable(Exception):
    """The active upgrade cannot be read, or its log cannot be continued."""


def _close_upgrade(connection: Connection, workload: str, event: Event, now: datetime) -> Upgrade | None:
    """The upgrade as it ends; None if none was open."""
    try:
        before = upgrades.active(connection, workload, hold=True)
        if before is None:
            return None
        event = replace(event, at=max(event.at, before.entered))
        after = machine.apply(before, event)
        upgrades.append(connection, before, after, event, {}, "", now)
        return after
    except (MidshiftError, IntegrityError) as error:
        raise _Unclosable(str(error)) from error


def _sqlite_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        kind = "no address" if parsed is None else f"a {parsed.drivername!r} address"  # an address can hold a password
        raise UsageError(f"store: found {kind}, expected sqlite:///FILE (or sqlite:// for one in memory)")
    return parsed


def _check_route_is_of(upgrade: Upgrade, route: Route | None) -> None:
    """An upgrade that is over may leave its route."""
    allowed = (upgrade.id, None) if upgrade.stage.is_final else (upgrade.id,)
    if route is not None and (route.workload != upgrade.workload or route.upgrade not in allowed):
        raise UsageError(
            f"upgrade {upgrade.id!r} of workload {upgrade.workload!r}: found a route of workload {route.workload!r} "
            f"with upgrade {route.upgrade!r}, expected its own (domain.upgrade.route_of, settled)"
        )


def _check_share(upgrade: Upgrade, serving: Route | None) -> None:
    """What is logged must be what users get: the candidate for its share of them, the incumbent for the rest."""
    if serving is None:
        served = (0.0, 1.0)
    else:
        served = (_share(serving, upgrade.candidate), _share(serving, upgrade.home))
    if served != (upgrade.share, 1.0 - upgrade.share):
        raise UsageError(
            f"upgrade {upgrade.id!r} in stage {upgrade.stage} at step {upgrade.step} serves its candidate to "
            f"{upgrade.share:.4%} of units, and the route serves it to {served[0]:.4%} and the incumbent to "
            f"{served[1]:.4%}; commit the route of that state along with it (domain.upgrade.route_of, settled)"
        )


def _share(route: Route, variant: str) -> float:
    """The share of units that get this variant."""
    if route.incumbent == variant:
        return 1.0 - route.share
    return route.share if route.candidate == variant else 0.0
