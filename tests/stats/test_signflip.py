"""The sign-flip test against enumeration, exact convolution and drawn signs; its intervals by a scan of shifts."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats

from midshift.stats import signflip
from midshift.stats.interval import Interval, Method

Floats = NDArray[np.float64]


def all_signs(sums: Floats) -> float:
    """P(sum of +-|sums| >= sum of sums), by going through all 2^n signs."""
    signs = np.array(list(product((-1.0, 1.0), repeat=sums.size)))
    return float((signs @ np.abs(sums) >= sums.sum() - 1e-9 * np.abs(sums).sum()).mean())


def by_convolution(sums: Floats) -> float:
    """The same for whole numbers of any count, exactly: one +-size after the other."""
    probabilities = np.ones(1)
    for size in np.abs(sums).astype(int):
        longer = np.zeros(probabilities.size + 2 * size)
        longer[: probabilities.size] += 0.5 * probabilities
        longer[2 * size :] += 0.5 * probabilities
        probabilities = longer
    total = int(np.abs(sums).sum())
    return float(probabilities[np.arange(-total, total + 1) >= sums.sum()].sum())


changes = st.sampled_from([0.0, 1.0, -1.0, 2.0]) | st.floats(-100.0, 100.0, width=32)


@pytest.mark.slow
@given(st.lists(changes, min_size=1, max_size=12).map(np.array))
def test_up_to_fourteen_changes_every_sign_is_tried(sums: Floats) -> None:
    """The definition: how often would fair coins put the signs at least so high."""
    if np.abs(sums)[sums != 0.0].min(initial=np.inf) > 1e-6:
        assert pytest.approx(all_signs(sums), abs=1e-12) == signflip.p_upper(sums)


@pytest.mark.slow
@pytest.mark.parametrize("n", [15, 16])
@pytest.mark.parametrize("kind", ["normal", "skewed", "one stands out"])
def test_the_approximation_takes_over_without_a_step(n: int, kind: str, rng: np.random.Generator) -> None:
    """From 15 changes on the tail is approximated: it must stay close to the enumerated one."""
    for _ in range(3):
        sums = rng.normal(0.4, 1.0, n)
        if kind == "skewed":
            sums = rng.exponential(1.0, n) * np.sign(sums)
        if kind == "one stands out":
            sums[0] = 4.0

        exact = all_signs(sums)

        assert pytest.approx(exact, rel=0.2, abs=2e-4) == signflip.p_upper(sums)


@pytest.mark.parametrize("z", [0.5, 1.645, 2.5, 4.0])
def test_the_two_approximations_agree_where_one_takes_over(z: float, rng: np.random.Generator) -> None:
    """Among thousands of clusters of which none stands out, the quick series must say what the saddlepoint does."""
    sizes = np.abs(rng.normal(0.0, 1.0, 7000))
    squares = sizes * sizes
    variance = float(squares.sum())
    kurtosis = -2.0 * float(squares @ squares) / variance**2

    by_saddlepoint = signflip._saddlepoint(sizes, squares, z * math.sqrt(variance), variance)

    assert pytest.approx(by_saddlepoint, rel=1e-4) == signflip._edgeworth(z, kurtosis)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 60, 300])
def test_the_tail_is_the_share_of_drawn_signs(n: int, rng: np.random.Generator) -> None:
    """Beyond enumeration: 40,000 drawn sets of signs."""
    sums = rng.gamma(0.7, 1.0, n) * rng.choice([-1.0, 1.0], n, p=[0.4, 0.6])
    sums *= np.sign(sums.sum())

    drawn = float(np.mean(np.sign(rng.random((40_000, n)) - 0.5) @ np.abs(sums) >= sums.sum()))

    assert pytest.approx(drawn, rel=0.12, abs=0.003) == signflip.p_upper(sums)


@pytest.mark.parametrize("n", [15, 20, 40, 120])
@pytest.mark.parametrize("sizes", [[1, 2], [1, 1, 1, 5], [2, 4, 6], [1, 3, 10]])
def test_whole_numbers_keep_their_own_probability(n: int, sizes: list[int], rng: np.random.Generator) -> None:
    """Counts by cluster come in steps: a continuous approximation would leave out half of the step observed."""
    for share in (0.5, 0.65, 0.8):
        sums = np.resize(sizes, n) * rng.choice([-1.0, 1.0], n, p=[1.0 - share, share])

        exact = by_convolution(sums)

        assert pytest.approx(exact, rel=0.2, abs=1e-6) == signflip.p_upper(sums)


@pytest.mark.parametrize("sizes", [[1] * 15 + [2], [1] * 13 + [2, 2], [1] * 20 + [2] * 5, [1, 2, 3] * 10])
@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.005])
def test_whole_numbers_are_not_accused_more_often_than_promised(sizes: list[int], alpha: float) -> None:
    """The test is called exact: the probability of every outcome that it rejects adds up to alpha at most."""
    rows = [np.array(sizes) * np.array([1.0] * up + [-1.0] * (len(sizes) - up)) for up in range(len(sizes) + 1)]
    outcomes = {float(sums.sum()): sums for sums in rows}
    rejected = [by_convolution(sums) for sums in outcomes.values() if signflip.p_upper(sums) <= alpha]

    assert max(rejected, default=0.0) <= 1.02 * alpha


def test_equal_changes_are_a_fair_coin() -> None:
    """Without clusters, 0/1 measurements make the exact McNemar test."""
    sums = np.array([3.0] * 14 + [-3.0] * 6 + [0.0] * 30)

    assert pytest.approx(stats.binomtest(14, 20, alternative="greater").pvalue) == signflip.p_upper(sums)
    assert pytest.approx(stats.binomtest(14, 20).pvalue) == signflip.p_two_sided(sums)


def test_fishers_test_of_darwins_plants() -> None:
    """Fisher, The Design of Experiments (1935), section 21: of 2^15 signs, 863 give a sum of at least 314 either way
    round, half of the 1,726 that he counts: 5.267 % two-sided."""
    eighths_of_an_inch = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], np.float64)

    assert 314.0 == eighths_of_an_inch.sum()
    assert 863 / 2**15 == all_signs(eighths_of_an_inch)
    assert pytest.approx(2 * 863 / 2**15, rel=0.03) == signflip.p_two_sided(eighths_of_an_inch)


@pytest.mark.slow
@given(st.lists(changes, min_size=1, max_size=40).map(np.array))
def test_the_two_sides_share_one_test(sums: Floats) -> None:
    """Two-sided is twice the smaller tail, at most 1, and does not care which side is which."""
    upper, lower = signflip.p_upper(sums), signflip.p_upper(-sums)

    assert min(1.0, 2.0 * min(upper, lower)) == signflip.p_two_sided(sums)
    assert signflip.p_two_sided(sums) == signflip.p_two_sided(-sums)
    assert 0.0 < upper <= 1.0


@pytest.mark.slow
@given(st.lists(changes, min_size=1, max_size=40).map(np.array), st.floats(1e-6, 1e6))
def test_the_unit_changes_nothing(sums: Floats, unit: float) -> None:
    """Seconds or milliseconds."""
    if np.abs(sums)[sums != 0.0].min(initial=np.inf) > 1e-6 and sums.size <= 14:
        assert pytest.approx(signflip.p_upper(sums), rel=1e-6) == signflip.p_upper(unit * sums)


@pytest.mark.slow
@given(
    st.lists(changes, min_size=2, max_size=30).flatmap(
        lambda sums: st.tuples(st.just(np.array(sums)), st.permutations(range(len(sums))))
    )
)
def test_the_order_of_the_pairs_changes_nothing(shuffled: tuple[Floats, list[int]]) -> None:
    """Rows come in the order of a file; a finding must not depend on it."""
    sums, order = shuffled

    # Close to one half the two terms of the saddlepoint nearly cancel, and five digits are left of a sum's rounding.
    assert pytest.approx(signflip.p_upper(sums), rel=1e-5) == signflip.p_upper(sums[order])


@pytest.mark.parametrize("sums", [np.zeros(0), np.zeros(5)])
def test_no_change_is_no_evidence(sums: Floats) -> None:
    """An empty slice and one in which nothing differs: p = 1."""
    assert (1.0, 1.0) == (signflip.p_upper(sums), signflip.p_two_sided(sums))


@pytest.mark.parametrize("n", [3, 14, 15, 100, 2000])
def test_all_changes_on_one_side_is_the_rarest_outcome(n: int, rng: np.random.Generator) -> None:
    """Its probability is 2^-n, and no approximation may promise less."""
    sums = rng.exponential(1.0, n) + 0.1

    assert pytest.approx(0.5**n, rel=0.01, abs=0.0) == signflip.p_upper(sums)
    assert 1.0 == pytest.approx(signflip.p_upper(-sums))


@pytest.mark.slow
def test_equal_variants_are_flagged_at_most_as_often_as_promised(rng: np.random.Generator) -> None:
    """Seeded coverage: clusters of whole and of broken sizes, many and few."""
    for n in (8, 16, 40):
        for sizes in (rng.geometric(0.4, n).astype(np.float64), rng.exponential(1.0, n)):
            signs = np.sign(rng.random((800, n)) - 0.5)
            flagged = np.mean([signflip.p_two_sided(row) <= 0.05 for row in signs * sizes])
            assert 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 800) > flagged


# --- Intervals ----------------------------------------------------------------------------------------------------


def by_scan(sums: Floats, sizes: Floats, alpha: float, steps: int) -> tuple[float, float]:
    """The shifts that the test does not reject: every sign, tried at every step of a grid."""
    centre, reach = sums.sum() / sizes.sum(), 4.0 * np.abs(sums / sizes).max()
    signs = np.array(list(product((-1.0, 1.0), repeat=sums.size)))
    kept = []
    for shift in np.linspace(centre - reach, centre + reach, steps + 1):
        rest = sums - shift * sizes
        totals = signs @ np.abs(rest)
        if min((totals >= rest.sum() - 1e-9).mean(), (totals <= rest.sum() + 1e-9).mean()) > alpha:
            kept.append(float(shift))
    return min(kept), max(kept)


@pytest.mark.parametrize(("n", "clustered"), [(6, False), (10, False), (10, True)])
def test_an_interval_is_the_set_of_shifts_that_are_not_rejected(
    n: int, clustered: bool, rng: np.random.Generator
) -> None:
    """The definition, by brute force."""
    sizes = rng.geometric(0.5, n).astype(np.float64) if clustered else np.ones(n)
    sums = rng.normal(0.3, 1.0, n) * sizes
    low, high = by_scan(sums, sizes, 0.05, steps=1000)

    found = signflip.mean_shift(sums, sizes, int(sizes.sum()), 0.05)

    step = 8.0 * np.abs(sums / sizes).max() / 1000
    assert pytest.approx((low, high), abs=2.0 * step) == (found.low, found.high)
    assert (sums.sum() / sizes.sum(), int(sizes.sum()), n) == (found.estimate, found.n, found.clusters)
    assert (0.05, Method.SIGN_FLIP) == (found.alpha, found.method)


@pytest.mark.parametrize("n", [18, 40])
def test_an_interval_ends_where_the_test_starts_to_reject(n: int, rng: np.random.Generator) -> None:
    """As above, for more clusters than can be enumerated: just inside kept, just outside rejected."""
    sizes = rng.geometric(0.5, n).astype(np.float64)
    sums = rng.normal(0.3, 1.0, n) * sizes

    found = signflip.mean_shift(sums, sizes, int(sizes.sum()), 0.05)

    inside, outside = 0.99 * found.high + 0.01 * found.estimate, 1.01 * found.high - 0.01 * found.estimate
    assert signflip.p_upper(inside * sizes - sums) > 0.05 > signflip.p_upper(outside * sizes - sums)
    inside, outside = 0.99 * found.low + 0.01 * found.estimate, 1.01 * found.low - 0.01 * found.estimate
    assert signflip.p_upper(sums - inside * sizes) > 0.05 > signflip.p_upper(sums - outside * sizes)


@pytest.mark.slow
@given(
    st.lists(st.floats(-100.0, 100.0, width=16), min_size=1, max_size=25).map(np.array), st.sampled_from([0.05, 0.01])
)
def test_an_interval_encloses_the_estimate_and_has_a_width(sums: Floats, alpha: float) -> None:
    """Also when every difference is the same, or only one is not zero."""
    found = signflip.mean_shift(sums, np.ones(sums.size), sums.size, alpha)

    assert found.low <= found.estimate <= found.high
    assert found.low < found.high


@pytest.mark.slow
@given(st.lists(st.floats(-100.0, 100.0, width=16), min_size=1, max_size=20).map(np.array))
def test_swapping_the_variants_mirrors_the_interval(sums: Floats) -> None:
    """Neither side is favoured."""
    one, other = (signflip.mean_shift(sign * sums, np.ones(sums.size), sums.size, 0.05) for sign in (1.0, -1.0))

    assert pytest.approx((-other.high, -other.low), rel=1e-6, abs=1e-6) == (one.low, one.high)


@pytest.mark.parametrize(("expected", "differing"), [(False, 4), (True, 5), (True, 9)])
def test_too_few_differences_bound_nothing(expected: bool, differing: int, rng: np.random.Generator) -> None:
    """Four coins cannot land below 5 % one-sided: that is the answer, not a failure."""
    sums = np.append(rng.normal(1.0, 0.1, differing), np.zeros(20))

    assert expected is signflip.mean_shift(sums, np.ones(sums.size), sums.size, 0.05).bounded


@pytest.mark.parametrize(("n", "change"), [(20, 0.5), (1000, 0.5), (50, -3.0)])
def test_a_change_that_is_always_the_same_still_has_a_width(n: int, change: float) -> None:
    """Every answer one sentence shorter: about 3/n of the traffic may be of a kind that was not in the sample."""
    found = signflip.mean_shift(np.full(n, change), np.ones(n), n, 0.05)

    hidden = abs(change) * -math.log(0.05) / n
    assert pytest.approx((change - hidden, change + hidden), rel=1e-3) == (found.low, found.high)


def test_with_many_pairs_it_tends_to_the_t_interval(rng: np.random.Generator) -> None:
    """Nothing is lost by assuming nothing."""
    sums = rng.gamma(2.0, 1.0, 2000) - 1.9
    half_width = float(special.ndtri(0.95)) * sums.std(ddof=1) / math.sqrt(2000)

    found: Interval = signflip.mean_shift(sums, np.ones(2000), 2000, 0.05)

    assert pytest.approx(half_width, rel=0.03) == found.high - found.estimate
    assert pytest.approx(half_width, rel=0.03) == found.estimate - found.low
