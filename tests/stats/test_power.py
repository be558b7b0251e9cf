"""Sample sizes: published numbers, and whether a sample of that size does what was promised."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from midshift.stats import binomial, dirichlet, power
from midshift.stats.interval import Method

ALPHA = 0.05


@pytest.mark.parametrize(
    ("expected", "discordant", "margin"),
    [
        # (z(0.95) + z(0.8))^2 p / margin^2 for paired 0/1 scores, discordance p and no difference: Miller, arXiv
        # 2411.00640, section 5, with z for one side. Computed apart from this code, to whole cases.
        (1546, 0.10, 0.02),
        (2319, 0.15, 0.02),
        (3865, 0.25, 0.02),
        (687, 0.10, 0.03),
        (1031, 0.15, 0.03),
        (1718, 0.25, 0.03),
        (248, 0.10, 0.05),
        (371, 0.15, 0.05),
        (619, 0.25, 0.05),
    ],
)
def test_sample_sizes_are_the_textbook_ones(expected: int, discordant: float, margin: float) -> None:
    """People plan a quarter's labelling by these numbers."""
    assert expected == power.cases_needed(math.sqrt(discordant), margin, ALPHA, Method.TANGO)


@pytest.mark.parametrize(("expected", "margin"), [(149, 0.02), (59, 0.05), (299, 0.01), (29, 0.1)])
def test_without_any_spread_it_is_the_rule_of_three(expected: int, margin: float) -> None:
    """59 successes without a failure for 95 % at 95 % reliability: the success-run theorem of acceptance sampling."""
    assert expected == power.cases_needed(0.0, margin, ALPHA, Method.TANGO)
    assert expected == power.cases_needed(0.0, margin, ALPHA, Method.DIRICHLET)


def test_the_score_bound_needs_the_larger_of_two_numbers_and_the_dirichlet_bound_their_sum() -> None:
    """Noise, and failures that have not been seen yet: one bound pays for both."""
    spread, margin = 0.3, 0.05

    noise = ((special.ndtri(0.95) + special.ndtri(0.8)) * spread / margin) ** 2
    unseen = math.log(0.05) / math.log(0.95)

    assert math.ceil(max(noise, unseen)) == power.cases_needed(spread, margin, ALPHA, Method.TANGO)
    assert math.ceil(noise + unseen) == power.cases_needed(spread, margin, ALPHA, Method.DIRICHLET)


def share_that_passes_exactly(n: int, discordant: float, margin: float) -> float:
    """P(Tango's low bound > -margin) for n pairs without a difference: every outcome with its probability."""
    z = special.ndtri(1.0 - ALPHA)
    total = 0.0
    for worse in range(n + 1):
        p_worse = math.exp(log_binomial(n, worse, 0.5 * discordant))
        if p_worse < 1e-12:
            continue
        for better in range(1, n - worse + 1):
            if binomial.tango_z(better, worse, n, -margin) > z:
                share = 0.5 * discordant / (1.0 - 0.5 * discordant)
                total += p_worse * float(special.bdtrc(better - 1, n - worse, share))
                break
    return total


def log_binomial(n: int, k: int, p: float) -> float:
    return float(
        special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        + special.xlogy(k, p) + special.xlogy(n - k, 1.0 - p)
    )  # fmt: skip


@pytest.mark.parametrize(("discordant", "margin"), [(0.10, 0.05), (0.25, 0.05), (0.15, 0.03), (0.10, 0.02)])
def test_a_planned_sample_of_0_1_scores_passes_four_times_in_five(discordant: float, margin: float) -> None:
    """The promise behind "412 more cases": exact, by enumeration."""
    n = power.cases_needed(math.sqrt(discordant), margin, ALPHA, Method.TANGO)

    assert pytest.approx(power.POWER, abs=0.03) == share_that_passes_exactly(n, discordant, margin)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "geometric", "correlation", "margin"),
    [
        (1, False, 0.0, 0.05),
        (1, False, 0.0, 0.1),
        (5, False, 0.0, 0.05),
        (5, False, 0.3, 0.05),
        (10, False, 0.5, 0.1),
        (4, True, 0.3, 0.05),
    ],
)
def test_a_planned_sample_of_graded_scores_passes_about_four_times_in_five(
    size: int, geometric: bool, correlation: float, margin: float, rng: np.random.Generator
) -> None:
    """As above for the Dirichlet bound, single and clustered; a plan may be a little cautious, never much too small."""
    spread, typical = 0.25, 2.0 * size - 1.0 if geometric else float(size)
    effect = 1.0 + (typical - 1.0) * correlation
    n = power.cases_needed(spread, margin, ALPHA, Method.DIRICHLET, effect, typical)
    clusters, runs, passed = math.ceil(n / size), 600, 0
    for _ in range(runs):
        sizes = rng.geometric(1.0 / size, clusters) if geometric else np.full(clusters, size)
        cluster = np.repeat(np.arange(clusters), sizes)
        common, own = (rng.choice([-0.5, 0.0, 0.5], k, p=[0.125, 0.75, 0.125]) for k in (clusters, cluster.size))
        differences = np.where(rng.random(cluster.size) < math.sqrt(correlation), common[cluster], own)
        sums = np.bincount(cluster, differences, clusters).astype(np.float64)
        passed += dirichlet.p_at_most(sums, sizes.astype(np.float64), -margin) < ALPHA

    assert 0.76 <= passed / runs <= 0.9


@given(
    st.floats(0.0, 1.0),
    st.floats(0.005, 0.5),
    st.sampled_from([Method.TANGO, Method.DIRICHLET]),
    st.floats(1.0, 20.0),
    st.floats(1.0, 50.0),
    st.floats(1.0, 3.0),
)
def test_every_difficulty_asks_for_more_cases(
    spread: float, margin: float, method: Method, effect: float, size: float, harder: float
) -> None:
    """More noise, a finer margin, thicker clusters, a stricter level: none may make a plan cheaper."""
    plan = power.cases_needed(spread, margin, ALPHA, method, effect, size)

    assert 1 <= plan
    assert plan <= power.cases_needed(spread * harder, margin, ALPHA, method, effect, size)
    assert plan <= power.cases_needed(spread, margin / harder, ALPHA, method, effect, size)
    assert plan <= power.cases_needed(spread, margin, ALPHA / harder, method, effect, size)
    assert plan <= power.cases_needed(spread, margin, ALPHA, method, effect * harder, size)
    assert plan <= power.cases_needed(spread, margin, ALPHA, method, effect, size * harder)


@pytest.mark.slow
@given(st.floats(0.01, 1.0), st.integers(10, 10_000), st.floats(1.0, 20.0))
def test_the_detectable_drop_is_the_margin_that_such_a_plan_settles(spread: float, n: int, effect: float) -> None:
    """The two functions are one formula, solved for one or the other."""
    drop = power.detectable_drop(spread, n, ALPHA, effect)

    noise = effect * ((special.ndtri(0.95) + special.ndtri(power.POWER)) * spread / drop) ** 2

    assert pytest.approx(n) == noise


def test_the_detectable_drop_is_proven_four_times_in_five() -> None:
    """The other promise: a drop of that size is found; exact, for 0/1 scores with 20 % discordance."""
    n, discordant = 400, 0.2
    drop = power.detectable_drop(math.sqrt(discordant), n, ALPHA)
    b, w = np.mgrid[: n + 1, : n + 1]
    log = special.gammaln(n + 1.0) - special.gammaln(b + 1.0) - special.gammaln(w + 1.0)
    log = log - special.gammaln(np.maximum(n - b - w, 0) + 1.0) + special.xlogy(b, 0.5 * (discordant - drop))
    log = log + special.xlogy(w, 0.5 * (discordant + drop)) + special.xlogy(np.maximum(n - b - w, 0), 1.0 - discordant)
    probability = np.where(b + w <= n, np.exp(log), 0.0)
    rejected = b - w < special.ndtri(ALPHA) * np.sqrt(b + w)

    assert pytest.approx(power.POWER, abs=0.02) == float(probability[rejected].sum())


@pytest.mark.parametrize("margin", [0.0, -0.02, math.nan])
def test_a_margin_that_nothing_can_rule_out_is_refused(margin: float) -> None:
    """No sample proves that there is no drop at all."""
    with pytest.raises(ValueError, match="can never be ruled out; it must be above 0"):
        power.cases_needed(0.3, margin, ALPHA, Method.TANGO)


def test_the_whole_range_as_a_margin_is_allowed() -> None:
    """A margin of 100 points is a strange wish, and no division by zero."""
    assert 1 <= power.cases_needed(0.0, 1.0, ALPHA, Method.TANGO)


def test_no_case_detects_nothing() -> None:
    """An infinite drop in a report would read as a finding."""
    with pytest.raises(ValueError, match="need at least one case, got 0"):
        power.detectable_drop(0.3, 0, ALPHA)
