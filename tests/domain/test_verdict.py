"""The verdict rule, at every one of its boundaries."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.verdict import Evidence, Outcome, Verdict, confirmed, judge, no_data, points
from midshift.stats import Interval, Method

MARGIN = 0.02
ALPHA = 0.05
JUST = 1e-9


def some_evidence(
    low: float = -0.1,
    high: float = 0.1,
    d: float | None = None,
    p: float = 0.5,
    p_adjusted: float | None = None,
    clusters: int = 100,
    n: int = 100,
    family: int = 1,
    needs_n: int | None = None,
) -> Evidence:
    estimate = 0.5 * (low + high) if d is None else d
    interval = Interval(estimate, low, high, n, clusters, ALPHA, Method.TANGO)
    return Evidence(interval, 0.8, 0.8 + estimate, MARGIN, p, p if p_adjusted is None else p_adjusted, family, needs_n)


# --- The rule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "low", "p_adjusted"),
    [
        (Outcome.SUPERIOR, JUST, 0.5),
        (Outcome.PASS, 0.0, 0.5),
        (Outcome.PASS, -MARGIN + JUST, 0.5),
        (Outcome.INCONCLUSIVE, -MARGIN, 0.5),
        (Outcome.INCONCLUSIVE, -MARGIN - JUST, 0.5),
        # "Not worse" is rejected below alpha, and not at alpha.
        (Outcome.INCONCLUSIVE, -MARGIN, ALPHA),
        (Outcome.FAIL, -MARGIN, ALPHA - JUST),
        (Outcome.FAIL, -0.5, 0.0),
        # Proven worse, but within the margin: a PASS that says so.
        (Outcome.PASS, -MARGIN + JUST, 0.0),
        (Outcome.PASS, -JUST, 0.0),
    ],
)
def test_each_outcome_begins_where_the_rule_says(expected: Outcome, low: float, p_adjusted: float) -> None:
    """A bound that touches a threshold has not crossed it."""
    high = low + 0.01

    assert expected is judge(some_evidence(low=low, high=high, p_adjusted=p_adjusted)).outcome


@pytest.mark.parametrize(("expected", "clusters"), [(False, 1), (False, 4), (True, 5), (True, 6)])
@pytest.mark.parametrize("low", [0.3, -0.01, -0.9])
def test_fewer_than_five_clusters_decide_nothing(expected: bool, clusters: int, low: float) -> None:
    """Neither for the candidate nor against it, however many cases they hold."""
    evidence = some_evidence(low=low, high=low + 0.1, p_adjusted=0.0, clusters=clusters, n=10_000)

    assert expected is (judge(evidence).outcome is not Outcome.INCONCLUSIVE)


@given(st.floats(-1.0, 1.0), st.floats(1e-6, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 9))
def test_the_outcome_is_the_one_that_a_reader_of_the_rule_would_give(
    low: float, width: float, p: float, p_adjusted: float, clusters: int
) -> None:
    """The rule once more, as a list of independent sentences of which exactly one may hold."""
    evidence = some_evidence(low=low, high=low + width, p=p, p_adjusted=p_adjusted, clusters=clusters)
    enough = clusters >= 5
    holds = {
        Outcome.SUPERIOR: enough and low > 0.0,
        Outcome.PASS: enough and -MARGIN < low <= 0.0,
        Outcome.FAIL: enough and low <= -MARGIN and p_adjusted < ALPHA,
        Outcome.INCONCLUSIVE: not enough or (low <= -MARGIN and p_adjusted >= ALPHA),
    }

    assert [outcome for outcome, true in holds.items() if true] == [judge(evidence).outcome]
    assert evidence is judge(evidence).evidence


def test_the_level_is_the_one_of_the_interval() -> None:
    """A look that may spend a third of alpha must not accuse at all of it."""
    evidence = some_evidence(p_adjusted=0.03)
    strict = replace(evidence, interval=replace(evidence.interval, alpha=0.05 / 3))

    assert (Outcome.FAIL, Outcome.INCONCLUSIVE) == (judge(evidence).outcome, judge(strict).outcome)


def test_holm_decides_and_not_the_raw_p_value() -> None:
    """A slice that looks worse on its own is not accused among twelve."""
    evidence = some_evidence(low=-0.2, high=-0.01, p=0.01, p_adjusted=0.12, family=12)

    verdict = judge(evidence)

    assert Outcome.INCONCLUSIVE is verdict.outcome
    assert "not after Holm over 12 slices" in verdict.reason


# --- The sentences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "evidence"),
    [
        ("better by at least 1.0 point", some_evidence(low=0.01, high=0.1)),
        ("can rule out drops over 1.5 points", some_evidence(low=-0.0149, high=0.1)),
        (
            "proven worse, but within the margin; can rule out drops over 1.9 points",
            some_evidence(low=-0.019, high=-0.001, p=0.001),
        ),
        ("worse by 5.0 points, at least 2.0 points", some_evidence(low=-0.08, high=-0.02, p=0.001)),
        ("4 cases: at least 5 independent ones are needed", some_evidence(clusters=4, n=4)),
        ("1 case: at least 5 independent ones are needed", some_evidence(clusters=1, n=1)),
        ("4 clusters: at least 5 independent ones are needed", some_evidence(clusters=4, n=80)),
        ("1 cluster: at least 5 independent ones are needed", some_evidence(clusters=1, n=80)),
    ],
)
def test_a_reason_says_what_the_data_show(expected: str, evidence: Evidence) -> None:
    """People act on the sentence, not on the interval."""
    assert expected == judge(evidence).reason


@pytest.mark.parametrize(
    ("expected", "needs_n"), [("412 more cases", 512), ("1,900 more cases", 2000), ("1 more case", 101)]
)
def test_an_open_question_says_how_many_cases_would_settle_it(expected: str, needs_n: int) -> None:
    """ "Not enough" without a number is where a team gives up."""
    assert expected in judge(some_evidence(low=-0.06, needs_n=needs_n)).reason


@pytest.mark.parametrize("needs_n", [None, 100, 50])
def test_an_open_question_asks_for_no_cases_that_are_there(needs_n: int | None) -> None:
    """ "-50 more cases" is no advice."""
    assert "more case" not in judge(some_evidence(low=-0.06, needs_n=needs_n)).reason


@pytest.mark.parametrize(
    ("expected", "fraction", "up"),
    [
        ("2.6 points", 0.026, False),
        ("1.0 point", 0.01, False),
        ("0.0 points", 0.0, False),
        ("2.6 points", 0.0256, False),
        ("2.6 points", 0.02501, True),
        ("2.5 points", 0.025, True),
        ("0.1 points", 0.0001, True),
        ("1.0 point", 0.0099, True),
        ("100.0 points", 1.0, True),
    ],
)
def test_points_are_hundredths_and_promises_are_rounded_up(expected: str, fraction: float, up: bool) -> None:
    """ "Can rule out drops over 2.5" must not be said of a bound at 2.51."""
    assert expected == points(fraction, up)


@given(st.floats(0.0, 1.0))
def test_a_promise_is_never_better_than_its_bound(fraction: float) -> None:
    """Rounding is where honest numbers become dishonest sentences."""
    promised = float(points(fraction, up=True).split()[0]) / 100.0

    assert fraction - 1e-9 <= promised < fraction + 0.001 + 1e-9


# --- Leaning worse ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "d", "p", "clusters"),
    [
        (True, -MARGIN - JUST, 0.1 - JUST, 5),
        (False, -MARGIN, 0.05, 5),
        (False, -MARGIN - JUST, 0.1, 5),
        (False, -MARGIN - JUST, 0.05, 4),
        (False, 0.05, 0.01, 50),
        (True, -0.3, 0.0, 50),
    ],
)
def test_leaning_worse_is_beyond_the_margin_and_below_ten_per_cent(
    expected: bool, d: float, p: float, clusters: int
) -> None:
    """Enough to re-tune, too little to accuse; unadjusted, because it is asked of all cases only."""
    evidence = some_evidence(low=-0.5, high=0.5, d=d, p=p, p_adjusted=1.0, clusters=clusters)

    assert expected is evidence.leans_worse


# --- Verdicts as values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("with_evidence", [True, False])
def test_a_verdict_rests_on_evidence_unless_there_is_none(outcome: Outcome, with_evidence: bool) -> None:
    """There is no way to build a PASS without an interval."""
    needs_evidence = outcome not in (Outcome.NO_DATA, Outcome.ERROR)

    if needs_evidence is with_evidence:
        assert outcome is Verdict(outcome, "", some_evidence() if with_evidence else None).outcome
    else:
        with pytest.raises(ValueError, match=f"a {outcome.value} verdict with evidence"):
            Verdict(outcome, "", some_evidence() if with_evidence else None)


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [
        (True, Outcome.SUPERIOR),
        (True, Outcome.PASS),
        (False, Outcome.FAIL),
        (False, Outcome.INCONCLUSIVE),
        (False, Outcome.NO_DATA),
        (False, Outcome.ERROR),
    ],
)
def test_only_two_outcomes_open_a_gate(expected: bool, outcome: Outcome) -> None:
    """Absence of evidence is never success."""
    assert expected is outcome.clears


def test_no_data_is_neither_a_pass_nor_a_zero() -> None:
    """The reason stands in place of the number."""
    assert Verdict(Outcome.NO_DATA, "no case has this score") == no_data("no case has this score")


# --- Read twice: as scored, and with what is missing as the worst ------------------------------------------------


def a_verdict(outcome: Outcome) -> Verdict:
    none = outcome in (Outcome.NO_DATA, Outcome.ERROR)
    return Verdict(outcome, f"because {outcome}", None if none else some_evidence())


def weaker(own: Outcome, worst_case: Outcome) -> Outcome:
    """What remains of `own`, as a table."""
    if own in (Outcome.INCONCLUSIVE, Outcome.NO_DATA, Outcome.ERROR) or own is worst_case:
        return own
    if {own, worst_case} == {Outcome.PASS, Outcome.SUPERIOR}:
        return Outcome.PASS
    return Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("own", "worst_case"), list(product(Outcome, repeat=2)))
def test_a_gate_is_open_only_if_it_is_on_both_readings(own: Outcome, worst_case: Outcome) -> None:
    """A candidate that fails to answer the hard requests must not gain by it."""
    found = confirmed(a_verdict(own), a_verdict(worst_case), "unanswered requests")

    assert weaker(own, worst_case) is found.outcome
    assert a_verdict(own).evidence == found.evidence
    if found.outcome is not own:
        assert "unanswered requests" in found.reason
        assert worst_case.value in found.reason


def test_a_verdict_that_stands_keeps_its_sentence() -> None:
    """Nothing was missing that could have mattered, so nothing is said."""
    own = a_verdict(Outcome.PASS)

    assert own is confirmed(own, a_verdict(Outcome.PASS), "unanswered requests")
