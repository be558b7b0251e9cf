"""Budgets are gates: a cost that nobody knows is not within one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from midshift.controller.decide import decide
from midshift.controller.evidence import Taken, from_record, gather, taken_by, to_record
from midshift.domain import gate
from midshift.domain.evidence import EvalEvidence, Evidence, Guard, Promise, ShadowEvidence
from midshift.domain.exposure import Exposure, Fate, ShadowAnswer
from midshift.domain.move import Answer
from midshift.domain.plan import Plan
from midshift.domain.routing import Arm
from midshift.domain.sums import Sums
from midshift.domain.upgrade import Event, Kind, Upgrade, apply, begin, replay
from midshift.domain.workload import Budgets

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan(budgets=Budgets(p99_latency_ms=2000.0, cost_per_call_usd=0.01))
CLEAN = Guard("error rate", 0.01, harm=0.001, low=-0.004, high=0.006, n_incumbent=9000, n_candidate=900)
FINE = Evidence(
    eval=EvalEvidence("new", gate.Decision.PROCEED, "fine"),
    shadow=ShadowEvidence(5000, 4990),
    guards=(CLEAN,),
    served=500,
)
WAY = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED, Kind.FULLY_ROLLED_OUT)
IN_SHADOW, IN_CANARY, IN_SOAK = 1, 2, 5


def an_upgrade(events: int) -> Upgrade:
    """An upgrade after the first `events` of the usual way."""
    start = begin("u", "w", "old", "new", PLAN, DAY_0, "s")
    return replay(start, [Event(kind, DAY_0) for kind in WAY[:events]])


def cost(value: float | None, unknown: int = 0) -> Promise:
    """What is known of the cost."""
    return Promise("cost per call", 0.01, "USD", value, 100, unknown)


@pytest.mark.parametrize("events", [IN_SHADOW, IN_CANARY, IN_SOAK])
@pytest.mark.parametrize(
    ("promise", "is_open"), [(cost(0.009), True), (cost(0.011), False), (cost(None), False), (cost(0.001, 1), False)]
)
def test_a_budget_that_is_broken_or_unknown_holds_every_stage(events: int, promise: Promise, is_open: bool) -> None:
    """Missing usage read as a cost of zero has let budgets pass that were overdrawn five hundred times."""
    move = decide(an_upgrade(events), replace(FINE, promises=(promise,)), DAY_0 + timedelta(days=100))

    assert is_open is (move.kind is not None)
    assert is_open is next(item for item in move.gates if item.name == "budget cost per call").lets_pass


def test_a_person_may_take_a_budget_on_by_name() -> None:
    waived = apply(
        an_upgrade(IN_CANARY), Event(Kind.WAIVED, DAY_0, who="ada", why="a week", what="budget:cost per call")
    )

    move = decide(waived, replace(FINE, promises=(cost(None),)), DAY_0 + timedelta(days=100))

    assert Kind.STEP_ADVANCED is move.kind
    assert Answer.WAIVED in {item.answer for item in move.gates}


def sums_of(*costs: float | None, latency_s: float = 1.0) -> Sums:
    """What gateways add for requests that the candidate answered at its first step."""
    found = Sums()
    for number, cost_usd in enumerate(costs):
        found.add(
            Exposure(
                request_id=f"r-{number}",
                workload="w",
                epoch=1,
                fate=Fate.CANDIDATE,
                assigned=Arm.CANDIDATE,
                upgrade="u",
                step=1,
                status=200,
                latency_s=latency_s,
                cost_usd=cost_usd,
                usage_unknown=False,
            )
        )
    return found


def promises(sums: Sums) -> dict[str, Promise]:
    """What a decision in canary sees of the budgets."""
    found = gather(an_upgrade(IN_CANARY), sums.by_key, None, (), sums.histograms)
    return {promise.name: promise for promise in found.promises}


def test_served_requests_are_held_against_the_budgets() -> None:
    seen = promises(sums_of(0.004, 0.008, latency_s=1.5))

    cost_seen = seen["cost per call"]
    assert pytest.approx(0.006) == cost_seen.value
    assert (2, 0) == (cost_seen.n, cost_seen.unknown)
    assert pytest.approx(1500.0, rel=0.02) == seen["p99 latency"].value
    assert all(promise.is_kept for promise in seen.values())


def test_one_call_of_unknown_cost_leaves_the_budget_open_to_doubt() -> None:
    seen = promises(sums_of(0.004, None))["cost per call"]

    assert (1, False) == (seen.unknown, seen.is_kept)


def test_nothing_served_is_no_budget_kept() -> None:
    assert [None, None] == [promise.value for promise in promises(Sums()).values()]
    assert not any(promise.is_kept for promise in promises(Sums()).values())


def test_without_a_budget_nothing_is_promised() -> None:
    start = begin("u", "w", "old", "new", Plan(), DAY_0, "s")
    canary = replay(start, [Event(kind, DAY_0) for kind in WAY[:IN_CANARY]])

    assert () == gather(canary, {}, None, ()).promises


def test_shadow_answers_are_held_against_the_budgets_too() -> None:
    """The budget is a gate before the first user pays for it."""
    answers = [ShadowAnswer("a", 200, 1.0, cost_usd=0.02), ShadowAnswer("b", 200, 3.0), ShadowAnswer(None, 500, 9.0)]

    found = taken_by(answers) or Taken()

    assert (2, 1, 0.02) == (found.n, found.unknown, found.mean_cost_usd)
    assert pytest.approx(3.0, rel=0.02) == found.p99_latency_s
    assert taken_by([]) is None


def test_what_was_promised_survives_the_record() -> None:
    """A decision is replayed from it."""
    seen = replace(FINE, promises=(cost(0.009),))

    assert seen == from_record(to_record(seen))
