"""Block sums: the bound holds at every look, and a moving baseline is no effect."""

import math

import numpy as np
import pytest

from midshift.stats.blocks import FIRST_LOOK, ArmSums, anytime_factor, difference

BLOCKS = 64


def sums(values: np.ndarray, block: np.ndarray) -> ArmSums:
    return ArmSums(
        np.bincount(block, minlength=BLOCKS).astype(float), np.bincount(block, values, minlength=BLOCKS).astype(float)
    )


def a_step(rng: np.random.Generator, n: int, share: float, base: float, effect: float = 0.0) -> tuple[ArmSums, ArmSums]:
    block = rng.integers(0, BLOCKS, n)
    candidate = rng.random(n) < share
    errors = (rng.random(n) < base + effect * candidate).astype(float)
    return sums(errors[~candidate], block[~candidate]), sums(errors[candidate], block[candidate])


def test_a_falling_baseline_is_not_an_effect_of_the_candidate(rng: np.random.Generator) -> None:
    """Pooled over steps, three shares and a drifting baseline make a difference out of nothing (Simpson)."""
    steps = [a_step(rng, 20_000, share, base) for share, base in ((0.01, 0.10), (0.05, 0.12), (0.25, 0.14))]
    pooled = [ArmSums(sum(s[i].counts for s in steps), sum(s[i].totals for s in steps)) for i in (0, 1)]  # type: ignore[arg-type]
    naive = pooled[1].totals.sum() / pooled[1].n - pooled[0].totals.sum() / pooled[0].n
    found = difference(steps, 0.05)

    assert found is not None
    assert naive > 0.01
    assert found.low < 0.0 < found.high


@pytest.mark.slow
def test_looking_at_every_hour_raises_false_alarms_in_at_most_five_per_cent(rng: np.random.Generator) -> None:
    """A guard is read all the time; a fixed-sample bound would halt one equal candidate in three."""
    alarms = 0
    for _ in range(300):
        growing = [np.zeros(BLOCKS) for _ in range(4)]
        for _ in range(60):
            old, new = a_step(rng, 200, 0.25, 0.05)
            for total, more in zip(growing, (old.counts, old.totals, new.counts, new.totals), strict=True):
                total += more
            found = difference([(ArmSums(growing[0], growing[1]), ArmSums(growing[2], growing[3]))], 0.05)
            if found is not None and found.low > 0.0:
                alarms += 1
                break

    assert alarms / 300 <= 0.05 + 0.02


def test_a_real_harm_is_found(rng: np.random.Generator) -> None:
    """A bound that never alarms would also hold its level."""
    found = difference([a_step(rng, 40_000, 0.05, 0.01, effect=0.05)], 0.05)

    assert found is not None
    assert found.low > 0.01


def test_too_little_traffic_bounds_nothing(rng: np.random.Generator) -> None:
    """None, and not zero."""
    assert difference([], 0.05) is None
    assert difference([a_step(rng, FIRST_LOOK, 0.5, 0.1)], 0.05) is None


def test_no_variation_at_all_is_not_certainty() -> None:
    """Two arms without a single error leave room for the errors that were not seen yet."""
    counts = np.full(BLOCKS, 10.0)
    found = difference([(ArmSums(counts, np.zeros(BLOCKS)), ArmSums(counts, np.zeros(BLOCKS)))], 0.05)

    assert found is not None
    assert found.high >= -math.log(0.05) / 640


@pytest.mark.parametrize("n", [50, 500, 5_000, 500_000])
def test_the_price_of_looking_at_any_time_is_bounded(n: int) -> None:
    """A fixed-sample bound takes 1.645 standard errors; this one two to six."""
    assert 2.0 < anytime_factor(n, 0.05) < 6.5
