"""Every seam through which midshift reaches the outside world, as small protocols.

A shell owns the real thing, a test passes a fake (`midshift.testing`); nothing else knows the difference.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from midshift.domain.capture import CapturedRequest, FeedbackRecord
from midshift.domain.exposure import Exposure, HistogramKey, Pair, Sum, SumKey
from midshift.domain.gateways import Death, GatewayProcess, GatewayReport, Told
from midshift.domain.histogram import Histogram
from midshift.domain.paid_call import CallKey, Intent, Purchase, Result, Settled
from midshift.domain.routing import Route
from midshift.domain.upgrade import Event, Upgrade
from midshift.domain.variant import Variant


class Clock(Protocol):
    """Time, of two kinds that never mix."""

    def now(self) -> datetime:
        """Playbook time, with a zone: holds, deadlines, dates on reports. May be scaled or simulated."""
        ...

    def machine_now(self) -> datetime:
        """Machine time, with a zone: leases and heartbeats, which processes compare with each other. Never scaled."""
        ...

    def monotonic_s(self) -> float:
        """Machine time in seconds from an arbitrary origin: durations, rates, timeouts. Never scaled."""
        ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request of a kind that answers as a whole: prices, models, lifecycles, evals. Header names in any case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back, whatever its status; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFailed(Exception):
    """There is no answer, or not all of it; `reason` is one of `unreachable`, `timeout`, `broken`, `too_large`, `busy`.

    Its text names the host and no secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Http(Protocol):
    """Whatever asks other machines off the request path of users."""

    def ask(self, request: HttpRequest, timeout_s: float) -> Awaitable[HttpAnswer]:
        """The whole answer within the time.

        Raises:
            HttpFailed: if there is none.
        """
        ...


class PaidCalls(Protocol):
    """What was bought of models, so that nothing is paid twice. Any thread may call; writing does not block."""

    def write(self, entries: Sequence[Intent | Settled], done: Callable[[Exception | None], None]) -> None:
        """Keep intents and results, all or none; `done` is called from another thread once they outlive a crash.

        A second intent for the same key and attempt fails, and so does whatever is written with it.

        Raises:
            StoreError: if it is closed.
        """
        ...

    def purchases(self, keys: Iterable[CallKey]) -> dict[CallKey, Purchase]:
        """Where these keys stand; those that nobody ever asked are left out."""
        ...

    def results(self, keys: Iterable[CallKey]) -> Iterator[tuple[CallKey, Result | None]]:
        """The result of each key's last attempt, in the order of the keys; None where there is none (yet)."""
        ...


class RouteSource(Protocol):
    """What a gateway follows: the routing rows, and the variants that they name."""

    def changed(self) -> bool:
        """Whether anything may have changed since the last call; cheap enough for ten times a second."""
        ...

    def routes(self) -> Sequence[Route]:
        """All routing rows as they are now."""
        ...

    def variant(self, variant_id: str) -> Variant:
        """A variant by its hash."""
        ...


class Recorder(Protocol):
    """Where a gateway leaves what it did; never blocks the request."""

    def record(self, *exposures: Exposure) -> None:
        """Take finished requests: all of them, or none where it raises."""
        ...

    def record_pair(self, pair: Pair) -> None:
        """Take both answers to one shadowed request."""
        ...

    def record_request(self, request: CapturedRequest) -> None:
        """Take a request whose texts may be kept. Its body may be a `msgspec.Raw`, to be written as it is."""
        ...

    def record_feedback(self, feedback: FeedbackRecord) -> None:
        """Take what a user said about an answer."""
        ...


CONTROLLER = "controller"
"""The name of the lease under which one controller at a time decides."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a workload is defined as: `content` is plain JSON, known by its `hash`. `applied_at` is machine time."""

    workload: str
    hash: str
    content: Mapping[str, object]
    applied_at: datetime
    who: str
    git_commit: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event as it was written: `version` is the upgrade's after it, `evidence` what it was decided on."""

    version: int
    event: Event
    evidence: Mapping[str, object]
    policy: str
    machine_at: datetime


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One change of a routing row, whoever made it. `machine_at` is when."""

    route: Route
    who: str
    why: str
    machine_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A workload's routing row and its active upgrade, read at one moment."""

    route: Route | None
    upgrade: Upgrade | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to decide until `until`. `epoch` rises with each taking: what an earlier holder writes is fenced.

    `looked_at` is when its holder took or renewed it last; None where a version that did not say so wrote it.
    """

    owner: str
    epoch: int
    until: datetime
    name: str = CONTROLLER
    looked_at: datetime | None = None


class Definitions(Protocol):
    """What was applied, and the variants that it names."""

    def apply_definitions(
        self, definitions: Sequence[Definition], variants: Sequence[Variant] = (), routes: Sequence[Route] = ()
    ) -> None:
        """Record definitions in one transaction; `routes` are first routing rows, for workloads that have none.

        A routing row that is there stays as it is, so that a re-apply after a rollback keeps the rollback.

        Raises:
            StoreError: if a route names another incumbent than the one that serves; nothing is written then.
        """
        ...

    def definitions(self) -> Sequence[Definition]:
        """The newest definition of each workload, by name."""
        ...

    def put_variant(self, variant: Variant) -> str:
        """Store a variant whole, under its hash; again is the same. Returns the hash."""
        ...


class Routing(RouteSource, Protocol):
    """The routing rows, for whoever changes them. `variant` is the gateway's."""

    def route(self, workload: str) -> Route | None:
        """The routing row of a workload, or None."""
        ...

    def put_route(self, route: Route, expected_epoch: int, who: str = "", why: str = "") -> None:
        """Replace the row of epoch `expected_epoch` by one of the next; 0 stands for "there is none yet".

        Raises:
            Fenced: if the row has another epoch by now; nothing is written then.
            StoreError: if the route names a variant that is not stored.
        """
        ...

    def roll_back(self, workload: str, who: str, why: str, at: datetime) -> Route:
        """Put the incumbent everywhere, in one write: no lease, no controller and no upgrade is needed for it.

        An active upgrade is recorded as rolled back, at `at` (playbook time; a clock that is behind does not hinder).

        Raises:
            StoreError: if the workload has no routing row.
        """
        ...

    def route_changes(self, workload: str) -> Sequence[RouteChange]:
        """Every change of a routing row, oldest first."""
        ...


class UpgradeLog(Protocol):
    """Upgrades as they stand, and how they came to it."""

    def upgrade(self, upgrade_id: str) -> Upgrade:
        """An upgrade by its id.

        Raises:
            StoreError: if there is none of that id.
        """
        ...

    def began(self, upgrade_id: str) -> Upgrade:
        """The same as it was when it began: with its events replayed it is `upgrade(upgrade_id)`."""
        ...

    def upgrades(self) -> Sequence[Upgrade]:
        """All of them, in the order in which they began."""
        ...

    def events(self, upgrade_id: str) -> Sequence[LoggedEvent]:
        """What happened to one, oldest first."""
        ...


class Decisions(Protocol):
    """Where a controller writes what it decided: whole or not at all, and only on what it had read."""

    def active_upgrade(self, workload: str) -> Upgrade | None:
        """The upgrade of a workload that is not over; there is at most one."""
        ...

    def standing(self, workload: str) -> Standing:
        """Routing row and active upgrade, read at one moment."""
        ...

    def start_upgrade(self, upgrade: Upgrade, route: Route | None, who: str = "", why: str = "") -> None:
        """Record a new upgrade and, in the same transaction, the next routing row.

        Raises:
            Fenced: if the routing row has changed since it was read.
            StoreError: if the workload already has an active upgrade, or is served by another incumbent.
        """
        ...

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
        """Write event, state and routing row in one transaction.

        `route` carries the next epoch; None leaves the row. `lease_epoch` None is for people, who need no lease.

        Raises:
            Fenced: if the upgrade, the routing row or the lease is not what it was; nothing is written then.
            InvalidTransition: if the event cannot happen to `before`.
            UsageError: if `after` is not what the event makes of it, or users would get another share than it says.
        """
        ...


class Leases(Protocol):
    """Who may decide. All times are machine time."""

    def take_lease(self, owner: str, now: datetime, ttl: timedelta) -> Lease | None:
        """The lease if it is free, over, or this owner's from before (a restart); None while another holds it.

        `owner` must be unique to one process.
        """
        ...

    def renew(self, lease: Lease, now: datetime, ttl: timedelta) -> Lease:
        """The same lease for longer.

        Raises:
            Fenced: if somebody has taken it since.
        """
        ...

    def release(self, lease: Lease, now: datetime) -> None:
        """Give the lease back at once; nothing happens if it is somebody else's by now."""
        ...

    def lease(self) -> Lease | None:
        """The last lease that was taken, over or not; None before the first."""
        ...

    def extend_routes(self, until: datetime, lease_epoch: int) -> None:
        """Let gateways serve candidates until then, on every routing row that has one: `lease_until`, same epoch.

        Raises:
            Fenced: if somebody has taken the lease since.
        """
        ...


class Measurements(Protocol):
    """Sums of what gateways saw, merged exactly once."""

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = ...,
    ) -> bool:
        """Add one batch; False if this gateway's batch of that number was merged before, so retrying is harmless.

        Blocks until it is committed. `gateway` must be unique to one process (`GatewayProcess.key`): of two that share
        one, each would take the other's numbers, and a batch whose fate is unknown could be lost.
        """
        ...

    def last_sequence(self, gateway: str) -> int | None:
        """The highest number that this gateway has merged: a restarted one goes on from there."""
        ...

    def sums(self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()) -> dict[SumKey, Sum]:
        """The sums of one upgrade: of these metrics and slices, or of all where none is named."""
        ...

    def histograms(
        self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
    ) -> dict[HistogramKey, Histogram]:
        """The histograms of one upgrade, likewise."""
        ...

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """Add what a feedback says; False, and nothing added, if this request has had one before, anywhere.

        `request` names the request, in at most 64 characters. `at` is machine time. Blocks until it is committed.
        """
        ...


class GatewayReports(Protocol):
    """Which gateways serve what: how people know that a change has arrived. `domain.gateways` says what it means."""

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """Forget what the `dead` of that name said (their instances), and what is of interest to nobody any more.

        They must be dead for certain: the numbers of their batches are forgotten too.
        """
        ...

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """Take note of what a gateway serves, by workload."""
        ...

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """It ends, and serves nobody any more."""
        ...

    def say_dead(self, process: GatewayProcess, heard_at: datetime, death: Death) -> None:
        """Somebody says that it is dead, who heard it last at `heard_at`: void as soon as anything later is heard."""
        ...

    def reports(self) -> Sequence[GatewayReport]:
        """The last report of each process on each workload."""
        ...


class Store(Definitions, Routing, UpgradeLog, Decisions, Leases, Measurements, GatewayReports, Protocol):
    """Everything that outlives a process. Any thread may call; `midshift.testing.contracts` says what must hold."""

    def close(self) -> None:
        """Finish what was begun and let go; afterwards every call raises StoreError."""
        ...
