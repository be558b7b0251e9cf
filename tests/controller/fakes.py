"""A store and sources in memory, with the promises that the loop relies on and nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from midshift.controller.decide import decide
from midshift.controller.evidence import Taken, from_record
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Exposure, HistogramKey, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Route
from midshift.domain.sums import Sums
from midshift.domain.upgrade import Event, Upgrade
from midshift.errors import Fenced
from midshift.ports import Lease, Standing


@dataclass
class Logged:
    before: Upgrade
    event: Event
    evidence: Mapping[str, object]
    policy: str

    def decided_again(self) -> str | None:
        """What the logged evidence leads to now."""
        kind = decide(self.before, from_record(self.evidence), self.event.at).kind
        return None if kind is None else kind.value


@dataclass
class FakeStore:
    """Implements `controller.loop.ControllerStore`."""

    by_id: dict[str, Upgrade] = field(default_factory=dict)
    by_workload: dict[str, Route] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)
    collected: Sums = field(default_factory=Sums)
    owner: str | None = None
    lease_epoch: int = 0
    renewals: int = 0

    def take_lease(self, owner: str, now: datetime, ttl: timedelta) -> Lease | None:
        if self.owner is None:
            self.owner, self.lease_epoch = owner, self.lease_epoch + 1
        return Lease(owner, self.lease_epoch, now + ttl) if self.owner == owner else None

    def renew(self, lease: Lease, now: datetime, ttl: timedelta) -> Lease:
        return replace(lease, until=now + ttl)

    def release(self, lease: Lease, now: datetime) -> None:
        self.owner = None

    def lease(self) -> Lease | None:
        return None if self.owner is None else Lease(self.owner, self.lease_epoch, datetime.max.replace(tzinfo=UTC))

    def extend_routes(self, until: datetime, lease_epoch: int) -> None:
        for workload, route in self.by_workload.items():
            if route.candidate is not None:
                self.by_workload[workload] = replace(route, lease_until=until)
        self.renewals += 1

    def active_upgrade(self, workload: str) -> Upgrade | None:
        return next((item for item in self.by_id.values() if not item.stage.is_final), None)

    def standing(self, workload: str) -> Standing:
        return Standing(self.route(workload), self.active_upgrade(workload))

    def start_upgrade(self, upgrade: Upgrade, route: Route | None, who: str = "", why: str = "") -> None:
        self.by_id[upgrade.id] = upgrade

    def upgrades(self) -> list[Upgrade]:
        return list(self.by_id.values())

    def sums(
        self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
    ) -> Mapping[SumKey, Sum]:
        return {key: value for key, value in self.collected.by_key.items() if key.upgrade == upgrade_id}

    def histograms(
        self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
    ) -> Mapping[HistogramKey, Histogram]:
        return {key: value for key, value in self.collected.histograms.items() if key.upgrade == upgrade_id}

    def route(self, workload: str) -> Route | None:
        return self.by_workload.get(workload)

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
        if self.by_id[before.id].version != before.version or lease_epoch != self.lease_epoch:
            raise Fenced("upgrade changed")
        self.by_id[after.id] = after
        self.log.append(Logged(before, event, evidence, policy))
        if route is not None:
            self.by_workload[route.workload] = route

    def serve(self, exposure: Exposure) -> None:
        """What a gateway would have added."""
        self.collected.add(exposure)


@dataclass
class FakeSources:
    """Implements `controller.loop.Sources`: one eval for whatever candidate is asked about."""

    found: EvalEvidence
    flagged: tuple[str, ...] = ()
    taken: Taken | None = None

    def eval_of(self, upgrade: Upgrade) -> EvalEvidence | None:
        return replace(self.found, candidate=upgrade.candidate)

    def eval_trouble(self, upgrade: Upgrade) -> str:
        return ""

    def flagged_drift(self, upgrade: Upgrade) -> tuple[str, ...]:
        return self.flagged

    def unseen(self, upgrade: Upgrade) -> Taken | None:
        return self.taken
