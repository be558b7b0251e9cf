"""From rows to verdicts: what is paired, averaged, weighted, adjusted, and what missing evidence costs.

Elsewhere: the intervals themselves (tests/stats), the rule and the decision (tests/domain).
"""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.gate import Decision, decide
from midshift.domain.suite import AGGREGATE, Margin, Range, Score, ScoreRole, SliceRole
from midshift.domain.verdict import Evidence, Outcome, Verdict
from midshift.errors import ScoreOutOfRange, UsageError
from midshift.evals.regression import Rules
from midshift.stats import binomial
from midshift.stats.interval import Method
from midshift.stats.multiplicity import holm
from tests.builders import a_row, an_output, grades, judged, outcomes, rows_of, verdict

UNANSWERED = {"text": None, "scores": {"s": None}}
UNSCORED = an_output(None)


def evidence(found: Verdict) -> Evidence:
    """The evidence of a verdict that has one."""
    assert found.evidence is not None
    return found.evidence


def test_equal_answers_on_many_cases_pass() -> None:
    """The plainest upgrade there is must go through, with a bound that says how large a drop is ruled out."""
    found = judged(rows_of(grades(right=300)))

    assert {
        ("s", "*"): Outcome.PASS,
        ("s", "a"): Outcome.PASS,
        ("answered", "*"): Outcome.PASS,
        ("answered", "a"): Outcome.PASS,
    } == outcomes(found)
    assert "can rule out drops over 1.0 point" == verdict(found).reason


def test_a_slice_that_regressed_fails_although_all_cases_improved() -> None:
    """An aggregate gate would have shipped this: +9 points overall hide -25 on the tickets that matter."""
    rows = rows_of(grades(right=600, better=100), "chat") + rows_of(grades(right=60, worse=20), "escalations")

    found = judged(rows)

    assert (Outcome.SUPERIOR, Outcome.SUPERIOR, Outcome.FAIL) == tuple(
        verdict(found, slice=name).outcome for name in (AGGREGATE, "chat", "escalations")
    )
    assert Decision.RETUNE is decide(found).decision


def test_means_are_of_the_cases_that_both_variants_have_a_score_for() -> None:
    """A difference of means over different cases is no paired difference."""
    rows = rows_of([(1, 0.5), (0, 1), (1, None), (None, 0)])

    found = evidence(verdict(judged(rows)))

    assert (2, 0.5, 0.75, 0.25) == (found.interval.n, found.incumbent, found.candidate, found.interval.estimate)


def test_trials_of_a_case_are_averaged_before_cases_are_paired() -> None:
    """Otherwise the case that was run most often decides, and every bound is too narrow."""
    rows = [a_row("x", 1, new, trial=trial) for trial, new in enumerate([0, 0, 0, 1])]
    rows += [a_row("y", 0, 1), a_row("z", 1, 1)]

    found = evidence(verdict(judged(rows)))

    assert 3 == found.interval.n == found.interval.clusters
    assert pytest.approx((2 / 3, (0.25 + 1 + 1) / 3)) == (found.incumbent, found.candidate)


def test_a_trial_without_a_score_leaves_the_other_trials_of_its_case() -> None:
    """One ungraded run of five is no reason to lose the case."""
    rows = [a_row("x", 1, 0, trial=1), a_row("x", 1, None, trial=2), a_row("x", 1, 1, trial=3)]

    found = evidence(verdict(judged(rows)))

    assert (1, 1.0, 0.5) == (found.interval.n, found.incumbent, found.candidate)


def test_clusters_move_the_bounds_and_not_the_mean() -> None:
    """Twenty requests of one customer are less than twenty requests; the product still answered them all."""
    cases = [(1, 0), (1, 1), (0, 1), (1, 1)] * 50
    alone = judged(rows_of(cases))
    grouped = judged([a_row(f"x{i}", old, new, cluster=f"c{i % 4}{i % 40}") for i, (old, new) in enumerate(cases)])

    one, other = evidence(verdict(alone)), evidence(verdict(grouped))

    assert (200, 40) == (one.interval.clusters, other.interval.clusters)
    assert one.interval.estimate == pytest.approx(other.interval.estimate)
    assert other.interval.low < one.interval.low < one.interval.high < other.interval.high
    assert (Method.TANGO, Method.DIRICHLET) == (one.interval.method, other.interval.method)


def test_under_five_clusters_nothing_is_concluded() -> None:
    """Four customers are an anecdote, however many requests they made."""
    found = verdict(judged([a_row(f"x{i}", 1, 1, cluster=f"c{i % 4}") for i in range(400)]))

    assert Outcome.INCONCLUSIVE is found.outcome
    assert "4 clusters: at least 5 independent ones are needed" == found.reason


def test_the_aggregate_is_weighted_by_weight() -> None:
    """A suite that over-samples rare cases says so by their weights."""
    rows = [a_row("x", 1, 0, weight=3), a_row("y", 0, 1, weight=1)]

    found = evidence(verdict(judged(rows)))

    assert (0.75, 0.25, -0.5) == (found.incumbent, found.candidate, found.interval.estimate)
    assert Method.DIRICHLET is found.interval.method


def test_a_constant_weight_changes_nothing() -> None:
    """Only what differs between cases can weigh."""
    cases = grades(right=20, worse=3, better=5)

    assert judged(rows_of(cases)) == judged(rows_of(cases, weight=7))


def test_a_score_of_another_range_is_judged_in_points_of_its_range() -> None:
    """2 points of a grade from 1 to 10 are 0.18: the margin means the same for every score."""
    rows = rows_of([(1, 10), (10, 10), (5.5, 1)])

    found = evidence(verdict(judged(rows, [Score("s", Range(1, 10))]), "s"))

    assert pytest.approx((0.5, 2 / 3, 0.02)) == (found.incumbent, found.candidate, found.margin)


@pytest.mark.parametrize(
    ("value", "declared", "message"),
    [
        (
            1.5,
            Range(),
            "score 's' is 1.5 at line 3, outside its range 0..1. Declare the range that its grader can give, "
            "for example --score s:0..2 (values here: 0..1.5)",
        ),
        (
            -3,
            Range(),
            "score 's' is -3 at line 3, outside its range 0..1. Declare the range that its grader can give, "
            "for example --score s:-3..1 (values here: -3..1)",
        ),
        (
            100,
            Range(1, 10),
            "score 's' is 0 at line 1, outside its range 1..10. Declare the range that its grader can give, "
            "for example --score s:0..100 (values here: 0..100)",
        ),
    ],
)
def test_a_score_outside_its_range_is_refused_with_the_option_that_mends_it(
    value: float, declared: Range, message: str
) -> None:
    """Clipped, a grade of 7 and one of 9 would both be 1, and every regression would vanish."""
    with pytest.raises(ScoreOutOfRange) as refused:
        judged([a_row("x", 0, 1), a_row("y", 0, 1), a_row("z", 1, value)], [Score("s", declared)])

    assert message == str(refused.value)


def test_the_p_values_of_the_slices_are_adjusted_by_holm_and_that_of_all_cases_is_not() -> None:
    """One of twelve equal slices looks worse one time in two: looking at all of them has to cost."""
    worse = {"a": 6, "b": 3, "c": 1}
    rows = [row for name, count in worse.items() for row in rows_of(grades(right=20, worse=count), name)]

    found = judged(rows)

    raw = [binomial.p_at_least_zero(0, count) for count in worse.values()]
    parts = [evidence(verdict(found, slice=name)) for name in worse]
    assert raw == pytest.approx([part.p_not_worse for part in parts])
    assert holm(raw) == pytest.approx([part.p_adjusted for part in parts])
    assert [3, 3, 3] == [part.family for part in parts]
    assert binomial.p_at_least_zero(0, 10) == pytest.approx(evidence(verdict(found)).p_adjusted)


def test_a_slice_without_any_score_is_no_data_and_costs_the_others_nothing() -> None:
    """Nothing was looked at there, so nothing has to be paid for it; and it is no pass."""
    rows = rows_of(grades(right=20, worse=6), "a") + rows_of([(None, 1)] * 5, "b")

    found = judged(rows)

    assert Outcome.NO_DATA is verdict(found, slice="b").outcome
    assert "no case has this score for both variants" == verdict(found, slice="b").reason
    assert 1 == evidence(verdict(found, slice="a")).family


def test_a_score_that_no_row_has_is_no_data() -> None:
    """An empty gate is a closed gate."""
    found = judged(rows_of(grades(right=20)), [Score("t")])

    assert Outcome.NO_DATA is verdict(found, "t").outcome
    assert Decision.COLLECT_MORE is decide(found).decision


def test_a_watched_slice_is_judged_and_does_not_gate() -> None:
    """Somebody chose to look at it without waiting for it."""
    rows = rows_of(grades(right=600, better=100), "a") + rows_of(grades(right=60, worse=20), "b")

    found = judged(rows, rules=Rules(watch=frozenset({"b"})))

    assert Outcome.FAIL is verdict(found, slice="b").outcome
    assert {"a": SliceRole.CRITICAL, "b": SliceRole.WATCH} == {
        part.slice.name: part.slice.role for part in found[0].slices
    }
    assert Decision.PROCEED_WITH_CAUTION is decide(found).decision


def test_a_wider_margin_and_a_later_look_move_the_gate() -> None:
    """Both are stated before the data are seen, and both are spent in the open."""
    rows = rows_of(grades(right=200, worse=3, better=1))

    assert Outcome.INCONCLUSIVE is verdict(judged(rows)).outcome
    assert Outcome.PASS is verdict(judged(rows, rules=Rules(margin=Margin(5.0)))).outcome
    assert Outcome.INCONCLUSIVE is verdict(judged(rows, rules=Rules(margin=Margin(5.0), alpha=0.001))).outcome


@settings(max_examples=25)
@given(
    right=st.integers(30, 200),
    worse=st.integers(0, 12),
    better=st.integers(0, 12),
    points=st.floats(0.5, 30.0),
)
def test_a_slice_of_its_own_margin_is_judged_as_the_estimator_is_at_that_margin(
    right: int, worse: int, better: int, points: float
) -> None:
    """The bounds are the slice's alone; only what they are held against changes."""
    rows = rows_of(grades(right=200), "a") + rows_of(grades(right=right, worse=worse, better=better), "b")

    own = judged(rows, rules=Rules(own={"b": Margin(points)}))
    everywhere = judged(rows, rules=Rules(margin=Margin(points)))
    usual = judged(rows)

    assert verdict(everywhere, slice="b") == verdict(own, slice="b")
    assert points / 100.0 == evidence(verdict(own, slice="b")).margin
    for part in (AGGREGATE, "a"):
        assert verdict(usual, slice=part) == verdict(own, slice=part)


def test_a_slice_without_a_margin_of_its_own_takes_the_score_s() -> None:
    """What one slice may lose is no permission for another, nor for all cases together."""
    rows = rows_of(grades(right=200, worse=3, better=1), "a") + rows_of(grades(right=200, worse=3, better=1), "b")

    found = judged(rows, rules=Rules(own={"b": Margin(8.0), AGGREGATE: Margin(50.0)}))

    assert (Outcome.INCONCLUSIVE, Outcome.PASS) == tuple(verdict(found, slice=name).outcome for name in "ab")
    assert [0.02, 0.02, 0.08] == [evidence(verdict(found, slice=name)).margin for name in (AGGREGATE, "a", "b")]
    assert {"a": None, "b": Margin(8.0)} == {part.slice.name: part.slice.margin for part in found[0].slices}


def test_holm_over_the_slices_knows_no_margin() -> None:
    """A wide margin forgives a drop; it makes nobody else's drop more or less than chance."""
    rows = rows_of(grades(right=100, worse=9), "a") + rows_of(grades(right=100, worse=7), "b")

    usual, own = judged(rows), judged(rows, rules=Rules(own={"a": Margin(25.0)}))

    for part in "ab":
        assert evidence(verdict(usual, slice=part)).p_adjusted == evidence(verdict(own, slice=part)).p_adjusted
    assert (Outcome.FAIL, Outcome.PASS) == tuple(verdict(found, slice="a").outcome for found in (usual, own))
    assert verdict(own, slice="a").reason.startswith("proven worse, but within the margin")


def test_an_open_question_says_how_many_cases_would_settle_it() -> None:
    """ "Collect more" without a number is no answer."""
    found = verdict(judged(rows_of(grades(right=95, worse=3, better=2))))

    needed = evidence(found).needs_n
    assert needed is not None
    assert needed > 100
    assert found.reason.endswith(f"{needed - 100:,} more cases for 2")
    assert evidence(verdict(judged(rows_of(grades(right=300))))).needs_n is None


def test_unanswered_requests_as_the_worst_score_can_close_an_open_gate() -> None:
    """A candidate that is silent where it would be wrong must not pass on what it did answer."""
    rows = rows_of(grades(right=400), "a") + [a_row(f"u{i}", 1, UNANSWERED, slice="a") for i in range(10)]

    found = judged(rows)

    assert Outcome.INCONCLUSIVE is verdict(found).outcome
    assert verdict(found).reason.startswith(
        "PASS as scored, FAIL with unanswered requests as the worst score; worse by 2.4 points"
    )
    assert (400, 1.0) == (evidence(verdict(found)).interval.n, evidence(verdict(found)).candidate)
    assert Outcome.FAIL is verdict(found, "answered").outcome


def test_silence_of_the_incumbent_cannot_make_the_candidate_superior() -> None:
    """Read as the worst score, it would: so the weaker of the two readings holds."""
    rows = rows_of(grades(right=400)) + [a_row(f"u{i}", UNANSWERED, 1) for i in range(20)]

    found = judged(rows)

    assert Outcome.PASS is verdict(found).outcome
    assert verdict(found).reason.startswith("can rule out drops over 0.8 points")


def test_a_few_silences_that_change_nothing_change_nothing() -> None:
    """One timeout in four hundred is not worth holding an upgrade for."""
    found = judged(rows_of(grades(right=400)) + [a_row("u", 1, UNANSWERED)])

    assert Outcome.PASS is verdict(found).outcome


def test_the_score_of_an_unanswered_request_counts_as_the_file_says_and_then_as_the_worst() -> None:
    """Some graders give a refusal full marks; the repeated reading does not take their word for it."""
    refused = {"text": None, "scores": {"s": 1}}
    rows = rows_of(grades(right=400)) + [a_row(f"u{i}", 1, refused) for i in range(20)]

    found = verdict(judged(rows))

    assert (420, 1.0) == (evidence(found).interval.n, evidence(found).candidate)
    assert Outcome.INCONCLUSIVE is found.outcome


def test_a_request_that_nobody_graded_stays_out_of_the_repeated_reading() -> None:
    """It was never part of this score: a 0 on one side alone would be made up."""
    rows = rows_of(grades(right=400)) + [a_row(f"u{i}", UNSCORED, UNANSWERED) for i in range(50)]

    assert Outcome.PASS is verdict(judged(rows)).outcome


def test_more_ungraded_answers_of_the_candidate_close_the_gate() -> None:
    """Graders fail on what they cannot parse; dropping those cases would drop the failures."""
    rows = rows_of(grades(right=400)) + rows_of([(1, None)] * 6, "b")

    found = verdict(judged(rows))

    assert Outcome.INCONCLUSIVE is found.outcome
    assert (
        "PASS on what is graded, but 6 answers of the candidate have no score (incumbent: 0); grade them"
    ) == found.reason


@pytest.mark.parametrize(
    "ungraded",
    [[(1, None)] * 5, [(None, 1)] * 30, [(1, None)] * 30 + [(None, 1)] * 25, [(None, None)] * 30],
    ids=["too few to tell", "the incumbent's", "as many on both sides", "nobody's"],
)
def test_ungraded_answers_that_say_nothing_about_the_candidate_close_nothing(
    ungraded: list[tuple[object, object]],
) -> None:
    """A grader that fails on everybody now and then is a nuisance, not a signal."""
    found = verdict(judged(rows_of(grades(right=400)) + rows_of(ungraded, "b")))

    assert Outcome.PASS is found.outcome


def test_answered_is_a_score_of_its_own() -> None:
    """Blocked and empty answers are an availability drift that no quality score sees."""
    found = judged(rows_of(grades(right=300)) + [a_row(f"u{i}", 1, UNANSWERED) for i in range(30)])

    assert ScoreRole.CONTRACT is found[-1].score.role
    assert ("answered", 330, 1.0) == (
        found[-1].score.name,
        evidence(found[-1].aggregate).interval.n,
        evidence(found[-1].aggregate).incumbent,
    )
    assert pytest.approx(300 / 330) == evidence(found[-1].aggregate).candidate


def test_an_expected_form_becomes_a_contract() -> None:
    """Quality up, parser broken: only a gate on the form stops this."""
    prose = an_output(1, 'Sure! Here it is: {"a": 1}')
    rows = [a_row(f"x{i}", an_output(0, '{"a": 1}'), prose, expects={"schema": {"type": "object"}}) for i in range(50)]

    found = judged(rows)

    assert {
        ("s", "*"): Outcome.SUPERIOR,
        ("s", "a"): Outcome.SUPERIOR,
        ("json_valid", "*"): Outcome.FAIL,
        ("json_valid", "a"): Outcome.FAIL,
        ("schema", "*"): Outcome.FAIL,
        ("schema", "a"): Outcome.FAIL,
        ("answered", "*"): Outcome.INCONCLUSIVE,
        ("answered", "a"): Outcome.INCONCLUSIVE,
    } == outcomes(found)
    assert Decision.RETUNE is decide(found).decision


def test_a_contract_counts_only_the_rows_that_ask_for_it() -> None:
    """A chat answer is not a broken JSON document."""
    rows = [a_row("x", expects="json"), a_row("y"), a_row("z", expects={"schema": {}})]

    found = judged(rows)

    assert (2, 1, 3) == tuple(
        evidence(verdict(found, name)).interval.n for name in ("json_valid", "schema", "answered")
    )


def test_a_silence_is_no_broken_form_until_it_is_read_as_the_worst() -> None:
    """Not answering is another failure than answering in the wrong form, and is counted as such."""
    good = an_output(1, "{}")
    rows = [a_row(f"x{i}", good, good, expects="json") for i in range(400)]
    rows += [a_row(f"u{i}", good, UNANSWERED, expects="json") for i in range(20)]

    found = verdict(judged(rows), "json_valid")

    assert (400, 1.0) == (evidence(found).interval.n, evidence(found).candidate)
    assert Outcome.INCONCLUSIVE is found.outcome


GRADED = st.tuples(st.sampled_from([0, 0.5, 1, None]), st.sampled_from([0, 0.5, 1, None]))
CASES = st.lists(
    st.fixed_dictionaries(
        {"pair": GRADED, "slice": st.sampled_from(["a", "b", ["a", "b"], None]), "trial": st.sampled_from([1, 2])},
        optional={"silent": st.sampled_from(["old", "new"])},
    ),
    min_size=1,
    max_size=30,
)


def rows_from(cases: list[dict[str, object]], clusters: int, swapped: bool = False) -> list[dict[str, object]]:
    """Rows of drawn cases; two neighbours are trials of one case. `swapped` exchanges the variants."""
    rows = []
    for number, case in enumerate(cases):
        pair = case["pair"]
        assert isinstance(pair, tuple)
        sides = [
            an_output(score, None if case.get("silent") == name else "x")
            for name, score in zip(("old", "new"), pair, strict=True)
        ]
        cluster = f"c{number // 2 % clusters}" if clusters else None
        old, new = reversed(sides) if swapped else sides
        rows.append(a_row(f"x{number // 2}", old, new, trial=number % 2, slice=case["slice"], cluster=cluster))
    return rows


@given(CASES, st.sampled_from([0, 3, 7]), st.randoms())
@settings(max_examples=25)
@pytest.mark.slow
def test_the_order_of_the_lines_changes_no_verdict(
    cases: list[dict[str, object]], clusters: int, random: Random
) -> None:
    """Two exports of one run differ in nothing but their order, and must not differ in their verdict."""
    rows = rows_from(cases, clusters)
    shuffled = random.sample(rows, len(rows))

    first, second = judged(rows), judged(shuffled)

    assert outcomes(first) == outcomes(second)
    for name in ("s", "answered"):
        one, other = verdict(first, name).evidence, verdict(second, name).evidence
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert close(one, other)


@given(CASES, st.sampled_from([0, 3, 7]))
@settings(max_examples=25)
@pytest.mark.slow
def test_exchanging_the_variants_mirrors_the_bounds(cases: list[dict[str, object]], clusters: int) -> None:
    """No side has a bonus: what is a gain in one direction is the same loss in the other."""
    forth = verdict(judged(rows_from(cases, clusters))).evidence
    back = verdict(judged(rows_from(cases, clusters, swapped=True))).evidence

    assert (forth is None) == (back is None)
    if forth is not None and back is not None:
        one, other = forth.interval, back.interval
        assert pytest.approx((-other.estimate, -other.high, -other.low), abs=1e-7) == (one.estimate, one.low, one.high)
        assert pytest.approx((back.candidate, back.incumbent)) == (forth.incumbent, forth.candidate)


def close(one: Evidence, other: Evidence) -> bool:
    """Whether two pieces of evidence differ by no more than the order of a sum."""
    numbers = [
        (item.incumbent, item.candidate, item.p_not_worse, item.p_adjusted, item.interval.low, item.interval.high)
        for item in (one, other)
    ]
    return one.interval.n == other.interval.n and all(
        math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-7) for left, right in zip(*numbers, strict=True)
    )


def test_a_score_with_the_name_of_a_contract_is_refused() -> None:
    """The contract would be judged in its place: a candidate that fails all of these would pass."""
    right, wrong = ({"text": "x", "scores": {"answered": score}} for score in (1, 0))
    rows = [a_row(str(n), right, wrong) for n in range(40)]

    with pytest.raises(UsageError, match=r"found the score 'answered', expected another name"):
        judged(rows, [Score("answered")])
