"""Load, decide, apply, append: the shell around `decide`.

One tick looks at every upgrade that has not ended. A decision, the new state and the routing row are written in one
transaction, fenced by the upgrade's version and the controller's lease: of two controllers that both believe to be
the one, the second write is refused and nothing of it stays. Between decisions only the exposure lease is renewed;
when that stops, gateways go home to the incumbent by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from midshift.controller.decide import POLICY, decide
from midshift.controller.evidence import LATENCY, METRICS, Taken, gather, to_record
from midshift.domain.evidence import EvalEvidence, Evidence
from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.move import Move
from midshift.domain.routing import Route
from midshift.domain.suite import AGGREGATE
from midshift.domain.upgrade import Event, Stage, Upgrade, apply, route_of, settled
from midshift.errors import Fenced
from midshift.ports import Clock, Decisions, Leases

LEADERSHIP = timedelta(seconds=15)
EXPOSURE_LEASE = timedelta(minutes=10)
_EVALUATED = frozenset((Stage.EVAL, Stage.RETUNE, Stage.SHADOW))
"""The stages that wait for what an eval says."""


class ControllerStore(Decisions, Leases, Protocol):
    """What the loop needs of a store."""

    def upgrades(self) -> Sequence[Upgrade]:
        """Every upgrade, ended ones included."""
        ...

    def sums(
        self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
    ) -> Mapping[SumKey, Sum]:
        """The block sums of one upgrade: of these metrics and slices, or of all where none is named."""
        ...

    def histograms(
        self, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
    ) -> Mapping[HistogramKey, Histogram]:
        """The histograms of one upgrade, likewise."""
        ...

    def route(self, workload: str) -> Route | None:
        """The routing row of a workload."""
        ...


class Sources(Protocol):
    """Where evidence comes from that is not in the sums."""

    def eval_of(self, upgrade: Upgrade) -> EvalEvidence | None:
        """The eval of the present candidate, if it has one that rests on what the upgrade rests on."""
        ...

    def eval_trouble(self, upgrade: Upgrade) -> str:
        """Why an eval that is on record counts as none, and what to type; empty where there is none to speak of."""
        ...

    def flagged_drift(self, upgrade: Upgrade) -> tuple[str, ...]:
        """The drift that shadow pairs show beyond chance."""
        ...

    def unseen(self, upgrade: Upgrade) -> Taken | None:
        """What the candidate's answers in shadow pairs took; None before the first."""
        ...


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did about one upgrade."""

    before: Upgrade
    evidence: Evidence
    decision: Move
    after: Upgrade


class Controller:
    """The loop's one turn; whoever owns the thread calls `tick` as often as it likes."""

    def __init__(self, store: ControllerStore, sources: Sources, clock: Clock, owner: str) -> None:
        self._store, self._sources, self._clock, self._owner = store, sources, clock, owner

    def tick(self) -> list[Tick]:
        """Look at every open upgrade once; nothing while another controller leads."""
        lease = self._store.take_lease(self._owner, self._clock.machine_now(), LEADERSHIP)
        if lease is None:
            return []
        ticks = [self._look_at(item, lease.epoch) for item in self._store.upgrades() if not item.stage.is_final]
        if any(tick.after.stage.serves_candidate for tick in ticks):
            self._keep_serving(lease.epoch)
        return ticks

    def _look_at(self, upgrade: Upgrade, lease_epoch: int) -> Tick:
        evidence = self.evidence(upgrade)
        now = self._clock.now()
        decision = decide(upgrade, evidence, now)
        if decision.kind is None:
            return Tick(upgrade, evidence, decision, upgrade)
        event = Event(decision.kind, now, why=decision.reason)
        after = apply(upgrade, event)
        try:
            self._store.commit(
                upgrade, after, event, to_record(evidence), POLICY, self._route_after(after), lease_epoch
            )
        except Fenced:
            return Tick(upgrade, evidence, Move(None, "somebody else decided first"), upgrade)
        return Tick(upgrade, evidence, decision, after)

    def evidence(self, upgrade: Upgrade) -> Evidence:
        """What would be decided on now."""
        in_shadow = upgrade.stage is Stage.SHADOW
        return gather(
            upgrade,
            self._store.sums(upgrade.id, METRICS, (AGGREGATE,)),
            self._sources.eval_of(upgrade),
            self._sources.flagged_drift(upgrade) if in_shadow else (),
            self._store.histograms(upgrade.id, (LATENCY,), (AGGREGATE,)),
            self._sources.unseen(upgrade) if in_shadow else None,
            self._sources.eval_trouble(upgrade) if upgrade.stage in _EVALUATED else "",
        )

    def _route_after(self, after: Upgrade) -> Route:
        current = self._store.route(after.workload)
        epoch = 1 if current is None else current.epoch + 1
        if after.stage.is_final:
            return settled(after, epoch)
        return route_of(after, epoch, self._clock.machine_now() + EXPOSURE_LEASE)

    def _keep_serving(self, lease_epoch: int) -> None:
        """Tell the gateways that somebody is still watching; without it they go home to the incumbent."""
        try:
            self._store.extend_routes(self._clock.machine_now() + EXPOSURE_LEASE, lease_epoch)
        except Fenced:
            return  # another controller leads now, and watches for itself
