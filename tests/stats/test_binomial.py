"""Paired 0/1 outcomes: Tango's and Clopper and Pearson's bounds, McNemar's test.

Slow definitions: Tango's statistic with the restricted maximum likelihood found by search, inverted on a grid;
the quartic whose roots are Tango's limits (Yang, Sun & Hardin, Statistics in Medicine 32 (2013) 1336-1342, derived
anew here); binomial tails added up term by term.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from scipy import optimize, special, stats

from midshift.stats import binomial
from midshift.stats.interval import Method

TWO_SIDED_95 = 0.025
LEVELS = st.sampled_from([0.2, 0.1, 0.05, 0.025, 0.01, 0.05 / 12])


@st.composite
def counts(draw: st.DrawFn, most: int = 400) -> tuple[int, int, int]:
    """Better, worse and all pairs, with many draws where one of the two is rare or absent."""
    n = draw(st.integers(1, most))
    better = draw(st.integers(0, n) | st.integers(0, min(n, 3)))
    worse = draw(st.integers(0, n - better) | st.integers(0, min(n - better, 3)))
    return better, worse, n


# --- Clopper and Pearson ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "events", "n", "alpha"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 5 (two-sided 95 %).
        (0.3676, 81, 263, TWO_SIDED_95),
        (0.1617, 15, 148, TWO_SIDED_95),
        (0.1684, 0, 20, TWO_SIDED_95),
        (0.1776, 1, 29, TWO_SIDED_95),
        # One-sided 95 % after n trials without an event: 1 - 0.05^(1/n).
        (0.1391, 0, 20, 0.05),
        (0.2589, 0, 10, 0.05),
        (0.0295, 0, 100, 0.05),
    ],
)
def test_clopper_pearson_gives_the_published_values(expected: float, events: int, n: int, alpha: float) -> None:
    """A second opinion from outside this repository."""
    assert expected == round(binomial.clopper_pearson_upper(events, n, alpha), 4)


def test_149_cases_without_a_failure_rule_out_two_points() -> None:
    """The smallest suite that can certify a margin of two points, whatever its scores look like."""
    assert 0.02 > binomial.clopper_pearson_upper(0, 149, 0.05)
    assert 0.02 < binomial.clopper_pearson_upper(0, 148, 0.05)


@pytest.mark.slow
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), LEVELS)
def test_clopper_pearson_is_where_so_few_events_become_too_unlikely(events_of: tuple[int, int], alpha: float) -> None:
    """The definition: at the bound, as few events or fewer have probability alpha."""
    events, n = events_of
    p = binomial.clopper_pearson_upper(events, n, alpha)

    tail = sum(math.comb(n, k) * p**k * (1.0 - p) ** (n - k) for k in range(events + 1))

    assert pytest.approx(alpha, rel=1e-9) == tail


def test_clopper_pearson_is_one_when_every_trial_is_an_event() -> None:
    """No number of failures out of as many trials rules out that all will fail."""
    assert 1.0 == binomial.clopper_pearson_upper(7, 7, 0.05)


# --- Tango --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "better", "worse", "n", "alpha"),
    [
        # Airway hyper-responsiveness (Bentur et al. 2009) in Fagerland, Lydersen & Laake, Statistics in Medicine 33
        # (2014) 2850-2875.
        ((-0.517, -0.026), 1, 7, 21, TWO_SIDED_95),
        # Complete response (Cavo et al. 2012) in the same authors' Statistical Analysis of Contingency Tables (2017),
        # chapter 8; also in the tests of its R package, contingencytables.
        ((-0.1240, -0.0054), 6, 16, 161, TWO_SIDED_95),
        # R package PropCIs, scoreci.mp(25, 28, 618, 0.90), whose estimate is (second - first) / n.
        ((-0.0148, 0.0247), 28, 25, 618, 0.05),
    ],
)
def test_tango_gives_the_published_intervals(
    expected: tuple[float, float], better: int, worse: int, n: int, alpha: float
) -> None:
    """A second opinion from outside this repository; two-sided 95 % is 2.5 % on each side."""
    interval = binomial.tango_interval(better, worse, n, alpha)

    digits = max(len(f"{end:g}".split(".")[1]) for end in expected)
    assert expected == (round(interval.low, digits), round(interval.high, digits))


def tango_z_by_search(better: int, worse: int, n: int, difference: float) -> float:
    """Tango's statistic with the restricted estimate of p(worse) found by maximising the likelihood."""
    least, most = max(0.0, -difference), 0.5 * (1.0 - difference)

    def log_likelihood(p: float) -> float:
        ties = max(1.0 - 2.0 * p - difference, 0.0)
        return float(
            special.xlogy(better, p + difference) + special.xlogy(worse, p) + special.xlogy(n - better - worse, ties)
        )

    found = optimize.minimize_scalar(
        lambda p: -log_likelihood(p), bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    )
    p = max([float(found.x), least, most], key=log_likelihood)
    variance = n * (2.0 * p + difference * (1.0 - difference))
    return (better - worse - n * difference) / math.sqrt(variance)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "worse", "n"), [(1, 7, 21), (6, 16, 161), (28, 25, 618), (3, 3, 10), (5, 1, 6), (1, 1, 50), (30, 2, 40)]
)
def test_tango_bounds_are_where_a_grid_of_tests_stops_rejecting(better: int, worse: int, n: int) -> None:
    """The definition: the interval holds the differences that a score test does not reject."""
    alpha, step = 0.05, 2e-3
    grid = np.arange(-1.0 + step, 1.0, step)
    z = np.array([tango_z_by_search(better, worse, n, float(difference)) for difference in grid])
    kept = grid[np.abs(z) <= special.ndtri(1.0 - alpha)]

    interval = binomial.tango_interval(better, worse, n, alpha)

    assert pytest.approx((kept[0], kept[-1]), abs=1.01 * step) == (interval.low, interval.high)


def tango_by_quartic(better: int, worse: int, n: int, alpha: float) -> tuple[float, float]:
    """Tango's limits without iteration: put p(worse), as the limit needs it, into the likelihood's quadratic."""
    z_squared = float(special.ndtri(1.0 - alpha)) ** 2
    d = Polynomial([0.0, 1.0])
    variance = (better - worse - n * d) ** 2 / (n * z_squared)
    p = 0.5 * (variance - d * (1.0 - d))
    quartic = 2.0 * n * p**2 + ((2.0 * n - better + worse) * d - better - worse) * p - worse * d * (1.0 - d)
    roots = [float(root.real) for root in quartic.roots() if abs(root.imag) < 1e-6 and abs(root.real) < 1.0]
    limits = [
        root for root in roots if abs(abs(tango_z_by_search(better, worse, n, root)) - math.sqrt(z_squared)) < 1e-3
    ]
    return min(limits), max(limits)


@pytest.mark.slow
@given(counts(200).filter(lambda c: c[0] > 0 and c[1] > 0), LEVELS)
def test_tango_bounds_are_the_roots_of_the_quartic(pairs: tuple[int, int, int], alpha: float) -> None:
    """A way to the same limits that shares no step with ours."""
    interval = binomial.tango_interval(*pairs, alpha)

    assert pytest.approx(tango_by_quartic(*pairs, alpha), abs=1e-6) == (interval.low, interval.high)


@given(counts())
def test_tango_at_zero_is_mcnemar(pairs: tuple[int, int, int]) -> None:
    """The p-value against "not worse" and the bound come from one statistic."""
    better, worse, n = pairs
    discordant = better + worse

    expected = (better - worse) / math.sqrt(discordant) if discordant else 0.0

    assert pytest.approx(expected, abs=1e-9) == binomial.tango_z(better, worse, n, 0.0)


@pytest.mark.slow
@given(counts())
def test_more_difference_always_fits_less(pairs: tuple[int, int, int]) -> None:
    """A bound found by bisection is only *the* bound where the statistic falls steadily."""
    z = [binomial.tango_z(*pairs, thousandths / 1000.0) for thousandths in range(-1000, 1001, 25)]

    assert sorted(z, reverse=True) == z


@given(counts(), LEVELS)
def test_the_interval_encloses_the_estimate_within_the_range(pairs: tuple[int, int, int], alpha: float) -> None:
    """Never of zero width: ten ties out of ten are not a certainty."""
    better, worse, n = pairs

    interval = binomial.tango_interval(better, worse, n, alpha)

    assert (better - worse) / n == interval.estimate
    assert -1.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert 0.0 < interval.high - interval.low
    assert (n, n, alpha, Method.TANGO) == (interval.n, interval.clusters, interval.alpha, interval.method)


@given(counts(), LEVELS)
def test_swapping_the_variants_mirrors_the_interval(pairs: tuple[int, int, int], alpha: float) -> None:
    """Neither side is favoured."""
    better, worse, n = pairs

    one, other = binomial.tango_interval(better, worse, n, alpha), binomial.tango_interval(worse, better, n, alpha)

    assert pytest.approx((-other.high, -other.low), abs=1e-12) == (one.low, one.high)


@given(counts(), st.floats(0.001, 0.3), st.floats(0.001, 0.3))
def test_more_certainty_needs_a_wider_interval(pairs: tuple[int, int, int], one: float, other: float) -> None:
    """A look that may spend less must not find more."""
    strict, loose = (binomial.tango_interval(*pairs, alpha) for alpha in sorted((one, other)))

    assert strict.low <= loose.low + 1e-12
    assert strict.high >= loose.high - 1e-12


@given(counts(), LEVELS)
def test_not_worse_is_rejected_exactly_when_the_high_bound_lies_below_zero(
    pairs: tuple[int, int, int], alpha: float
) -> None:
    """Otherwise a report could print FAIL beside an interval that holds zero."""
    better, worse, n = pairs

    rejected = binomial.p_at_least_zero(better, worse) < alpha

    assert rejected is (binomial.tango_interval(better, worse, n, alpha).high < 0.0)


@given(counts().filter(lambda c: c[0] > 0), LEVELS, st.floats(0.001, 0.5))
def test_the_low_bound_clears_a_margin_exactly_when_the_test_there_rejects(
    pairs: tuple[int, int, int], alpha: float, margin: float
) -> None:
    """The exact error rates are enumerated with the test, and promised for the bound."""
    rejected = binomial.tango_z(*pairs, -margin) > special.ndtri(1.0 - alpha)

    assert rejected is np.bool_(binomial.tango_interval(*pairs, alpha).low > -margin)


@pytest.mark.parametrize("n", [5, 12, 33])
def test_one_more_better_pair_never_closes_a_gate(n: int) -> None:
    """The enumeration of error rates searches for the one count at which the decision changes."""
    passes = [
        [binomial.tango_z(better, worse, n, -0.02) > special.ndtri(0.95) for better in range(1, n - worse + 1)]
        for worse in range(n)
    ]

    assert passes == [sorted(row) for row in passes]


@pytest.mark.parametrize(("better", "worse", "n"), [(0, 3, 20), (3, 0, 20), (0, 0, 20), (0, 20, 20), (20, 0, 20)])
def test_a_side_without_events_is_bounded_exactly(better: int, worse: int, n: int) -> None:
    """A score bound there would be a normal approximation to nothing at all."""
    interval = binomial.tango_interval(better, worse, n, 0.05)

    if better == 0:
        assert -binomial.clopper_pearson_upper(worse, n, 0.05) == interval.low
    if worse == 0:
        assert binomial.clopper_pearson_upper(better, n, 0.05) == interval.high


@pytest.mark.parametrize(
    ("better", "worse", "n"), [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 10**7), (1, 0, 10**7), (4, 10**7 - 4, 10**7)]
)
def test_the_smallest_and_the_largest_samples_have_an_interval(better: int, worse: int, n: int) -> None:
    """One case, or a year of them."""
    interval = binomial.tango_interval(better, worse, n, 0.05)

    assert -1.0 <= interval.low < interval.high <= 1.0


# --- McNemar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "better", "worse"),
    [
        # Two-sided asymptotic McNemar: 0.0339 (Bentur) and 0.033006 (Cavo), sources as above.
        (0.0339, 1, 7),
        (0.0330, 6, 16),
    ],
)
def test_the_p_value_against_not_worse_is_half_the_published_two_sided_one(
    expected: float, better: int, worse: int
) -> None:
    """A second opinion from outside this repository."""
    assert expected == round(2.0 * binomial.p_at_least_zero(better, worse), 4)


@pytest.mark.parametrize("better", [0, 1, 50])
def test_nothing_worse_is_no_evidence_of_worse(better: int) -> None:
    """Without one regressed pair the p-value is 1, not a half."""
    assert 1.0 == binomial.p_at_least_zero(better, 0)


@pytest.mark.parametrize(
    ("expected", "better", "worse"),
    [
        # Exact conditional McNemar: 0.0703 (Bentur) and 0.052479 (Cavo), sources as above.
        (0.0703, 1, 7),
        (0.0525, 6, 16),
        (1.0, 0, 0),
        (1.0, 3, 3),
    ],
)
def test_the_sign_test_gives_the_published_values(expected: float, better: int, worse: int) -> None:
    """A second opinion from outside this repository."""
    assert expected == round(binomial.sign_test(better, worse), 4)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_counts_outcomes_at_least_as_lopsided(better: int, worse: int) -> None:
    """The definition, in whole numbers."""
    discordant = better + worse
    gap = abs(better - worse)
    as_lopsided = sum(math.comb(discordant, k) for k in range(discordant + 1) if abs(discordant - 2 * k) >= gap)

    assert pytest.approx(float(Fraction(as_lopsided, 2**discordant)), rel=1e-12) == binomial.sign_test(better, worse)


@pytest.mark.slow
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_sign_test_agrees_with_scipy(split: tuple[int, int]) -> None:
    """A second implementation."""
    better, discordant = split

    expected = stats.binomtest(better, discordant).pvalue

    assert pytest.approx(expected, rel=1e-9) == binomial.sign_test(better, discordant - better)


@pytest.mark.parametrize(("better", "worse", "n"), [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_counts_are_refused(better: int, worse: int, n: int) -> None:
    """Counts that do not add up come from a bug, and every formula here would digest them."""
    with pytest.raises(ValueError, match="counts must be >= 0 with better \\+ worse <= n, got"):
        binomial.tango_z(better, worse, n, 0.0)


def test_more_events_than_trials_are_refused() -> None:
    """As above, for the exact bound."""
    with pytest.raises(ValueError, match="counts must be >= 0"):
        binomial.clopper_pearson_upper(6, 5, 0.05)
