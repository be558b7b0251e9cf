"""Each stage has unseen answers of its own, as its plan pays for them, and none outlives what it is about."""

from dataclasses import replace
from random import Random

import pytest

from midshift.controller.loop import Controller
from midshift.domain import gate
from midshift.domain.evidence import EvalEvidence
from midshift.domain.plan import Plan
from midshift.domain.routing import Arm, Route
from midshift.domain.unseen import Draws, PairKind
from midshift.domain.upgrade import Stage, begin
from midshift.testing import ManualClock
from tests.controller.fakes import FakeSources, FakeStore
from tests.controller.test_loop import DAY_0, HOUR, HOURS, an_hour_of_traffic

GOOD = EvalEvidence("new", gate.Decision.PROCEED, "accuracy: can rule out drops over 1.4 points")


Shares = tuple[float, float, float, float]


def run(plan: Plan, broken_from: float = 2.0) -> tuple[dict[Stage, set[Shares]], FakeStore]:
    """Shadow, noise, pair and reverse share of every row that was written, by the stage of its upgrade."""
    clock = ManualClock(DAY_0)
    store = FakeStore(
        by_id={"u": begin("u", "w", "old", "new", plan, DAY_0, "salt")}, by_workload={"w": Route("w", "old", 1)}
    )
    controller = Controller(store, FakeSources(GOOD), clock, "c1")
    random = Random(1)
    found: dict[Stage, set[Shares]] = {}
    for _ in range(HOURS):
        route = store.by_workload["w"]
        shares = (route.shadow_share, route.noise_share, route.pair_share, route.reverse_share)
        found.setdefault(store.by_id["u"].stage, set()).add(shares)
        an_hour_of_traffic(store, random, 15, broken_from)
        controller.tick()
        clock.advance(HOUR)
    return found, store


@pytest.mark.slow
def test_shadow_has_noise_canary_has_live_pairs_soak_has_reverse_ones() -> None:
    """What is asked unseen is what the next decision needs, and nothing else is paid for."""
    found, _ = run(replace(Plan(), noise=0.05, pairs=0.03))

    assert {(1.0, 0.05, 0.0, 0.0)} == found[Stage.SHADOW]
    assert {(0.0, 0.0, 0.03, 0.0)} == found[Stage.CANARY]
    assert {(0.0, 0.0, 0.0, 0.03)} == found[Stage.SOAK]
    assert {(0.0, 0.0, 0.0, 0.0)} == found[Stage.DONE]


@pytest.mark.slow
def test_a_halt_ends_them() -> None:
    """Nobody gets the candidate then, seen or unseen."""
    found, _ = run(Plan(), broken_from=0.25)

    assert {(0.0, 0.0, 0.0, 0.0)} == found[Stage.HALTED]


@pytest.mark.slow
def test_a_plan_without_them_has_none_and_decides_the_same() -> None:
    """Both are a budget, and 0% is one. They are evidence for gates to come: no decision of today hangs on them."""
    without, bare = run(replace(Plan(), noise=0.0, pairs=0.0))
    _, usual = run(Plan())

    assert {(1.0, 0.0, 0.0, 0.0)} == without[Stage.SHADOW]
    assert {(0.0, 0.0, 0.0, 0.0)} == without[Stage.CANARY] == without[Stage.SOAK]
    assert [entry.event for entry in usual.log] == [entry.event for entry in bare.log]
    assert all(entry.event.kind.value == entry.decided_again() for entry in usual.log)


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.SOAK])
def test_in_canary_and_soak_both_sides_of_a_pair_are_asked_for(stage: Stage) -> None:
    """In soak the incumbent is a control that runs at the same time, although it serves nobody."""
    share = 0.25 if stage is Stage.CANARY else 1.0
    route = Route("w", "old", 1, "new", share=share, salt="s", **{_SHARE[stage]: 1.0})  # type: ignore[arg-type]
    drawn = Draws(route, lambda one: (one.variant, one.kind)).of("r", Arm.CANDIDATE)

    assert (("old", _KIND[stage]),) == drawn


_SHARE = {Stage.CANARY: "pair_share", Stage.SOAK: "reverse_share"}
_KIND = {Stage.CANARY: PairKind.LIVE, Stage.SOAK: PairKind.REVERSE}
