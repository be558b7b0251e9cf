"""Quantiles of paired measurements: nearest rank by definition, the test by sorting, the interval by trying shifts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from midshift.stats import quantile, signflip
from midshift.stats.interval import Method

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALPHA = 0.05
QUANTILES = st.sampled_from([0.1, 0.5, 0.9, 0.95, 0.99])


@st.composite
def pairs(draw: st.DrawFn, most: int = 40) -> tuple[Floats, Floats]:
    """Two columns of one length, often with ties. Measured to a millionth: a shift swallows what is far below that."""
    n = draw(st.integers(1, most))
    value = st.integers(0, 6).map(float) if draw(st.booleans()) else st.floats(0.0, 1000.0).map(lambda x: round(x, 6))
    first, second = (np.array(draw(st.lists(value, min_size=n, max_size=n))) for _ in range(2))
    return first, second


# --- Nearest rank -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0.001, 0.999))
def test_nearest_rank_is_the_smallest_value_with_enough_below_it(values: list[float], q: float) -> None:
    """The definition; a value that was measured, never one between two."""
    enough = [v for v in values if sum(other <= v for other in values) >= q * len(values) - 1e-9]

    assert min(enough) == quantile.nearest_rank(np.array(values), q)


@pytest.mark.parametrize(
    ("expected", "q"),
    [
        # Wikipedia, "Percentile", nearest-rank method, example 1: 15, 20, 35, 40, 50.
        (15.0, 0.05),
        (20.0, 0.30),
        (20.0, 0.40),
        (35.0, 0.50),
    ],
)
def test_nearest_rank_gives_the_published_values(expected: float, q: float) -> None:
    """A second opinion from outside this repository."""
    assert expected == quantile.nearest_rank(np.array([50.0, 15.0, 40.0, 20.0, 35.0]), q)


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.0), ([1.0], -0.1), ([1.0], float("nan"))])
def test_a_quantile_of_nothing_is_refused(values: list[float], q: float) -> None:
    """p100 is a maximum, and the p95 of no request is not 0."""
    with pytest.raises(ValueError, match=r"need values and a share in \(0, 1\)"):
        quantile.nearest_rank(np.array(values), q)


# --- The test -----------------------------------------------------------------------------------------------------


def changes_by_sorting(incumbent: Floats, candidate: Floats, shift: float, q: float, clusters: Ints | None) -> Floats:
    """+1 where only the candidate exceeds the quantile of both sides pooled, -1 where only the incumbent does."""
    moved = incumbent + shift
    pooled = sorted([*moved.tolist(), *candidate.tolist()])
    threshold = pooled[max(0, math.ceil(q * len(pooled)) - 1)]
    change: Floats = np.subtract(candidate > threshold, moved > threshold, dtype=np.float64)
    if clusters is None:
        return change
    return np.array([change[clusters == label].sum() for label in np.unique(clusters)])


@pytest.mark.slow
@given(pairs(), QUANTILES, st.booleans())
def test_the_p_value_counts_who_alone_exceeds_the_pooled_quantile(
    columns: tuple[Floats, Floats], q: float, clustered: bool
) -> None:
    """The definition; the two sorted sides and the search between them are only its shortcut."""
    clusters = np.arange(columns[0].size) // 3 if clustered else None

    expected = signflip.p_two_sided(changes_by_sorting(*columns, 0.0, q, clusters))

    assert pytest.approx(expected, rel=1e-9) == quantile.p_shift(*columns, q, clusters)


def test_without_clusters_it_is_the_exact_mcnemar_test() -> None:
    """Twelve pairs crossed the threshold upwards and three downwards: a fair coin says how rare that is."""
    incumbent = np.array([10.0] * 3 + [1.0] * 12 + [10.0] * 20 + [1.0] * 20)
    candidate = np.array([1.0] * 3 + [10.0] * 12 + [10.0] * 20 + [1.0] * 20)

    assert pytest.approx(stats.binomtest(12, 15).pvalue) == quantile.p_shift(incumbent, candidate, 0.4)


@pytest.mark.slow
@given(pairs(), QUANTILES)
def test_swapping_the_variants_leaves_the_p_value_alone(columns: tuple[Floats, Floats], q: float) -> None:
    """Slower or faster: the same evidence of a change."""
    incumbent, candidate = columns

    assert quantile.p_shift(incumbent, candidate, q) == quantile.p_shift(candidate, incumbent, q)


@pytest.mark.slow
@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("size", [1, 6])
def test_equal_variants_are_flagged_at_most_as_often_as_promised(q: float, size: int, rng: np.random.Generator) -> None:
    """Seeded coverage: latencies that share a heavy-tailed load by conversation, as production ones do."""
    n, runs = 240, 600
    clusters = None if size == 1 else np.arange(n) // size
    flagged = 0
    for _ in range(runs):
        load = np.repeat(rng.lognormal(0.0, 1.0, n // size), size)
        first, second = load * rng.lognormal(0.0, 0.5, n), load * rng.lognormal(0.0, 0.5, n)
        flagged += quantile.p_shift(first, second, q, clusters) <= ALPHA

    assert ALPHA + 3.0 * math.sqrt(ALPHA * (1.0 - ALPHA) / runs) > flagged / runs


# --- The interval -------------------------------------------------------------------------------------------------


def by_brute_force(incumbent: Floats, candidate: Floats, q: float, clusters: Ints | None) -> tuple[float, float]:
    """The shifts that the test does not reject: it can only change where two measurements trade places."""
    places = np.unique(candidate[:, None] - incumbent[None, :])
    between = np.concatenate([[places[0] - 1.0], 0.5 * (places[1:] + places[:-1]), [places[-1] + 1.0]])
    low_kept, high_kept = [], []
    for shift in between:
        change = changes_by_sorting(incumbent, candidate, float(shift), q, clusters)
        low_kept.append(signflip.p_upper(change) > ALPHA)
        high_kept.append(signflip.p_upper(-change) > ALPHA)
    low = -math.inf if low_kept[0] else float(places[low_kept.index(True) - 1])
    high = math.inf if high_kept[-1] else float(places[len(places) - 1 - high_kept[::-1].index(True) + 1])
    return low, high


@pytest.mark.slow
@pytest.mark.parametrize("q", [0.25, 0.5, 0.9])
@pytest.mark.parametrize(("n", "size"), [(12, 1), (45, 1), (60, 3)])
def test_the_interval_holds_the_shifts_that_are_not_rejected(
    n: int, size: int, q: float, rng: np.random.Generator
) -> None:
    """The definition, by trying a shift between any two places where the answer could change."""
    clusters = None if size == 1 else np.arange(n) // size
    incumbent = rng.lognormal(0.0, 1.0, n)
    candidate = incumbent * rng.lognormal(0.2, 0.6, n)
    low, high = by_brute_force(incumbent, candidate, q, clusters)

    found = quantile.shift(incumbent, candidate, q, ALPHA, clusters)

    estimate = quantile.nearest_rank(candidate, q) - quantile.nearest_rank(incumbent, q)
    least = signflip.unseen(estimate, n // size, ALPHA)
    assert pytest.approx((min(low, estimate - least), max(high, estimate + least)), abs=1e-6) == (found.low, found.high)
    assert (estimate, n, n // size) == (found.estimate, found.n, found.clusters)
    assert (ALPHA, Method.SIGN_FLIP) == (found.alpha, found.method)


@pytest.mark.slow
@given(pairs(), QUANTILES, st.sampled_from([0.05, 0.01]))
def test_the_interval_encloses_the_estimate_and_has_a_width(
    columns: tuple[Floats, Floats], q: float, alpha: float
) -> None:
    """Also with ties, with one pair, and where nothing differs."""
    found = quantile.shift(*columns, q, alpha)

    assert found.low <= found.estimate <= found.high
    assert found.low < found.high


@pytest.mark.slow
@given(pairs(), st.sampled_from([0.5, 0.9]))
def test_more_certainty_needs_a_wider_interval(columns: tuple[Floats, Floats], q: float) -> None:
    """A look that may spend less must not find more."""
    strict, loose = (quantile.shift(*columns, q, alpha) for alpha in (0.01, 0.1))

    assert strict.low <= loose.low + 1e-9
    assert strict.high >= loose.high - 1e-9


@pytest.mark.slow
@given(pairs(), QUANTILES, st.sampled_from([2.0**-10, 2.0**10]))
def test_the_unit_changes_nothing(columns: tuple[Floats, Floats], q: float, unit: float) -> None:
    """Seconds or (about) milliseconds: the same test, and the interval in the other unit."""
    incumbent, candidate = columns

    found, scaled = (quantile.shift(u * incumbent, u * candidate, q, ALPHA) for u in (1.0, unit))

    assert quantile.p_shift(incumbent, candidate, q) == quantile.p_shift(unit * incumbent, unit * candidate, q)
    assert pytest.approx((unit * found.low, unit * found.high), rel=1e-6, abs=1e-6) == (scaled.low, scaled.high)


@pytest.mark.parametrize(("expected", "n", "q"), [(False, 100, 0.99), (True, 2000, 0.99), (True, 100, 0.5)])
def test_the_p99_of_a_hundred_requests_says_almost_nothing(
    expected: bool, n: int, q: float, rng: np.random.Generator
) -> None:
    """One request lies beyond it: no shift can be ruled out upwards, and the interval says so."""
    incumbent, candidate = rng.lognormal(0.0, 1.0, n), rng.lognormal(0.0, 1.0, n)

    assert expected is quantile.shift(incumbent, candidate, q, ALPHA).bounded


def test_nothing_that_differs_bounds_nothing() -> None:
    """Identical latencies are a copy, not a measurement: no bound, p = 1."""
    same = np.arange(50.0)

    found = quantile.shift(same, same, 0.5, ALPHA)

    assert (0.0, -math.inf, math.inf, 1.0) == (
        found.estimate,
        found.low,
        found.high,
        quantile.p_shift(same, same, 0.5),
    )


@pytest.mark.parametrize("delay", [0.4, -0.4])
def test_a_delay_of_every_request_is_found(delay: float, rng: np.random.Generator) -> None:
    """The shift is what it was, and the interval has a width although all pairs agree."""
    incumbent = rng.lognormal(0.0, 1.0, 400)

    found = quantile.shift(incumbent, incumbent + delay, 0.5, ALPHA)

    assert pytest.approx(delay) == found.estimate
    assert found.low < delay < found.high
    assert (found.low > 0.0) is (delay > 0.0)
    assert 1e-6 > quantile.p_shift(incumbent, incumbent + delay, 0.5)


@pytest.mark.slow
def test_the_interval_holds_the_true_shift_as_often_as_promised(rng: np.random.Generator) -> None:
    """Seeded coverage of each one-sided bound, median and p90, with correlated pairs."""
    runs, n, shift = 300, 150, 0.5
    missed = np.zeros((2, 2))
    for _ in range(runs):
        load = rng.lognormal(0.0, 0.7, n)
        first, second = load * rng.lognormal(0.0, 0.4, n), load * rng.lognormal(0.0, 0.4, n) + shift
        for index, q in enumerate((0.5, 0.9)):
            found = quantile.shift(first, second, q, ALPHA)
            missed[index] += (found.low > shift, found.high < shift)

    assert ALPHA + 3.0 * math.sqrt(ALPHA * (1.0 - ALPHA) / runs) > (missed / runs).max()
