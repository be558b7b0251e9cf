"""Quantiles of two paired measurements: nearest-rank values, and how far one lies from the other.

The shift of a quantile is tested through the pairs: pool both sides, take the pooled quantile, and ask whether the
candidate is above it where the incumbent is not more often than the reverse (a sign test on discordant pairs; by
cluster where there are clusters). Exact when nothing changed, whatever the correlation between the two sides. The
interval is the set of shifts of the incumbent that the test does not reject; where too few pairs lie beyond the
quantile its end is infinite (the p99 of a hundred requests says almost nothing).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from midshift.stats import signflip
from midshift.stats.interval import Interval, Method

Floats = NDArray[np.float64]

_HALVINGS = 40


def nearest_rank(values: Floats, q: float) -> float:
    """The smallest value with at least a share `q` of all values at or below it.

    Raises:
        ValueError: for no values, or `q` outside (0, 1).
    """
    if values.size == 0 or not 0.0 < q < 1.0:
        raise ValueError(f"need values and a share in (0, 1), got {values.size} values and {q=}")
    rank = _rank(values.size, q)
    return float(np.partition(values, rank)[rank])


def p_shift(incumbent: Floats, candidate: Floats, q: float, clusters: NDArray[np.int64] | None = None) -> float:
    """Two-sided p-value of "the `q`-quantile did not move" for pairs of shape (n,)."""
    pairs = _Pairs.of(incumbent, candidate, clusters)
    return min(1.0, 2.0 * min(pairs.p_higher(0.0, q), pairs.p_lower(0.0, q)))


def shift(
    incumbent: Floats, candidate: Floats, q: float, alpha: float, clusters: NDArray[np.int64] | None = None
) -> Interval:
    """Candidate's minus incumbent's `q`-quantile (nearest rank), with one-sided 1 - `alpha` bounds."""
    estimate = nearest_rank(candidate, q) - nearest_rank(incumbent, q)
    pairs = _Pairs.of(incumbent, candidate, clusters)
    low, high = -math.inf, math.inf
    if 0.5 ** np.count_nonzero(candidate - incumbent) <= alpha:
        widest, least = 2.0 * pairs.width + 1e-9, signflip.unseen(estimate, pairs.clusters, alpha)
        high = max(_edge(lambda s: pairs.p_lower(s, q) > alpha, estimate, widest), estimate + least)
        low = min(_edge(lambda s: pairs.p_higher(s, q) > alpha, estimate, -widest), estimate - least)
    return Interval(estimate, low, high, int(incumbent.size), pairs.clusters, alpha, Method.SIGN_FLIP)


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Paired measurements, with both sides sorted once: a shift of the incumbent keeps its order."""

    incumbent: Floats
    candidate: Floats
    sorted_incumbent: Floats
    sorted_candidate: Floats
    index: NDArray[np.int64] | None
    clusters: int

    @classmethod
    def of(cls, incumbent: Floats, candidate: Floats, clusters: NDArray[np.int64] | None) -> _Pairs:
        if clusters is None:
            index, count = None, int(incumbent.size)
        else:
            labels, index = np.unique(clusters, return_inverse=True)
            count = int(labels.size)
        return cls(incumbent, candidate, np.sort(incumbent), np.sort(candidate), index, count)

    @property
    def width(self) -> float:
        """From the smallest value of either side to the largest."""
        highest = max(float(self.sorted_incumbent[-1]), float(self.sorted_candidate[-1]))
        return highest - min(float(self.sorted_incumbent[0]), float(self.sorted_candidate[0]))

    def p_higher(self, s: float, q: float) -> float:
        """P-value against "the candidate's quantile is at most the incumbent's plus `s`"."""
        above = self._only_above(s, q)
        return signflip.p_upper(above) if self.index is not None else _fair_coin(above)

    def p_lower(self, s: float, q: float) -> float:
        """P-value against "the candidate's quantile is at least the incumbent's plus `s`"."""
        below = -self._only_above(s, q)
        return signflip.p_upper(below) if self.index is not None else _fair_coin(below)

    def _only_above(self, s: float, q: float) -> Floats:
        """+1 where only the candidate lies above the pooled quantile, -1 where only the incumbent (plus `s`) does."""
        threshold = self._pooled_quantile(s, q)
        change = (self.candidate > threshold).astype(np.float64) - (self.incumbent + s > threshold)
        if self.index is None:
            return change
        return np.bincount(self.index, change, self.clusters).astype(np.float64)

    def _pooled_quantile(self, s: float, q: float) -> float:
        """The nearest-rank quantile of both sides together, from the two sorted sides."""
        rank = _rank(2 * self.candidate.size, q)
        first, second = self.sorted_incumbent + s, self.sorted_candidate
        low, high = max(0, rank - second.size + 1), min(first.size, rank + 1)
        while low < high:  # how many of `first` are among the `rank` + 1 smallest
            middle = (low + high) // 2
            if first[middle] < second[rank - middle]:
                low = middle + 1
            else:
                high = middle
        others = rank + 1 - low
        from_first = first[low - 1] if low else -math.inf
        from_second = second[others - 1] if others else -math.inf
        return float(max(from_first, from_second))


def _fair_coin(changes: Floats) -> float:
    """`signflip.p_upper` of values that are all -1, 0 or +1, by counting."""
    up = int((changes > 0.0).sum())
    return 1.0 if up == 0 else float(special.bdtrc(up - 1, int(np.count_nonzero(changes)), 0.5))


def _edge(plausible: Callable[[float], bool], estimate: float, reach: float) -> float:
    """The first shift beyond `estimate`, in the direction of `reach`, that is not plausible; infinite if none is."""
    far = estimate + reach
    if plausible(far):
        return math.copysign(math.inf, reach)
    near = estimate
    for _ in range(_HALVINGS):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if plausible(middle) else (near, middle)
    return far


def _rank(n: int, q: float) -> int:
    return min(n - 1, max(0, math.ceil(q * n) - 1))
