"""The Dirichlet bound: against drawn weights, exact distributions, the bounds it generalises, and its promises.

Slow definitions: a million draws of Dirichlet weights; the exact distribution of a weighted sum of exponentials by
partial fractions in rational arithmetic, and by Gil-Pelaez's inversion of its characteristic function (Imhof,
Biometrika 48 (1961) 419-426, for quadratic forms).
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, special, stats

from midshift.stats import dirichlet

Floats = NDArray[np.float64]

LEVELS = st.sampled_from([0.2, 0.1, 0.05, 0.025, 0.01, 0.05 / 12])
ROUNDING = 1e-7


@st.composite
def samples(draw: st.DrawFn, most: int = 40) -> tuple[Floats, Floats]:
    """Cluster sums and sizes; means often at an end of the range, at zero, or all alike."""
    clusters = draw(st.integers(1, most))
    mean = st.sampled_from([-1.0, 0.0, 1.0, 0.25, -0.001]) | st.floats(-1.0, 1.0, width=32)
    means = np.array(draw(st.lists(mean, min_size=clusters, max_size=clusters)))
    sizes = np.array(draw(st.lists(st.integers(1, 60), min_size=clusters, max_size=clusters)), np.float64)
    if draw(st.booleans()):
        sizes = np.ones(clusters)
    return means * sizes, sizes


def tail_by_inversion(values: Floats) -> float:
    """P(sum of E_i values[i] <= 0) from the characteristic function, by quadrature."""
    scale = 1.0 / float(np.sqrt(values @ values))

    def integrand(t: float) -> float:
        angle = float(np.arctan(t * values).sum())
        return math.sin(angle) * math.exp(-0.5 * float(np.log1p((t * values) ** 2).sum())) / t

    pieces = [0.0, 0.5, 2.0, 8.0, 32.0, 200.0, 4000.0]
    total = sum(
        integrate.quad(integrand, low * scale + 1e-12, high * scale, limit=200, epsabs=1e-10)[0]
        for low, high in zip(pieces, pieces[1:], strict=False)
    )
    return 0.5 - float(total) / math.pi


def tail_by_fractions(values: list[Fraction]) -> Fraction:
    """The same for distinct values, exactly: the partial fractions of the moment generating function."""
    above = Fraction(0)
    for i, value in enumerate(values):
        if value > 0:
            above += math.prod((value / (value - other) for j, other in enumerate(values) if j != i), start=Fraction(1))
    return 1 - above


# --- The tail of a weighted sum of exponentials -------------------------------------------------------------------


@pytest.mark.slow
@given(
    st.lists(
        st.integers(-1000, 1000).filter(bool).map(lambda k: Fraction(k, 1000)), min_size=2, max_size=14, unique=True
    ).filter(lambda values: min(values) < 0 < max(values))
)
def test_the_tail_is_close_to_the_exact_one(values: list[Fraction]) -> None:
    """A saddlepoint is an approximation: its error must stay small against a p-value, also for two or three terms."""
    exact = float(tail_by_fractions(values))

    found = dirichlet.exponential_sum_tail(np.array(values, np.float64), np.ones(len(values)))

    if exact > 1e-4:
        assert 0.96 * exact <= found <= 1.12 * exact


@pytest.mark.parametrize("clusters", [5, 12, 40])
@pytest.mark.parametrize("shape", ["symmetric", "skewed", "uneven"])
def test_the_level_of_the_bound_is_within_a_tenth_of_alpha(clusters: int, shape: str, rng: np.random.Generator) -> None:
    """What counts is the level: the exact tail at the bound we give is alpha, but for a tenth, mostly below."""
    for _ in range(5):
        sizes = np.exp(rng.normal(0.0, 1.0, clusters)) if shape == "uneven" else np.ones(clusters)
        means = -(rng.random(clusters) ** 9) if shape == "skewed" else rng.uniform(-0.3, 0.3, clusters)
        low = dirichlet.lower_bound(means * sizes, sizes, 0.05)
        pseudo = float(sizes @ sizes) / float(sizes.sum())

        level = tail_by_inversion(np.append((means - low) * sizes, -(1.0 + low) * pseudo))

        assert pytest.approx(0.05, rel=0.1) == level


@pytest.mark.parametrize("unit", [1.0, 1e-165, 1e-300, 5e-324])
def test_the_tail_is_the_same_in_any_unit(unit: float) -> None:
    """P(2 E1 <= E2) = 1/3, whether scores are counted in points or in what rounding leaves of them."""
    found = dirichlet.exponential_sum_tail(np.array([2.0, -1.0]) * unit, np.ones(2))

    assert pytest.approx(1 / 3, abs=3e-3) == found


@pytest.mark.parametrize("small", [1e-3, 1e-6, 5.5e-17, 1e-100, 1e-300, 5e-324])
@pytest.mark.parametrize("count", [1, 20])
def test_what_is_nearly_nothing_turns_no_sign(small: float, count: int) -> None:
    """Clusters at the mean, but for the rounding of their sum, beside one far below: P(small * E <= E') is nearly 1."""
    found = dirichlet.exponential_sum_tail(np.array([small, -1.0]), np.array([float(count), 1.0]))

    assert pytest.approx((1.0 + small) ** -count, abs=1e-3) == found


@pytest.mark.parametrize("large", [0.5, 1.0, 3.0])
def test_what_no_float_tells_from_nothing_beside_another_is_nothing(large: float) -> None:
    """The least number that there is has no reciprocal, and is none at all in the unit of one beyond 1."""
    values = np.array([5e-324, 5e-324, 0.0, -large])

    assert 1.0 == dirichlet.exponential_sum_tail(values, np.ones(4))
    assert 0.0 == dirichlet.exponential_sum_tail(-values, np.ones(4))


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20), st.integers(1, 5))
def test_counting_a_value_twice_is_having_it_twice(values: list[float], times: int) -> None:
    """A million clusters of a few kinds must cost, and give, what those kinds do."""
    once = np.array(values)

    expected = dirichlet.exponential_sum_tail(np.repeat(once, times), np.ones(once.size * times))

    assert pytest.approx(expected, abs=2e-4) == dirichlet.exponential_sum_tail(once, np.full(once.size, float(times)))


@pytest.mark.slow
@given(st.lists(st.floats(-1.0, 1.0).filter(lambda x: abs(x) > 1e-6), min_size=1, max_size=20))
def test_the_two_tails_add_up_to_one(values: list[float]) -> None:
    """The sum is continuous: it lies on one side of zero or on the other."""
    ones = np.ones(len(values))

    below, above = (dirichlet.exponential_sum_tail(sign * np.array(values), ones) for sign in (1.0, -1.0))

    assert pytest.approx(1.0, abs=1e-6) == below + above


@pytest.mark.parametrize(("expected", "values"), [(1.0, [-1.0, -2.0]), (1.0, [0.0]), (0.0, [1.0, 0.5])])
def test_a_sum_of_one_sign_lies_on_its_side(expected: float, values: list[float]) -> None:
    """The ends of the range have no saddlepoint."""
    assert expected == dirichlet.exponential_sum_tail(np.array(values), np.ones(len(values)))


def test_the_tail_is_smooth_through_its_middle(rng: np.random.Generator) -> None:
    """Where the two terms of the formula cancel, another one takes over: a step there would stop a root finder."""
    values = rng.normal(0.1, 1.0, 50)
    middle = float(values.mean())
    offsets = np.linspace(-1e-3, 1e-3, 401)

    tails = np.array([dirichlet.exponential_sum_tail(values - middle - x, np.ones(50)) for x in offsets])

    assert 5e-4 > np.abs(np.diff(tails)).max()


# --- The bound ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
def test_the_bound_is_the_quantile_of_drawn_dirichlet_means(clustered: bool, rng: np.random.Generator) -> None:
    """The definition, by drawing: weights over the clusters and one more, of typical size, at the worst value."""
    means = rng.choice([-1.0, -0.2, 0.0, 0.1, 0.6], 15)
    sizes = rng.geometric(0.25, 15).astype(np.float64) if clustered else np.ones(15)
    pseudo = float((sizes**2).sum() / sizes.sum())
    all_sizes, all_sums = np.append(sizes, pseudo), np.append(means * sizes, -pseudo)
    weights = rng.exponential(1.0, (400_000, 16))  # normalised exponentials are Dirichlet(1, ..., 1)

    drawn = np.quantile((weights @ all_sums) / (weights @ all_sizes), [0.05, 0.01])

    found = [dirichlet.lower_bound(means * sizes, sizes, alpha) for alpha in (0.05, 0.01)]
    assert pytest.approx(drawn, abs=0.006) == found


@pytest.mark.parametrize("n", [5, 20, 100, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_at_the_ends_of_the_range_it_is_clopper_pearson(n: int, share: float, alpha: float) -> None:
    """Two values make a proportion, and that has an exact bound; ours may only be a little more careful."""
    high = round(share * n)
    means = np.repeat([1.0, -1.0], [high, n - high])

    exact = 2.0 * float(special.betaincinv(high, n - high + 1, alpha)) - 1.0 if high else -1.0

    found = dirichlet.lower_bound(means, np.ones(n), alpha)
    assert exact - 0.06 / n <= found <= exact + 1e-4 / n


@pytest.mark.parametrize("n", [20, 149, 1000])
def test_without_a_failure_it_is_the_rule_of_three(n: int) -> None:
    """All ties: the bound is what n cases without an event can rule out, 1 - alpha^(1/n)."""
    assert pytest.approx(-(1.0 - 0.05 ** (1.0 / n)), rel=0.01) == dirichlet.lower_bound(np.zeros(n), np.ones(n), 0.05)


def test_with_many_clusters_it_tends_to_the_t_bound(rng: np.random.Generator) -> None:
    """The price of honesty is one case in n, and fades."""
    distance = []
    for n in (100, 1000, 10_000):
        differences = rng.uniform(-0.5, 0.5, n)
        t = differences.mean() - stats.t.ppf(0.95, n - 1) * differences.std(ddof=1) / math.sqrt(n)
        distance.append(n * (t - dirichlet.lower_bound(differences, np.ones(n), 0.05)))

    assert all(0.0 < gap < 5.0 for gap in distance)


@pytest.mark.slow
@given(samples(), LEVELS)
def test_the_bound_lies_below_the_estimate_within_the_range(sample: tuple[Floats, Floats], alpha: float) -> None:
    """Never of zero width, whatever the data: all alike, one cluster, all at an end."""
    sums, sizes = sample
    estimate = float(sums.sum() / sizes.sum())

    low = dirichlet.lower_bound(sums, sizes, alpha)

    assert -1.0 <= low
    assert low < estimate or estimate == pytest.approx(-1.0)


@pytest.mark.slow
@given(samples(), LEVELS, st.floats(0.001, 0.999))
def test_a_mean_is_rejected_exactly_when_the_bound_exceeds_it(
    sample: tuple[Floats, Floats], alpha: float, drop: float
) -> None:
    """FAIL goes by the p-value and PASS by the bound; error rates are measured by the one for both."""
    sums, sizes = sample

    low = dirichlet.lower_bound(sums, sizes, alpha)
    p = dirichlet.p_at_most(sums, sizes, -drop)

    if abs(low + drop) > ROUNDING:
        assert (p < alpha) is (low > -drop)


@pytest.mark.slow
@given(samples(), st.floats(0.002, 0.3), st.floats(0.002, 0.3))
def test_more_certainty_needs_a_lower_bound(sample: tuple[Floats, Floats], one: float, other: float) -> None:
    """A look that may spend less must not find more."""
    strict, loose = (dirichlet.lower_bound(*sample, alpha) for alpha in sorted((one, other)))

    assert strict <= loose + ROUNDING


@pytest.mark.slow
@given(samples(), st.integers(-999, 999), st.integers(-999, 999))
def test_a_larger_mean_is_always_more_plausible(sample: tuple[Floats, Floats], one: int, other: int) -> None:
    """The bound is a root of the p-value, so the p-value must rise."""
    small, large = (dirichlet.p_at_most(*sample, mean / 1000.0) for mean in sorted((one, other)))

    assert small <= large + 2e-4


@pytest.mark.slow
@given(samples(most=12).flatmap(lambda s: st.tuples(st.just(s), st.permutations(range(s[0].size)))), LEVELS)
def test_the_order_of_the_clusters_changes_nothing(
    shuffled: tuple[tuple[Floats, Floats], list[int]], alpha: float
) -> None:
    """Rows come in the order of a file; a verdict must not depend on it."""
    (sums, sizes), order = shuffled

    expected = dirichlet.lower_bound(sums, sizes, alpha)

    assert pytest.approx(expected, abs=ROUNDING) == dirichlet.lower_bound(sums[order], sizes[order], alpha)


@pytest.mark.slow
@given(samples(), LEVELS, st.floats(0.01, 1000.0))
def test_the_unit_of_the_weights_changes_nothing(sample: tuple[Floats, Floats], alpha: float, unit: float) -> None:
    """Weights of 1 and 2 say what weights of 10 and 20 say."""
    sums, sizes = sample

    expected = dirichlet.lower_bound(sums, sizes, alpha)

    assert pytest.approx(expected, abs=1e-6) == dirichlet.lower_bound(unit * sums, unit * sizes, alpha)


@pytest.mark.slow
@given(samples(most=12), LEVELS, st.floats(0.0, 1.0))
def test_better_scores_never_lower_the_bound(sample: tuple[Floats, Floats], alpha: float, towards_best: float) -> None:
    """Improving a cluster must not close a gate."""
    sums, sizes = sample
    improved = sums.copy()
    improved[0] += towards_best * (sizes[0] - improved[0])

    worse, better = dirichlet.lower_bound(sums, sizes, alpha), dirichlet.lower_bound(improved, sizes, alpha)

    assert worse <= better + 1e-3


# --- Many clusters, counted by kind ------------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [4096, 4097, 30_000])
def test_counting_clusters_by_kind_changes_nothing(clusters: int, rng: np.random.Generator) -> None:
    """From 4,097 clusters on, equal ones are merged: the bound must not notice."""
    sizes = rng.integers(1, 4, clusters).astype(np.float64)
    sums = np.round(rng.uniform(-1.0, 1.0, clusters) * sizes)
    mean = float(sums.sum() / sizes.sum()) - 0.01
    pseudo = float(sizes @ sizes) / float(sizes.sum())
    values = np.append(sums - mean * sizes, -(1.0 + mean) * pseudo)

    one_by_one = dirichlet.exponential_sum_tail(values, np.ones(clusters + 1))

    assert pytest.approx(one_by_one, rel=1e-6) == dirichlet.p_at_most(sums, sizes, mean)


def test_merged_clusters_add_up_to_all_of_them(rng: np.random.Generator) -> None:
    """Two kinds of cluster with one sum but two sizes are two kinds."""
    sizes = rng.choice([2.0, 4.0], 5000)
    sums = rng.choice([-1.0, 0.0, 1.0], 5000)

    kinds_sums, kinds_sizes, counts = dirichlet._compressed(sums, sizes)

    assert 6 == counts.size
    assert (5000.0, sums.sum(), sizes.sum()) == (counts.sum(), counts @ kinds_sums, counts @ kinds_sizes)
    assert 6 == len(set(zip(kinds_sums.tolist(), kinds_sizes.tolist(), strict=True)))


# --- Extremes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [1, 2, 5, 1000, 100_000])
@pytest.mark.parametrize("mean", [-1.0, -0.02, 0.0, 1.0])
def test_clusters_that_are_all_alike_still_have_a_width(clusters: int, mean: float) -> None:
    """No spread in the sample is where a bound from the sample's own variance becomes a certainty."""
    low = dirichlet.lower_bound(np.full(clusters, mean), np.ones(clusters), 0.05)

    hidden = 1.0 - 0.05 ** (1.0 / clusters)
    assert pytest.approx(mean - (1.0 + mean) * hidden, abs=0.02 * (1.0 + mean) * hidden + 1e-9) == low


@pytest.mark.parametrize("size", [1.0, 1e6, 1e-9])
def test_one_cluster_says_next_to_nothing(size: float) -> None:
    """However many cases it has: a thousand copies of one conversation are one conversation."""
    low = dirichlet.lower_bound(np.array([0.5 * size]), np.array([size]), 0.05)

    assert pytest.approx(-1.0 + 1.5 * 0.05, abs=0.005) == low


def test_a_huge_cluster_among_small_ones_rules_the_bound() -> None:
    """Nine cases in ten lie in one cluster, so one more such cluster is what could be hiding."""
    sizes = np.append(np.ones(100), 900.0)

    assert -0.5 > dirichlet.lower_bound(np.zeros(101), sizes, 0.05)


@pytest.mark.slow
def test_a_million_tiny_weights_are_as_good_as_any(rng: np.random.Generator) -> None:
    """Sums of a billionth must not be lost, and a year of traffic must not take a minute."""
    sizes = np.full(1_000_000, 1e-9)
    differences = rng.choice([-1.0, 0.0, 1.0], 1_000_000, p=[0.1, 0.8, 0.1])
    half_width = 1.645 * math.sqrt(0.2 / 1_000_000)

    low = dirichlet.lower_bound(differences * sizes, sizes, 0.05)

    assert pytest.approx(differences.mean() - half_width, abs=0.02 * half_width) == low


@pytest.mark.parametrize(
    ("sums", "sizes"),
    [(np.zeros(0), np.zeros(0)), (np.zeros(2), np.ones(3)), (np.zeros((2, 2)), np.ones((2, 2)))],
)
def test_columns_that_do_not_match_are_refused(sums: Floats, sizes: Floats) -> None:
    """Broadcasting would make a bound out of two files that have nothing to do with each other."""
    with pytest.raises(ValueError, match="sums and sizes must be one-dimensional, alike and not empty"):
        dirichlet.lower_bound(sums, sizes, 0.05)
