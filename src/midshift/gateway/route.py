"""The routing rows as a gateway follows them, and every rule that sends its traffic home to the incumbent.

A thread asks the source several times a second; the path of a request reads one immutable snapshot, so a source that
is slow, silent or gone delays nothing. A flip needs no memory of who was served what: the next request of the longest
session reads the new row.

Home, to the incumbent, whatever the row says:
    forced     `MIDSHIFT_FORCE=incumbent` in the environment, or the force file on the host, as long as it is there
    flipped    by the admin port, until the store acknowledges it: a row of a later epoch that gives users no candidate
    stale      nothing was heard from the source for ten minutes (below a share of 100 %)
    lease      the row's lease is over, so no controller watches (below a share of 100 %): at once for whoever is new to
               this gateway, for everybody else 50 minutes later
    unservable the candidate is unknown, malformed, or of a provider that this gateway has no way to
    unrouted   there is no row: the incumbent that was applied serves

Elsewhere: the file that survives a restart (lastknown), who gets the candidate (domain.routing), what is said of it to
others (reporting).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from midshift.domain.gateways import LONGEST_CUT_OFF, Told
from midshift.domain.rendering import Recipe
from midshift.domain.routing import Route
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.errors import ConfigError, UsageError
from midshift.gateway import lastknown
from midshift.gateway.acquainted import Acquainted
from midshift.gateway.forcing import Forcing
from midshift.gateway.lastknown import LastKnown
from midshift.gateway.reporting import Reporting, Reports
from midshift.gateway.settings import GatewaySettings
from midshift.ports import Clock, RouteSource

LOG = logging.getLogger(__name__)

LONGEST_SILENCE = LONGEST_CUT_OFF
LONGEST_UNWATCHED = timedelta(minutes=50)
"""After the lease, which lasts ten minutes from the last heartbeat of a controller: at 60 minutes everybody is home."""

FILE_EVERY = timedelta(minutes=1)
PATIENCE_AT_START_S = 2.0

_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Home(StrEnum):
    """Why the incumbent serves everything."""

    FORCED = "forced"
    FLIPPED = "flipped"
    STALE = "stale"
    LEASE = "lease"
    UNSERVABLE = "unservable"
    UNROUTED = "unrouted"


@dataclass(frozen=True, slots=True)
class ServedVariant:
    """A variant with what is asked of it in every request, worked out once."""

    variant: Variant
    id: str
    short_id: bytes
    recipe: Recipe

    @classmethod
    def of(cls, variant: Variant) -> ServedVariant:
        """The same.

        Raises:
            ValueError: if it cannot be rendered.
        """
        return cls(variant, variant.id, variant.short_id.encode(), Recipe.of(variant))


@dataclass(frozen=True, slots=True)
class Serving:
    """What one workload is served with: the row as it is in force, and its variants. `home` says why there is none.

    `others` are the row's further candidates, as far as this gateway can ask them; they answer unseen alone.
    `is_unwatched` while the lease is over, and those who have the candidate keep it.
    """

    route: Route
    incumbent: ServedVariant
    candidate: ServedVariant | None = None
    home: Home | None = None
    others: tuple[ServedVariant, ...] = ()
    is_unwatched: bool = False

    def sent_home(self, why: Home) -> Serving:
        """The incumbent for everybody; nothing that happens then belongs to an upgrade."""
        return Serving(Route(self.route.workload, self.route.incumbent, self.route.epoch), self.incumbent, None, why)

    def unwatched(self) -> Serving:
        """The same for users, and nothing unseen."""
        route = replace(self.route, shadow_share=0.0, noise_share=0.0, pair_share=0.0, reverse_share=0.0, others=())
        return replace(self, route=route, others=(), is_unwatched=True)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as the source has it, what serves by it, and when it was last confirmed (machine time).

    From then on and before `calm_until` neither silence nor lease is a question.
    """

    route: Route
    serving: Serving
    confirmed_at: datetime
    calm_until: datetime

    @classmethod
    def at(cls, confirmed_at: datetime, route: Route, serving: Serving) -> _Row:
        """A row that was confirmed at this time."""
        until, lease = confirmed_at + LONGEST_SILENCE, route.lease_until
        return cls(route, serving, confirmed_at, until if lease is None else min(until, lease))

    @property
    def was_heard(self) -> bool:
        """Whether it comes from a source or a file, and not only from what was applied."""
        return self.confirmed_at > _NEVER


class Routes:
    """Follows a `RouteSource`. `serving` is for the path of a request; all else happens beside it.

    Raises:
        UsageError: if `MIDSHIFT_FORCE` is set to anything but `incumbent`.
        ConfigError: if the applied incumbent of a workload cannot be rendered.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        source: RouteSource | None,
        clock: Clock,
        environment: Mapping[str, str],
        reports: Reports | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._clock = clock
        self._reporting = Reporting(settings.process, reports)
        self._forcing = Forcing(environment, settings.force_file)
        self._forced = self._forcing.holds()
        self._lock = threading.Lock()
        self._asking, self._keeping = threading.Lock(), threading.Lock()
        self._variants: dict[str, ServedVariant] = {}
        self._current: frozenset[str] = frozenset()
        self._flips: dict[str, int] = {}
        self._acquainted = Acquainted()
        self._rows = {workload.name: self._unrouted(workload) for workload in settings.workloads}
        self._owes_a_look = True
        self._filed: tuple[datetime, Sequence[Route]] = (_NEVER, ())
        self._stopping = threading.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="midshift-routes", daemon=True)
        self.failures = 0

    async def start(self, patience_s: float = PATIENCE_AT_START_S) -> None:
        """Begin to follow. Returns with the rows of the source, or else with those of the last-known-good file."""
        folder = self._settings.state_dir
        known = await asyncio.to_thread(lastknown.read, folder) if folder is not None else None
        if known is not None:  # before the first look, which writes the file anew
            self._flips = {name: at for name, at in (known.flips or {}).items() if name in self._rows}
        self._thread.start()
        await asyncio.to_thread(self._looked.wait, patience_s)
        if known is not None:
            self._remember(known)

    async def stop(self, patience_s: float = PATIENCE_AT_START_S) -> None:
        """Follow no longer; a source that hangs is not waited for."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, patience_s)

    def serving(self, workload: str, now: datetime, unit: str | None = None) -> Serving:
        """What serves a workload, or one unit of it, at `now` (machine time). With a unit: for the loop alone."""
        row = self._rows[workload]
        serving = row.serving
        if serving.candidate is None:
            return serving
        if self._forced:
            return serving.sent_home(Home.FORCED)
        if workload in self._flips:
            return serving.sent_home(Home.FLIPPED)
        if serving.route.share < 1.0:
            if not row.confirmed_at <= now < row.calm_until:
                if abs(now - row.confirmed_at) > LONGEST_SILENCE:
                    return serving.sent_home(Home.STALE)
                if serving.route.lease_until is not None and now >= serving.route.lease_until:
                    return self._unwatched(serving, now - serving.route.lease_until, unit)
            if unit is not None:
                self._acquainted.meet(workload, serving.route.epoch, unit, now)
        return serving

    def _unwatched(self, serving: Serving, since: timedelta, unit: str | None) -> Serving:
        """What serves after the lease: nobody new gets the candidate, and in the end nobody at all."""
        route = serving.route
        is_new = unit is not None and not self._acquainted.knows(route.workload, route.epoch, unit)
        if is_new or since >= LONGEST_UNWATCHED or not route.serves_candidate:
            return serving.sent_home(Home.LEASE)
        return serving.unwatched()

    def flip(self, workloads: Sequence[str]) -> dict[str, int]:
        """Send workloads home from the next request on; returns the epoch that each flip was made at."""
        with self._lock:
            made = {name: self._rows[name].route.epoch for name in workloads}
            self._flips = {**self._flips, **made}
        return made

    def keep(self) -> bool:
        """Write the last-known-good file; False if there is no place for it, or the disk refuses. May block."""
        folder = self._settings.state_dir
        with self._keeping:  # what was known first must not be what is written last
            return folder is not None and self._kept(folder)

    def _kept(self, folder: Path) -> bool:
        with self._lock:
            heard, flips = self._heard(), self._flips
        routes = tuple(row.route for row in heard)
        served = {known.id: known.variant for row in heard for known in _variants_of(row.serving)}
        confirmed_at = min((row.confirmed_at for row in heard), default=_NEVER)
        try:
            lastknown.write(folder, LastKnown(confirmed_at, routes, tuple(served.values()), flips))
        except OSError as error:
            LOG.warning("the last-known-good file in %r cannot be written: %s", str(folder), error.strerror)
            return False
        self._filed = (self._clock.machine_now(), routes)
        return True

    def look_at_force_file(self) -> None:
        """Obey the file on the host, or its absence. One `stat`: for the loop, so that no store can delay it."""
        self._forced = self._forcing.holds()

    def look(self) -> None:
        """Ask the source once, and take over what it says. For the thread, and for tests instead of it."""
        try:
            with self._asking:
                self._ask()
        except Exception as error:  # noqa: BLE001 - whatever a source does, following goes on; silence has its own rule
            self.failures += 1
            LOG.warning("the routes cannot be read (%s), serving what was last known", type(error).__name__)
        finally:
            self._looked.set()

    def opened(self) -> None:
        """Requests are answered: from now on it is said what serves them."""
        self._reporting.open()

    def closed(self) -> None:
        """None are any more. For the thread, and for tests instead of it."""
        try:
            self._reporting.leave(self._clock.machine_now())
        except Exception as error:  # noqa: BLE001 - as in `look`: silence says the same, half a minute later
            LOG.warning("the store does not hear that this gateway ends (%s)", type(error).__name__)

    def _follow(self) -> None:
        self.look()
        while not self._stopping.wait(self._settings.poll_s):
            self.look()
        self.closed()

    def _ask(self) -> None:
        source = self._source
        if source is None:
            return
        if source.changed() or self._owes_a_look:
            self._owes_a_look = True
            self._take_over(source, source.routes())
            self._owes_a_look = False
        else:
            self._confirm()
        self._tell()

    def _take_over(self, source: RouteSource, routes: Sequence[Route]) -> None:
        now = self._clock.machine_now()
        found = {route.workload: route for route in routes}
        rows = {}
        for name, old in self._rows.items():
            route = found.get(name)
            # An older epoch is a replica that lags, or a backup: it must not undo a rollback.
            if route is not None and route.epoch >= old.route.epoch and (row := self._row(source, route, now)):
                rows[name] = row
        with self._lock:
            self._rows = {**self._rows, **rows}
            self._current = frozenset(rows)
            flips = {name: at for name, at in self._flips.items() if not _acknowledges(rows.get(name), at)}
            ended = len(flips) < len(self._flips)
            self._flips = flips
        filed_at, filed = self._filed
        if ended or now - filed_at > FILE_EVERY or filed != tuple(row.route for row in self._heard()):
            self.keep()

    def _row(self, source: RouteSource, route: Route, now: datetime) -> _Row | None:
        """One row with its variants. A candidate that cannot be served stays at home; without incumbent, no row.

        Row by row, because a rollback of one workload must not wait for the repair of another.
        """
        incumbent = self._variant(source, route.incumbent)
        candidate = self._variant(source, route.candidate) if route.candidate is not None else None
        found = (self._variant(source, other.variant) for other in route.others)
        others = tuple(other for other in found if other is not None)
        return None if incumbent is None else _Row.at(now, route, _serving(route, incumbent, candidate, others))

    def _variant(self, source: RouteSource, variant_id: str) -> ServedVariant | None:
        known = self._variants.get(variant_id)
        if known is None:
            try:
                known = self._checked(source.variant(variant_id))
            except Exception as error:  # noqa: BLE001 - as in `look`: one bad variant must not hold up the other rows
                self.failures += 1
                LOG.warning("variant %r cannot be served: %s", variant_id, error)
                return None
            self._variants[variant_id] = known
        return known

    def _checked(self, variant: Variant) -> ServedVariant:
        if variant.provider not in self._settings.upstreams:
            raise UsageError(f"its provider {variant.provider!r} is not among this gateway's upstreams")
        return ServedVariant.of(variant)

    def _confirm(self) -> None:
        now = self._clock.machine_now()
        with self._lock:
            self._rows = {
                name: _Row.at(now, row.route, row.serving) if name in self._current else row
                for name, row in self._rows.items()
            }
        if now - self._filed[0] > FILE_EVERY:
            self.keep()

    def _tell(self) -> None:
        now = self._clock.machine_now()
        servings = {name: self.serving(name, now) for name in self._rows}
        self._reporting.tell({name: Told(found.route.epoch, found.home or "") for name, found in servings.items()}, now)

    def _remember(self, known: LastKnown) -> None:
        """Take the rows of the file for workloads of which nothing was heard."""
        variants = {}
        for variant in known.variants:
            try:
                variants[variant.id] = self._checked(variant)
            except (UsageError, ValueError) as error:
                LOG.warning("the last-known-good file names a variant that cannot be served: %s", error)
        rows = {}
        for route in known.routes:
            incumbent = variants.get(route.incumbent)
            if incumbent is not None:
                candidate = variants.get(route.candidate or "")
                others = tuple(variants[other.variant] for other in route.others if other.variant in variants)
                rows[route.workload] = _Row.at(known.confirmed_at, route, _serving(route, incumbent, candidate, others))
        with self._lock:
            self._rows = {name: row if row.was_heard else rows.get(name, row) for name, row in self._rows.items()}

    def _heard(self) -> list[_Row]:
        return [row for row in self._rows.values() if row.was_heard]

    def _unrouted(self, workload: Workload) -> _Row:
        try:
            incumbent = ServedVariant.of(workload.incumbent)
        except ValueError as error:
            raise ConfigError(f"the incumbent of workload {workload.name!r} cannot be rendered: {error}") from None
        route = Route(workload.name, incumbent.id, 0)
        return _Row.at(_NEVER, route, Serving(route, incumbent, None, Home.UNROUTED))


def _serving(
    route: Route, incumbent: ServedVariant, candidate: ServedVariant | None, others: tuple[ServedVariant, ...]
) -> Serving:
    serving = Serving(route, incumbent, candidate, others=others)
    unservable = route.candidate is not None and candidate is None
    return serving.sent_home(Home.UNSERVABLE) if unservable else serving


def _acknowledges(row: _Row | None, flipped_at: int) -> bool:
    """Whether the store has heard of a local flip: a later row that gives no user the candidate, be it for once.

    A later row alone is not enough: a controller that has not heard of the flip goes on raising the share.
    """
    return row is not None and row.route.epoch > flipped_at and not row.route.serves_candidate


def _variants_of(serving: Serving) -> tuple[ServedVariant, ...]:
    candidate = () if serving.candidate is None else (serving.candidate,)
    return (serving.incumbent, *candidate, *serving.others)
