"""Paired scores reduced to a sample, its interval and its p-value; design effects by Miller's pairwise definition."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midshift.stats import binomial, dirichlet, paired
from midshift.stats.interval import Method

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = tuple[Floats, Floats, Ints | None, Floats | None]

LEVELS = st.sampled_from([0.2, 0.1, 0.05, 0.025, 0.01])
ROUNDING = 1e-7


@st.composite
def rows(draw: st.DrawFn, most: int = 40) -> Rows:
    """Incumbent, candidate, and now and then clusters and weights; often 0/1, often all alike."""
    n = draw(st.integers(1, most))
    score = st.sampled_from([0.0, 1.0]) if draw(st.booleans()) else st.sampled_from([0.0, 0.25, 1.0]) | st.floats(0, 1)
    incumbent, candidate = (np.array(draw(st.lists(score, min_size=n, max_size=n))) for _ in range(2))
    if draw(st.integers(0, 4)) == 0:
        candidate = incumbent.copy()
    labels = st.lists(st.integers(-3, 8), min_size=n, max_size=n).map(lambda found: np.array(found, np.int64))
    weights = st.lists(st.floats(0.01, 100.0), min_size=n, max_size=n).map(np.array)
    return incumbent, candidate, draw(st.none() | labels), draw(st.none() | weights)


def columns(*pairs: tuple[float, float]) -> tuple[Floats, Floats]:
    table = np.array(pairs)
    return table[:, 0], table[:, 1]


# --- Reducing -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(rows())
def test_a_sample_is_what_a_loop_over_the_cases_adds_up(case: Rows) -> None:
    """The estimand is the mean over cases, whatever the clusters."""
    incumbent, candidate, clusters, weights = case
    n = incumbent.size
    labels = range(n) if clusters is None else clusters.tolist()
    weight = [1.0] * n if weights is None else weights.tolist()
    sums: dict[int, float] = {}
    sizes: dict[int, float] = {}
    for label, w, old, new in zip(labels, weight, incumbent.tolist(), candidate.tolist(), strict=True):
        sums[label] = sums.get(label, 0.0) + w * (new - old)
        sizes[label] = sizes.get(label, 0.0) + w

    sample = paired.paired_sample(*case)

    assert pytest.approx([sums[label] for label in sorted(sums)]) == sample.sums.tolist()
    assert pytest.approx([sizes[label] for label in sorted(sizes)]) == sample.sizes.tolist()
    assert (n, len(sums)) == (sample.n, sample.clusters)
    assert (int((candidate > incumbent).sum()), int((candidate < incumbent).sum())) == (sample.better, sample.worse)
    assert pytest.approx(np.average(incumbent, weights=weight)) == sample.incumbent
    assert pytest.approx(np.average(candidate, weights=weight)) == sample.candidate
    assert pytest.approx(sample.candidate - sample.incumbent, abs=1e-12) == sample.estimate
    variance = np.average((candidate - incumbent - sample.estimate) ** 2, weights=weight)
    assert pytest.approx(np.sqrt(variance), abs=1e-12) == sample.spread


@pytest.mark.parametrize(
    ("expected", "pairs", "clusters", "weights"),
    [
        (True, [(0.0, 1.0), (1.0, 1.0)], None, None),
        (True, [(0.0, 1.0), (1.0, 1.0)], [7, 3], None),
        (True, [(0.0, 1.0), (1.0, 1.0)], None, [2.5, 2.5]),
        (False, [(0.0, 1.0), (1.0, 1.0)], [1, 1], None),
        (False, [(0.0, 1.0), (1.0, 1.0)], None, [1.0, 2.0]),
        (False, [(0.0, 0.5), (1.0, 1.0)], None, None),
        (False, [(0.5, 0.5), (1.0, 1.0)], None, None),
    ],
)
def test_score_bounds_are_for_single_unweighted_cases_at_the_ends_of_the_range(
    expected: bool, pairs: list[tuple[float, float]], clusters: list[int] | None, weights: list[float] | None
) -> None:
    """The method follows from what the data are: chosen by how they turned out, it would be two chances to pass."""
    sample = paired.paired_sample(
        *columns(*pairs),
        clusters=None if clusters is None else np.array(clusters),
        weights=None if weights is None else np.array(weights),
    )

    assert expected is sample.binary
    assert (Method.TANGO if expected else Method.DIRICHLET) is paired.difference(sample, 0.05).method


@pytest.mark.parametrize(
    ("incumbent", "candidate", "weights", "fault"),
    [
        ([], [], None, "need two equally long, non-empty rows of scores"),
        ([1.0], [1.0, 0.0], None, "need two equally long, non-empty rows of scores"),
        ([1.0, 1.1], [1.0, 0.0], None, r"every score must lie in \[0, 1\]"),
        ([1.0, 0.0], [1.0, -0.1], None, r"every score must lie in \[0, 1\]"),
        ([1.0, float("nan")], [1.0, 0.0], None, r"every score must lie in \[0, 1\]"),
        ([1.0], [1.0], [0.0], "every weight must be a finite number above 0"),
        ([1.0], [1.0], [-1.0], "every weight must be a finite number above 0"),
        ([1.0], [1.0], [float("nan")], "every weight must be a finite number above 0"),
        ([1.0], [1.0], [float("inf")], "every weight must be a finite number above 0"),
    ],
)
def test_scores_that_cannot_be_paired_are_refused(
    incumbent: Sequence[float], candidate: Sequence[float], weights: Sequence[float] | None, fault: str
) -> None:
    """The bound is for a known range: one score outside it would make the bound a lie."""
    with pytest.raises(ValueError, match=fault):
        paired.paired_sample(
            np.array(incumbent), np.array(candidate), weights=None if weights is None else np.array(weights)
        )


# --- The interval and the p-value ---------------------------------------------------------------------------------


@pytest.mark.slow
@given(rows(), LEVELS)
def test_the_interval_encloses_the_estimate_within_the_range(case: Rows, alpha: float) -> None:
    """Whatever a file holds: all ties, one case, one cluster, everything lost."""
    sample = paired.paired_sample(*case)

    interval = paired.difference(sample, alpha)

    assert sample.estimate == pytest.approx(interval.estimate, abs=1e-12)
    assert -1.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert interval.low < interval.high
    assert (sample.n, sample.clusters, alpha) == (interval.n, interval.clusters, interval.alpha)


@pytest.mark.slow
@given(rows(), LEVELS)
def test_swapping_the_variants_mirrors_the_interval(case: Rows, alpha: float) -> None:
    """Neither side is favoured."""
    incumbent, candidate, clusters, weights = case

    one = paired.difference(paired.paired_sample(incumbent, candidate, clusters, weights), alpha)
    other = paired.difference(paired.paired_sample(candidate, incumbent, clusters, weights), alpha)

    assert pytest.approx((-other.high, -other.estimate, -other.low), abs=ROUNDING) == (
        one.low,
        one.estimate,
        one.high,
    )


@pytest.mark.slow
@given(rows(), LEVELS)
def test_not_worse_is_rejected_exactly_when_the_high_bound_lies_below_zero(case: Rows, alpha: float) -> None:
    """Otherwise a report could print FAIL beside an interval that holds zero."""
    sample = paired.paired_sample(*case)
    high = paired.difference(sample, alpha).high

    rejected = paired.p_not_worse(sample) < alpha

    if abs(high) > ROUNDING:
        assert rejected is (high < 0.0)


@pytest.mark.slow
@given(rows(most=15).flatmap(lambda case: st.tuples(st.just(case), st.permutations(range(case[0].size)))), LEVELS)
def test_the_order_of_the_cases_changes_nothing(shuffled: tuple[Rows, list[int]], alpha: float) -> None:
    """Rows come in the order of a file; a verdict must not depend on it."""
    case, order = shuffled

    one, other = (
        paired.difference(paired.paired_sample(*(None if c is None else c[index] for c in case)), alpha)  # type: ignore[arg-type]  # a row of columns keeps its kinds
        for index in (np.arange(case[0].size), np.array(order))
    )

    assert pytest.approx((one.low, one.high), abs=ROUNDING) == (other.low, other.high)


@pytest.mark.slow
@given(rows(most=15), LEVELS)
def test_the_names_of_the_clusters_change_nothing(case: Rows, alpha: float) -> None:
    """Labels are hashes of customer ids: only which are equal may count."""
    incumbent, candidate, clusters, weights = case
    renamed = None if clusters is None else 1000 - 7 * clusters

    one = paired.difference(paired.paired_sample(incumbent, candidate, clusters, weights), alpha)
    other = paired.difference(paired.paired_sample(incumbent, candidate, renamed, weights), alpha)

    assert pytest.approx((one.low, one.high), abs=ROUNDING) == (other.low, other.high)


def test_copies_of_one_conversation_prove_nothing_new() -> None:
    """A hundred copies of five conversations are five conversations: the classic way to pass by accident."""
    incumbent, candidate = columns((1.0, 1.0), (0.0, 1.0), (1.0, 0.5), (1.0, 1.0), (0.5, 0.5))
    copied = np.repeat(np.arange(5), 100)

    once = paired.difference(paired.paired_sample(incumbent, candidate), 0.05)
    often = paired.difference(paired.paired_sample(incumbent[copied], candidate[copied], copied), 0.05)

    assert pytest.approx((once.low, once.high), abs=ROUNDING) == (often.low, often.high)


def test_the_two_methods_are_the_ones_they_are_named_after() -> None:
    """`paired` chooses; the arithmetic is `binomial`'s or `dirichlet`'s, on the sums that a reader can check."""
    incumbent, candidate = columns((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 0.0))
    clusters = np.array([1, 1, 2, 3, 4, 5])

    single = paired.paired_sample(incumbent, candidate)
    grouped = paired.paired_sample(incumbent, candidate, clusters)

    sums, sizes = np.array([0.0, 0.0, -1.0, 0.0, -1.0]), np.array([2.0, 1.0, 1.0, 1.0, 1.0])
    assert binomial.tango_interval(1, 3, 6, 0.05) == paired.difference(single, 0.05)
    assert binomial.p_at_least_zero(1, 3) == paired.p_not_worse(single)
    assert dirichlet.lower_bound(sums, sizes, 0.05) == paired.difference(grouped, 0.05).low
    assert dirichlet.p_at_most(-sums, sizes, 0.0) == paired.p_not_worse(grouped)


@pytest.mark.parametrize("clusters", [None, np.arange(100) // 20, np.zeros(100, np.int64)])
@pytest.mark.parametrize(("old", "new"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (1.0, 1.0)])
def test_the_same_answer_everywhere_still_has_an_interval(old: float, new: float, clusters: Ints | None) -> None:
    """All lost, all won, all tied: the sample shows no spread, and the bound keeps one."""
    interval = paired.difference(paired.paired_sample(np.full(100, old), np.full(100, new), clusters), 0.05)

    assert new - old == interval.estimate
    assert -1.0 <= interval.low < interval.high <= 1.0
    assert 0.009 < interval.high - interval.low


# --- The design effect -------------------------------------------------------------------------------------------


def pairwise_design_effect(differences: Floats, clusters: Ints) -> float:
    """Miller (arXiv 2411.00640): SE^2 = SE_CLT^2 + 1/n^2 times the products of all pairs within a cluster; CR1."""
    n, residual = differences.size, differences - differences.mean()
    clt = float(residual @ residual) / n**2
    within = sum(
        float(residual[i] * residual[j]) for i in range(n) for j in range(n) if i != j and clusters[i] == clusters[j]
    )
    groups = np.unique(clusters).size
    return max(1.0, groups / (groups - 1) * (clt + within / n**2) / clt)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from([-1.0, -0.3, 0.0, 0.5]), st.integers(0, 5)), min_size=4, max_size=30).filter(
        lambda cases: len({d for d, _ in cases}) > 1 and len({c for _, c in cases}) > 1
    )
)
def test_the_design_effect_is_the_pairwise_definition(cases: list[tuple[float, int]]) -> None:
    """The fast formula with cluster sums, pinned to the one that a reader of the paper knows."""
    differences, clusters = np.array([d for d, _ in cases]), np.array([c for _, c in cases])
    sample = paired.paired_sample(np.maximum(-differences, 0.0), np.maximum(differences, 0.0), clusters)

    assert pytest.approx(pairwise_design_effect(differences, clusters)) == paired.design_effect(sample)


def test_the_design_effect_of_correlated_clusters_is_kishs(rng: np.random.Generator) -> None:
    """1 + (size - 1) * correlation: ten cases a cluster at 0.5 cost 5.5 times as many cases."""
    common = np.repeat(rng.choice([-1.0, 0.0, 1.0], 4000), 10)
    own = rng.choice([-1.0, 0.0, 1.0], 40_000)
    differences = np.where(rng.random(40_000) < np.sqrt(0.5), common, own)
    clusters = np.repeat(np.arange(4000), 10)
    sample = paired.paired_sample(np.maximum(-differences, 0.0), np.maximum(differences, 0.0), clusters)

    assert pytest.approx(5.5, rel=0.05) == paired.design_effect(sample)


@pytest.mark.parametrize(
    ("expected", "clusters"), [(1.0, None), (4.0, [0, 0, 0, 0]), (2.0, [0, 0, 1, 1]), (1.0, [0, 1, 2, 3])]
)
def test_without_spread_the_design_effect_is_the_cluster_size(expected: float, clusters: list[int] | None) -> None:
    """All ties say nothing of the correlation, so the worst is assumed: a cluster counts as one case."""
    same = np.full(4, 0.5)

    sample = paired.paired_sample(same, same, None if clusters is None else np.array(clusters))

    assert expected == paired.design_effect(sample)


def test_clusters_that_balance_do_not_earn_a_bonus() -> None:
    """A design effect below 1 would promise that fewer cases suffice than independent ones."""
    incumbent, candidate = columns((0.0, 1.0), (1.0, 0.0), (0.0, 1.0), (1.0, 0.0))

    assert 1.0 == paired.design_effect(paired.paired_sample(incumbent, candidate, np.array([0, 0, 1, 1])))


@pytest.mark.parametrize(
    ("expected", "clusters", "weights"),
    [
        (1.0, None, None),
        (1.0, None, [3.0, 3.0, 3.0, 3.0]),
        (4.0, [0, 0, 0, 0], None),
        (2.0, [0, 0, 1, 1], None),
        (2.5, [0, 0, 0, 1], None),  # three cases of four see a cluster of three, one sees itself
        (2.5, [0, 0, 0, 1], [2.0, 2.0, 2.0, 2.0]),
        (2.5, [0, 0, 0, 1], [0.001, 0.001, 0.001, 0.001]),
    ],
)
def test_the_typical_cluster_is_the_one_that_a_random_case_is_in(
    expected: float, clusters: list[int] | None, weights: list[float] | None
) -> None:
    """The bound adds one cluster of that size, so a plan has to count with one; the unit of weights is no case."""
    same = np.full(4, 0.5)

    sample = paired.paired_sample(
        same,
        same,
        None if clusters is None else np.array(clusters),
        None if weights is None else np.array(weights),
    )

    assert pytest.approx(expected) == paired.typical_cluster(sample)
