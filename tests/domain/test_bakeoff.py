"""Cost, latency and the guards of a bake-off: unknown clears nothing, and cheaper is no excuse."""

import pytest

from midshift.domain.bakeoff import (
    CHEAPER_BUT_WORSE,
    Contender,
    Economy,
    cheapest_clear,
    economy,
    frontier,
    guards,
    over_budget,
    quantile,
)
from midshift.domain.gate import Decision
from midshift.domain.variant import Variant
from midshift.domain.workload import Budgets

OLD, NEW = Variant("acme", "old"), Variant("acme", "new")
LOW = Variant("acme", "new", effort="low")
DEAR, CHEAP = Economy(100, 0.02, 1.0, 2.0), Economy(100, 0.01, 1.0, 2.0)


def contender(
    name: str, quality: float = 0.9, cost: float | None = 0.01, p99: float = 1.0, **more: object
) -> Contender:
    """One that clears, unless something is said."""
    said: dict[str, object] = {"decision": Decision.PROCEED, **more}
    return Contender(name, quality, Economy(10, cost, p99, p99), **said)  # type: ignore[arg-type]


def test_cost_is_that_of_a_call_and_not_of_a_token() -> None:
    """Half the price and twice the tokens is the same bill."""
    assert 0.02 == pytest.approx(economy([1.0, 1.0], [0.01, 0.03]).cost_usd)


def test_one_unknown_cost_makes_the_cost_unknown() -> None:
    """It could be the dearest of all."""
    found = economy([1.0, 1.0], [0.01, None])

    assert (None, "the cost of 1 of 2 calls is unknown") == (found.cost_usd, found.why)


def test_latency_is_that_of_answers() -> None:
    """A refusal is quick, and tells nothing of how long an answer takes."""
    assert (1.0, 3.0) == (economy([None, 3.0, 1.0], [0.0] * 3).p50_s, economy([None, 3.0, 1.0], [0.0] * 3).p99_s)


@pytest.mark.parametrize(("q", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_a_quantile_is_a_value_that_was_seen(q: float, expected: float) -> None:
    """Of 1..100, by rank."""
    assert expected == quantile([float(value) for value in range(1, 101)], q)


def test_nothing_has_no_quantile() -> None:
    """Not zero seconds."""
    assert None is quantile([], 0.5)


def test_cost_down_and_quality_down_is_called_a_regression() -> None:
    """In those words: the saving is what makes people look away."""
    (found,) = guards(Decision.RETUNE, True, (OLD, NEW), (DEAR, CHEAP))

    assert ("G7", True) == (found.code, found.blocks)
    assert CHEAPER_BUT_WORSE in found.words
    assert "50.0 % less a call" in found.words


@pytest.mark.parametrize(
    ("is_worse", "economies"), [(False, (DEAR, CHEAP)), (True, (CHEAP, DEAR)), (True, (CHEAP, CHEAP))]
)
def test_a_saving_without_loss_and_a_loss_without_saving_are_not_that(
    is_worse: bool, economies: tuple[Economy, Economy]
) -> None:
    """A guard that always speaks is switched off."""
    assert () == guards(Decision.PROCEED, is_worse, (OLD, NEW), economies)


@pytest.mark.parametrize(
    ("economies", "missing"),
    [
        ((DEAR, Economy(100, None, 1.0, 2.0)), "the candidate's cost"),
        ((Economy(100, 0.01), CHEAP), "the incumbent's latency"),
    ],
)
def test_another_effort_needs_new_evidence_of_cost_and_latency(
    economies: tuple[Economy, Economy], missing: str
) -> None:
    """Guard 8: effort changes both, and old figures say nothing of it."""
    (found,) = guards(Decision.PROCEED, False, (OLD, LOW), economies)

    assert ("G8", True) == (found.code, found.blocks)
    assert f"effort by default → low without new evidence of {missing}" in found.words


def test_the_same_effort_and_new_evidence_need_no_guard() -> None:
    """Measured on both sides, an effort may change."""
    assert () == guards(Decision.PROCEED, False, (OLD, LOW), (DEAR, CHEAP))
    assert () == guards(Decision.PROCEED, False, (OLD, NEW), (Economy(1), Economy(1)))


def test_a_budget_that_nobody_can_check_is_not_kept() -> None:
    """Unknown cost is not a cost below the promise."""
    budgets = Budgets(p99_latency_ms=1500.0, cost_per_call_usd=0.015)

    assert ("p99 latency is 2000 ms, at most 1500 ms is promised",) == over_budget(budgets, CHEAP)
    assert 2 == len(over_budget(budgets, Economy(1)))
    assert () == over_budget(Budgets(), Economy(1))


def test_the_cheapest_that_clears_every_gate_wins() -> None:
    """Not the cheapest of all, not one that is over budget, and not one whose cost nobody knows."""
    contenders = [
        contender("dear", cost=0.03),
        contender("cheap", cost=0.01),
        contender("cheaper but worse", cost=0.001, decision=Decision.RETUNE),
        contender("cautious", cost=0.001, decision=Decision.PROCEED_WITH_CAUTION),
        contender("too slow", cost=0.001, over=("p99",)),
        contender("unknown", cost=None),
    ]

    found = cheapest_clear(contenders)

    assert found is not None
    assert "cheap" == found.name


def test_nobody_wins_where_nobody_clears() -> None:
    """Least bad is not good enough."""
    assert None is cheapest_clear([contender("worse", decision=Decision.RETUNE)])


def test_the_frontier_is_who_is_beaten_by_nobody() -> None:
    """Better, cheaper or faster than each other in something."""
    contenders = [
        contender("best", quality=0.95, cost=0.03),
        contender("cheapest", quality=0.80, cost=0.01),
        contender("beaten", quality=0.80, cost=0.02),
        contender("fastest", quality=0.70, cost=0.02, p99=0.1),
        contender("unknown", quality=0.99, cost=None),
    ]

    assert {"best", "cheapest", "fastest"} == frontier(contenders)


def test_latency_has_three_quantiles_and_the_first_token_those_of_the_calls_that_were_timed() -> None:
    """Calls that were bought whole have no first token, and make none up."""
    seconds = [float(number) for number in range(1, 101)]

    found = economy(seconds, [0.01] * 100, [*(second / 10 for second in seconds[:10]), *[None] * 90])

    assert (50.0, 90.0, 99.0) == (found.p50_s, found.p90_s, found.p99_s)
    assert (10, 0.5, 0.9) == (found.first_tokens, found.first_token_p50_s, found.first_token_p90_s)
    assert (0, None) == (economy(seconds, [0.01] * 100).first_tokens, economy([], []).first_token_p50_s)
