"""The decision table, exhaustively, against a second one written from the requirement alone.

The requirement (R1.3): the decision, first that holds: **stop**: re-tune ran, its budget is spent and the retune
condition still holds; **retune**: all cases or a critical slice FAIL, or the difference over all cases is beyond the
margin and leans worse; **collect more**: all cases are neither PASS nor SUPERIOR; **proceed**: all cases and every
slice PASS or SUPERIOR; else **proceed with caution**, listing each slice as regressed or unproven. The decision is
the worst over the gating scores. A contract gates by all cases and by any slice that FAILs; a contract slice that
only lacks cases is not unproven. A gate without slices (R1.4) or without a score is never open.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from midshift.domain.gate import Decision, Retuning, Ruling, ScoreVerdict, SliceVerdict, decide
from midshift.domain.suite import Score, ScoreRole, Slice, SliceRole
from midshift.domain.verdict import Evidence, Outcome, Verdict
from midshift.stats import Interval, Method

# --- The second table, deliberately naive: strings, and one rule a line ------------------------------------------


def naive_score(score: ScoreVerdict, retuning: str) -> tuple[str, list[str], list[str]]:
    star = str(score.aggregate.outcome)
    outcomes = {part.slice.name: str(part.verdict.outcome) for part in score.slices}
    critical = {part.slice.name for part in score.slices if part.slice.role == "critical"}
    leans = score.aggregate.evidence is not None and score.aggregate.evidence.leans_worse

    regressed = [name for name in outcomes if outcomes[name] == "FAIL"]
    unproven = [name for name in outcomes if outcomes[name] not in ("PASS", "SUPERIOR", "FAIL")]
    if score.score.role == "contract":
        unproven = []

    retune = star == "FAIL" or any(name in critical for name in regressed) or leans
    if retune and retuning == "budget_spent":
        decision = "stop"
    elif retune:
        decision = "retune"
    elif star not in ("PASS", "SUPERIOR"):
        decision = "collect_more"
    elif regressed == [] and unproven == []:
        decision = "proceed"
    else:
        decision = "proceed_with_caution"
    return decision, regressed, unproven


FROM_BEST_TO_WORST = ["proceed", "proceed_with_caution", "collect_more", "retune", "stop"]


def naive(scores: Sequence[ScoreVerdict], retuning: str) -> tuple[str, set[tuple[str, str]], set[tuple[str, str]]]:
    decisions, regressed, unproven = [], set(), set()
    for score in scores:
        decision, worse, open_ = naive_score(score, retuning)
        decisions.append(decision)
        regressed |= {(score.score.name, name) for name in worse}
        unproven |= {(score.score.name, name) for name in open_}
    if not any(score.score.role == "quality" for score in scores):
        decisions.append("collect_more")
    if not any(score.slices for score in scores):
        decisions.append("proceed_with_caution")
    return max(decisions, key=FROM_BEST_TO_WORST.index), regressed, unproven


# --- Everything that can be asked --------------------------------------------------------------------------------


def a_verdict(outcome: Outcome, leans_worse: bool = False) -> Verdict:
    if outcome in (Outcome.NO_DATA, Outcome.ERROR):
        return Verdict(outcome, outcome.lower())
    d, p = (-0.05, 0.09) if leans_worse else (0.0, 0.5)
    interval = Interval(d, -0.5, 0.5, 50, 50, 0.05, Method.DIRICHLET)
    return Verdict(outcome, outcome.lower(), Evidence(interval, 0.8, 0.8 + d, 0.02, p, p))


AGGREGATES = [
    a_verdict(outcome, leans)
    for outcome in Outcome
    for leans in (False, True)
    if not (leans and outcome in (Outcome.NO_DATA, Outcome.ERROR))
]
SLICES = {outcome: a_verdict(outcome) for outcome in Outcome}
ROLES = list(product(SliceRole, repeat=2))
SLICE_OUTCOMES = list(product(Outcome, repeat=2))


def a_score(
    name: str,
    role: ScoreRole,
    aggregate: Verdict,
    outcomes: Sequence[Outcome] = (),
    roles: Sequence[SliceRole] = (SliceRole.CRITICAL, SliceRole.CRITICAL),
) -> ScoreVerdict:
    parts = (
        SliceVerdict(Slice(part, slice_role), SLICES[outcome])
        for part, slice_role, outcome in zip("ab", roles, outcomes, strict=False)
    )
    return ScoreVerdict(Score(name, role=role), aggregate, tuple(parts))


def every_score(name: str) -> Iterator[ScoreVerdict]:
    """Every outcome of all cases, leaning or not, by every outcome and role of two slices, by role of the score."""
    for role, aggregate, outcomes, roles in product(ScoreRole, AGGREGATES, SLICE_OUTCOMES, ROLES):
        yield a_score(name, role, aggregate, outcomes, roles)


def one_of_each_kind(name: str) -> list[ScoreVerdict]:
    """A score for each way in which one can weigh on the other: role, leaning or not, decision and lists."""
    kinds = {
        (score.score.role, *map(str, naive_score(score, "not_run")), bool(score.aggregate.evidence)): score
        for score in every_score(name)
    }
    return list(kinds.values())


def found(ruling: Ruling) -> tuple[str, set[tuple[str, str]], set[tuple[str, str]]]:
    return str(ruling.decision), set(ruling.regressed), set(ruling.unproven)


@pytest.mark.slow
@pytest.mark.parametrize("retuning", Retuning)
def test_one_score_is_decided_as_the_requirement_says(retuning: Retuning) -> None:
    """2,880 situations for each state of re-tuning: the table that stops, holds or ships an upgrade."""
    for score in every_score("s"):
        if score.score.role is ScoreRole.QUALITY:
            assert naive([score], retuning) == found(decide([score], retuning))
        else:
            assert naive([score], retuning)[0] == decide([score], retuning).decision


@pytest.mark.slow
@pytest.mark.parametrize("retuning", Retuning)
def test_two_scores_are_decided_by_the_worse_one(retuning: Retuning) -> None:
    """Every situation of one score beside every kind of situation of another, in both orders."""
    kinds = one_of_each_kind("t")
    for number, one in enumerate(every_score("s")):
        for other in kinds[number % 3 :: 3]:  # each kind meets a third of all situations
            pair = [one, other] if number % 2 else [other, one]
            if any(score.score.role is ScoreRole.QUALITY for score in pair):
                assert naive(pair, retuning) == found(decide(pair, retuning))
            else:
                assert naive(pair, retuning)[0] == decide(pair, retuning).decision


@pytest.mark.parametrize("retuning", Retuning)
def test_every_pair_of_outcomes_over_all_cases_is_decided_by_the_worse_one(retuning: Retuning) -> None:
    """As above without slices, in full: here the answer is never `proceed`."""
    for roles, one, other in product(product(ScoreRole, repeat=2), AGGREGATES, AGGREGATES):
        pair = [a_score("s", roles[0], one), a_score("t", roles[1], other)]

        assert naive(pair, retuning)[0] == decide(pair, retuning).decision
        assert Decision.PROCEED != decide(pair, retuning).decision


# --- Single rules, in words --------------------------------------------------------------------------------------


def test_a_regressed_critical_slice_outweighs_a_better_average() -> None:
    """The reason for the whole product: +4 overall can hide -7 on the tickets that pay."""
    score = a_score("s", ScoreRole.QUALITY, a_verdict(Outcome.SUPERIOR), [Outcome.FAIL, Outcome.SUPERIOR])

    ruling = decide([score])

    assert Decision.RETUNE == ruling.decision
    assert (("s", "a"),) == ruling.regressed
    assert "regressed in a" in ruling.reason


def test_a_watched_slice_that_regressed_is_carried_along_by_name() -> None:
    """It stops nothing, and nobody can say later that it was not known."""
    score = a_score(
        "s",
        ScoreRole.QUALITY,
        a_verdict(Outcome.PASS),
        [Outcome.FAIL, Outcome.INCONCLUSIVE],
        [SliceRole.WATCH, SliceRole.CRITICAL],
    )

    ruling = decide([score])

    assert Ruling(Decision.PROCEED_WITH_CAUTION, "s: regressed: a; unproven: b", (("s", "a"),), (("s", "b"),)) == ruling


def test_spent_budget_stops_only_what_is_still_worse() -> None:
    """A candidate that re-tuning has mended goes on; one that it has not is given up, and the reason says why."""
    mended = a_score("s", ScoreRole.QUALITY, a_verdict(Outcome.PASS), [Outcome.PASS, Outcome.PASS])
    worse = a_score("s", ScoreRole.QUALITY, a_verdict(Outcome.FAIL), [Outcome.PASS, Outcome.PASS])

    assert Decision.PROCEED == decide([mended], Retuning.BUDGET_SPENT).decision
    assert Decision.STOP == decide([worse], Retuning.BUDGET_SPENT).decision
    assert "re-tuning has spent its budget" in decide([worse], Retuning.BUDGET_SPENT).reason


def test_a_lean_is_enough_to_re_tune() -> None:
    """Re-tuning is cheap and accuses nobody, so it does not wait for proof."""
    score = a_score("s", ScoreRole.QUALITY, a_verdict(Outcome.INCONCLUSIVE, leans_worse=True), [Outcome.PASS])

    ruling = decide([score])

    assert Decision.RETUNE == ruling.decision
    assert "leans worse beyond the margin" in ruling.reason


def test_a_contract_slice_that_lacks_cases_is_not_unproven() -> None:
    """Counting in shadow settles whether answers parse; a hundred graders are not needed for that."""
    quality = a_score("s", ScoreRole.QUALITY, a_verdict(Outcome.PASS), [Outcome.PASS])
    contract = a_score("json_valid", ScoreRole.CONTRACT, a_verdict(Outcome.PASS), [Outcome.INCONCLUSIVE])

    assert Decision.PROCEED == decide([quality, contract]).decision


@pytest.mark.parametrize("scores", [[], [a_score("json_valid", ScoreRole.CONTRACT, a_verdict(Outcome.SUPERIOR))]])
def test_without_a_score_there_is_nothing_to_go_by(scores: list[ScoreVerdict]) -> None:
    """Every answer parses, and may be nonsense."""
    ruling = decide(scores)

    assert Decision.COLLECT_MORE == ruling.decision
    assert "no score" in ruling.reason


def test_a_broken_contract_counts_without_a_score_too() -> None:
    """Answers that do not parse are worse, whoever grades them."""
    contract = a_score("json_valid", ScoreRole.CONTRACT, a_verdict(Outcome.FAIL))

    assert Decision.RETUNE == decide([contract]).decision


def test_an_aggregate_alone_never_opens_the_gate() -> None:
    """R1.4: without slices the answer is caution, and says so."""
    score = a_score("s", ScoreRole.QUALITY, a_verdict(Outcome.SUPERIOR))

    ruling = decide([score])

    assert Decision.PROCEED_WITH_CAUTION == ruling.decision
    assert "no slices" in ruling.reason


def test_the_reason_names_every_score_that_brought_the_decision_about() -> None:
    """Once each, and no score that wanted less."""
    worse = a_score("tone", ScoreRole.QUALITY, a_verdict(Outcome.FAIL), [Outcome.PASS])
    broken = a_score("json_valid", ScoreRole.CONTRACT, a_verdict(Outcome.FAIL), [Outcome.PASS])
    fine = a_score("facts", ScoreRole.QUALITY, a_verdict(Outcome.PASS), [Outcome.PASS])

    assert "tone: fail; json_valid: fail" == decide([worse, fine, broken]).reason


def test_decisions_are_ordered_from_best_to_worst() -> None:
    """The worst over the scores is only the worst in this order."""
    assert FROM_BEST_TO_WORST == [str(decision) for decision in sorted(Decision, key=lambda d: d.severity)]
