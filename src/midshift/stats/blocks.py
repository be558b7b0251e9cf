"""Two arms of a running experiment, compared from block sums, at any time and as often as one likes.

Units (users, sessions) are hashed into blocks; per step, arm and block only a count and a sum are kept. The variance
of an arm's mean is the linearised ratio variance over blocks, B/(B-1) * sum_b (S_b - M N_b)^2 / N^2, which is robust
to any dependence within a unit. Steps with different shares are strata: differences are taken within a step and
weighted by the candidate's requests there, and residuals are added up by block before they are squared, because a
unit may appear in several steps. Pooling over steps instead would mistake a baseline that moves for an effect.

The bound is the one-sided asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha & Kennedy (Annals of
Statistics 52 (2024), arXiv 2103.06476): it holds at every look at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midshift.stats.interval import Interval, Method

Floats = NDArray[np.float64]

FIRST_LOOK = 20
"""Fewer requests of either arm than this bound nothing."""
_TUNED_FOR = 2000.0


@dataclass(frozen=True, slots=True, eq=False)
class ArmSums:
    """One arm in one step: counts and sums by block, shape (blocks,) each."""

    counts: Floats
    totals: Floats

    @property
    def n(self) -> float:
        """How many requests."""
        return float(self.counts.sum())


def difference(steps: Sequence[tuple[ArmSums, ArmSums]], alpha: float) -> Interval | None:
    """Candidate's minus incumbent's mean over strata of (incumbent, candidate), bounded at every look at once.

    None where either arm has had fewer than `FIRST_LOOK` requests: nothing is known yet, which is not zero.
    """
    usable = [(old, new) for old, new in steps if old.n > 0.0 and new.n > 0.0]
    n_old, n_new = sum(old.n for old, _ in usable), sum(new.n for _, new in usable)
    if min(n_old, n_new) < FIRST_LOOK:
        return None
    estimate, residual = 0.0, 0.0
    for side in (0, 1):
        by_block = sum(
            (step[1].n / n_new) * (step[side].totals - _mean(step[side]) * step[side].counts) / step[side].n
            for step in usable
        )
        sign = 1.0 if side else -1.0
        estimate += sign * sum(step[1].n / n_new * _mean(step[side]) for step in usable)
        blocks = np.asarray(by_block).size
        residual += blocks / (blocks - 1) * float(np.square(by_block).sum())
    reach = anytime_factor(n_new, alpha) * math.sqrt(residual)
    if reach == 0.0:
        reach = -math.log(alpha) / min(n_old, n_new)  # nothing has varied yet: the rule of three, not certainty
    blocks = usable[0][1].counts.size
    return Interval(estimate, estimate - reach, estimate + reach, int(n_new), blocks, alpha, Method.ANYTIME)


def anytime_factor(n: float, alpha: float) -> float:
    """How many standard errors wide a one-sided bound is that holds at every n at once."""
    rho_squared = (-2.0 * math.log(2.0 * alpha) + math.log(-2.0 * math.log(2.0 * alpha) + 1.0)) / _TUNED_FOR
    grown = n * rho_squared + 1.0
    return math.sqrt(2.0 * grown / (n * rho_squared) * math.log(1.0 + math.sqrt(grown) / (2.0 * alpha)))


def _mean(arm: ArmSums) -> float:
    return float(arm.totals.sum()) / arm.n
