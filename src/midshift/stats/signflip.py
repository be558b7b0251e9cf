"""Did anything change? The sign-flip test of paired differences, and the intervals that it implies.

If the candidate behaved exactly like the incumbent, each pair could as well have come the other way round: every
cluster's summed difference is as likely to be plus as minus. So the test is exact for any distribution, needs no
draws, and for 0/1 measurements without clusters it *is* the exact McNemar test. Fisher, The Design of Experiments
(1935) §21; the tail of sum(+-S) is enumerated up to 2^16 signs, and beyond that computed by saddlepoint (Robinson,
JRSS-B 44 (1982) 91-101), or by Edgeworth's series where no cluster stands out.

An interval is the set of shifts that the test does not reject. Where fewer than six differences are not zero, no
two-sided 95 % interval for an unbounded measurement exists, and its ends are infinite: that is the answer, not a
failure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from midshift.stats.interval import Interval, Method
from midshift.stats.roots import illinois

Floats = NDArray[np.float64]

_ENUMERATE_UP_TO = 16
_NOT_ZERO = 1e-12
_CLOSE_ENOUGH = 1e-9
_BEYOND = 9.0  # standard deviations: the tail is below 1e-18
_NEARLY_NORMAL = 1e-3
_LARGEST_WHOLE = 2.0**53


def p_upper(sums: Floats) -> float:
    """P(sum of +-|sums| >= sum of `sums`) with fair, independent signs: one-sided, against "no increase"."""
    scale = float(np.abs(sums).max(initial=0.0))
    sums = sums[np.abs(sums) > _NOT_ZERO * scale] if scale > 0.0 else sums[:0]
    if sums.size == 0:
        return 1.0
    sizes, observed = np.abs(sums) / scale, float(sums.sum()) / scale
    if bool((sizes == sizes[0]).all()):
        positive = int((sums > 0.0).sum())
        return float(special.bdtrc(positive - 1, sums.size, 0.5)) if positive > 0 else 1.0
    if sizes.size <= _ENUMERATE_UP_TO:
        totals = np.zeros(1)
        for size in sizes:  # one more sign doubles what the sum can be
            totals = np.concatenate([totals - size, totals + size])
        return float((totals >= observed - 1e-9).mean())
    return _tail(sizes, observed - _half_step(sums) / scale)


def p_two_sided(sums: Floats) -> float:
    """Two-sided p-value of "nothing changed": twice the smaller tail, at most 1."""
    return min(1.0, 2.0 * min(p_upper(sums), p_upper(-sums)))


def mean_shift(sums: Floats, sizes: Floats, n: int, alpha: float) -> Interval:
    """The mean difference sum(sums)/sum(sizes) with one-sided 1 - `alpha` bounds, in the unit of `sums`.

    Shapes: both (clusters,); `sums` unbounded, `sizes` > 0. A bound is infinite where too few clusters could reach
    the level at all.
    """
    estimate = float(sums.sum() / sizes.sum())
    least = unseen(estimate, int(sums.size), alpha)
    high = max(_upper_limit(sums, sizes, estimate, alpha), estimate + least)
    low = min(-_upper_limit(-sums, sizes, -estimate, alpha), estimate - least)
    return Interval(estimate, low, high, n, int(sums.size), alpha, Method.SIGN_FLIP)


def unseen(change: float, clusters: int, alpha: float) -> float:
    """The least half-width of an interval: what a change that is the same in every pair leaves open.

    Up to -ln(alpha)/n of all pairs may be of a kind that was not seen (the rule of three); here each of them may miss
    the change, or double it.
    """
    return abs(change) * -math.log(alpha) / clusters


def _upper_limit(sums: Floats, sizes: Floats, estimate: float, alpha: float) -> float:
    """The largest shift whose removal leaves differences that do not look too low."""
    if 0.5 ** np.count_nonzero(sums) > alpha:
        return math.inf
    target = float(special.ndtri(alpha))

    def excess(shift: float) -> float:
        return _probit(p_upper(shift * sizes - sums)) - target

    residual = sums - estimate * sizes
    step = 2.0 * float(np.sqrt(residual @ residual)) / float(sizes.sum()) + 1e-9 * (1.0 + abs(estimate))
    high = estimate + step
    for _ in range(80):
        if excess(high) < 0.0:
            return illinois(excess, estimate, high, 1e-6 * step) if excess(estimate) > 0.0 else high
        high = estimate + 2.0 * (high - estimate)
    return math.inf


def _half_step(sums: Floats) -> float:
    """Half the distance between two values that sum(+-sums) can take: 0 unless the sums are whole numbers.

    The tail is computed as if the sum were continuous. Without this correction the p-value of whole numbers (counts
    by cluster) leaves out half of the observed value's own probability and is up to 1.8 times too small.
    """
    whole = np.rint(sums)
    if not bool((whole == sums).all()) or float(np.abs(sums).max()) > _LARGEST_WHOLE:
        return 0.0
    return float(np.gcd.reduce(np.abs(whole).astype(np.int64)))


def _tail(sizes: Floats, observed: float) -> float:
    """P(sum of +-sizes >= observed) for more signs than can be enumerated."""
    total, squares = float(sizes.sum()), sizes * sizes
    variance = float(squares.sum())
    z, least = observed / math.sqrt(variance), 0.5**sizes.size
    if observed >= total * (1.0 - 1e-12):
        return least
    if observed <= -total * (1.0 - 1e-12):
        return 1.0
    if abs(z) > _BEYOND:  # Hoeffding's bound, which is all that anyone needs to know out here
        return max(least, math.exp(-0.5 * z * z)) if z > 0.0 else 1.0
    kurtosis = -2.0 * float(squares @ squares) / variance**2
    if abs(z) < 1e-6 or (abs(z) < 5.0 and -kurtosis < _NEARLY_NORMAL):
        return _edgeworth(z, kurtosis)
    return min(1.0, max(least, _saddlepoint(sizes, squares, observed, variance)))


def _edgeworth(z: float, kurtosis: float) -> float:
    """The normal tail with its first correction; the distribution is symmetric, so there is no skewness."""
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return float(special.ndtr(-z)) + density * kurtosis / 24.0 * (z**3 - 3.0 * z)


def _saddlepoint(sizes: Floats, squares: Floats, observed: float, variance: float) -> float:
    """Lugannani-Rice with K(t) = sum of ln cosh(t sizes)."""
    t = _tilt(sizes, squares, observed, variance)
    scaled = np.abs(t * sizes)
    decay = np.exp(-2.0 * scaled)
    log_cosh = float((scaled + np.log1p(decay)).sum()) - sizes.size * math.log(2.0)
    w = math.copysign(math.sqrt(max(2.0 * (t * observed - log_cosh), 0.0)), t)
    u = t * math.sqrt(float(squares @ (4.0 * decay / (1.0 + decay) ** 2)))
    if abs(w) < 1e-4 or u == 0.0:
        return float(special.ndtr(-w))
    density = math.exp(-0.5 * w * w) / math.sqrt(2.0 * math.pi)
    return float(special.ndtr(-w)) + density * (1.0 / u - 1.0 / w)


def _tilt(sizes: Floats, squares: Floats, observed: float, variance: float) -> float:
    """t with sum(sizes tanh(t sizes)) = observed: Newton inside a bracket, from the normal approximation."""
    low, high = (0.0, math.inf) if observed > 0.0 else (-math.inf, 0.0)
    t = observed / variance
    for _ in range(100):
        tanh = np.tanh(t * sizes)
        gap = float(sizes @ tanh) - observed
        if abs(gap) <= _CLOSE_ENOUGH * math.sqrt(variance):
            return t
        low, high = (t, high) if gap < 0.0 else (low, t)
        slope = float(squares @ (1.0 - tanh * tanh))
        step = t - gap / slope if slope > 0.0 else math.nan
        if not low < step < high:
            step = 2.0 * t if math.isinf(low) or math.isinf(high) else 0.5 * (low + high)
        t = step
    return t


def _probit(p: float) -> float:
    return float(special.ndtri(min(max(p, 1e-300), 1.0 - 1e-16)))
