"""What the checks share: one upgrade that is walked through a store, and variants, times and keys to do it with.

Elsewhere: what has to hold on the way (the checks, by what they are about).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from midshift.domain.exposure import SumKey
from midshift.domain.plan import Plan
from midshift.domain.routing import Arm, Route
from midshift.domain.upgrade import Event, Kind, Upgrade, apply, begin, replay, route_of, settled
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import MidshiftError
from midshift.ports import Lease, Store

MakeStore: TypeAlias = Callable[[], Store]
Check: TypeAlias = Callable[[MakeStore], None]

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LATER = START + 400 * DAY
TTL = timedelta(seconds=10)
INCUMBENT = Variant("sim", "old-model")
CANDIDATE = Variant("sim", "new-model", Prompt(PromptMode.REPLACE, "Be brief."), "low", {"stop": ("a", {"b": 1.0})})
OTHER = Variant("sim", "other-model")
KEY = SumKey("support", "up-1", 1, Arm.CANDIDATE, "*", "error", 3)
TO_SOAK = (
    Kind.EVAL_CLEARED,
    Kind.SHADOW_COMPLETED,
    Kind.STEP_ADVANCED,
    Kind.STEP_ADVANCED,
    Kind.FULLY_ROLLED_OUT,
)


@dataclass
class Run:
    """One upgrade of one workload in a store, walked from event to event. For checks, tests and demos."""

    store: Store
    upgrade: Upgrade

    @classmethod
    def begun(cls, store: Store, workload: str = "support", upgrade_id: str = "up-1", at: datetime = START) -> Run:
        """A workload with its routing row, and an upgrade of it that begins."""
        incumbent, candidate = store.put_variant(INCUMBENT), store.put_variant(CANDIDATE)
        current = store.route(workload)
        if current is None:
            current = Route(workload, incumbent, 1)
            store.put_route(current, 0)
        upgrade = begin(upgrade_id, workload, incumbent, candidate, Plan(), at, salt=f"salt-{upgrade_id}")
        store.start_upgrade(upgrade, route_of(upgrade, current.epoch + 1, None))
        return cls(store, upgrade)

    def event(self, kind: Kind) -> Event:
        """The next event, a day after the last."""
        return Event(kind, self.upgrade.entered + DAY, who="ada", why="because")

    def route_after(self, after: Upgrade) -> Route:
        """The next routing row."""
        route = self.store.route(after.workload)
        epoch = 1 if route is None else route.epoch + 1
        return settled(after, epoch) if after.stage.is_final else route_of(after, epoch, LATER)

    def step(self, kind: Kind, lease_epoch: int | None = None, evidence: Mapping[str, object] | None = None) -> Upgrade:
        """Commit one event with the routing row that it leads to."""
        event = self.event(kind)
        after = apply(self.upgrade, event)
        self.store.commit(self.upgrade, after, event, evidence or {}, "p/1", self.route_after(after), lease_epoch)
        self.upgrade = after
        return after

    def walk(self, *kinds: Kind) -> Upgrade:
        """Commit one event after the other."""
        for kind in kinds:
            self.step(kind)
        return self.upgrade


def assert_whole(store: Store) -> None:
    """Nothing in the store contradicts anything else, whatever happened to the processes that wrote it.

    Raises:
        AssertionError: where a state is not the replay of its events, or users get another share than it says.
    """
    for upgrade in store.upgrades():
        log = store.events(upgrade.id)
        assert [logged.version for logged in log] == list(range(1, upgrade.version + 1)), (upgrade, log)
        assert replay(store.began(upgrade.id), [logged.event for logged in log]) == upgrade, (upgrade, log)
        standing = store.standing(upgrade.workload)
        if standing.upgrade == upgrade:
            assert standing.route is not None
            assert standing.route.share == upgrade.share, standing
    for route in store.routes():
        changes = store.route_changes(route.workload)
        assert [change.route.epoch for change in changes] == list(range(1, route.epoch + 1)), (route, changes)
        for variant_id in (route.incumbent, route.candidate or route.incumbent):
            assert store.variant(variant_id).id == variant_id


def taken(store: Store, owner: str, now: datetime) -> Lease:
    """The lease, which is free.

    Raises:
        AssertionError: where it is refused.
    """
    lease = store.take_lease(owner, now, TTL)
    assert lease is not None, f"{owner!r} was refused a lease that is free"
    return lease


def refused(kind: type[MidshiftError], call: Callable[[], object]) -> None:
    """The call ends in that error.

    Raises:
        AssertionError: where it gives an answer.
    """
    try:
        found = call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, found the answer {found!r}")
