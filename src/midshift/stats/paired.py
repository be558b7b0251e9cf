"""The difference between two variants on the same cases: estimate, bounds, and the p-value against "not worse".

Scores are given on the unit range, so a difference lies in [-1, 1]; the caller scales back. Two methods, by what the
data are and never by how they turned out:

- every score at an end of its range, one case a cluster, equal weights: Tango's score bounds (`binomial`);
- anything else (graded scores, several cases a cluster, weights, averaged trials): the Dirichlet bound (`dirichlet`).

The estimand is the mean over cases, sum(w d) / sum(w); clusters only widen the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midshift.stats import binomial, dirichlet
from midshift.stats.interval import Interval, Method

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PairedSample:
    """Paired differences of one score, reduced to what the estimators read.

    `sums` and `sizes` have shape (clusters,): the weighted differences and weights of each cluster. `better` and
    `worse` count cases. `incumbent` and `candidate` are the (weighted) means. `spread` is the standard deviation of
    one case's difference. `binary` says that `binomial` applies.
    """

    sums: Floats
    sizes: Floats
    n: int
    better: int
    worse: int
    incumbent: float
    candidate: float
    spread: float
    binary: bool

    @property
    def clusters(self) -> int:
        """How many independent clusters the cases fall into."""
        return int(self.sums.size)

    @property
    def estimate(self) -> float:
        """Mean difference over cases, candidate minus incumbent."""
        return float(self.sums.sum() / self.sizes.sum())


def paired_sample(
    incumbent: Floats, candidate: Floats, clusters: NDArray[np.int64] | None = None, weights: Floats | None = None
) -> PairedSample:
    """Reduce paired scores to a `PairedSample`.

    Args:
        incumbent: shape (n,), each in [0, 1].
        candidate: shape (n,), each in [0, 1], the same cases in the same order.
        clusters: shape (n,), a label a case; None = each case is its own cluster.
        weights: shape (n,), each > 0; None = equal.

    Raises:
        ValueError: for unlike shapes, no case at all, a score outside [0, 1] (NaN is), or a weight that is not > 0.
    """
    n = incumbent.size
    if n == 0 or incumbent.shape != candidate.shape or incumbent.ndim != 1:
        raise ValueError(f"need two equally long, non-empty rows of scores: {incumbent.shape} {candidate.shape}")
    scores = np.concatenate([incumbent, candidate])
    if not bool(((scores >= 0.0) & (scores <= 1.0)).all()):
        raise ValueError("every score must lie in [0, 1]")
    weight = np.ones(n) if weights is None else weights
    if not bool(((weight > 0.0) & np.isfinite(weight)).all()):
        raise ValueError("every weight must be a finite number above 0")
    difference = candidate - incumbent
    total = float(weight.sum())
    mean = float(weight @ difference) / total
    sums, sizes = by_cluster(difference * weight, weight, clusters)
    return PairedSample(
        sums=sums,
        sizes=sizes,
        n=n,
        better=int((difference > 0.0).sum()),
        worse=int((difference < 0.0).sum()),
        incumbent=float(weight @ incumbent) / total,
        candidate=float(weight @ candidate) / total,
        spread=float(np.sqrt(weight @ (difference - mean) ** 2 / total)),
        binary=sums.size == n and bool(np.isin(scores, (0.0, 1.0)).all()) and bool((weight == weight[0]).all()),
    )


def difference(sample: PairedSample, alpha: float) -> Interval:
    """The mean difference with one-sided 1 - `alpha` bounds."""
    if sample.binary:
        return binomial.tango_interval(sample.better, sample.worse, sample.n, alpha)
    estimate = sample.estimate
    low = dirichlet.lower_bound(sample.sums, sample.sizes, alpha)
    high = -dirichlet.lower_bound(-sample.sums, sample.sizes, alpha)
    return Interval(
        estimate, min(low, estimate), max(high, estimate), sample.n, sample.clusters, alpha, Method.DIRICHLET
    )


def p_not_worse(sample: PairedSample) -> float:
    """One-sided p-value against "the candidate is not worse" (true mean difference >= 0)."""
    if sample.binary:
        return binomial.p_at_least_zero(sample.better, sample.worse)
    return dirichlet.p_at_most(-sample.sums, sample.sizes, 0.0)


def design_effect(sample: PairedSample) -> float:
    """How many times more cases these clusters need than independent cases would; at least 1 (Kish)."""
    if sample.spread == 0.0 or sample.clusters < 2:
        return max(1.0, sample.n / sample.clusters)
    residual = sample.sums - sample.estimate * sample.sizes
    scale = sample.clusters / (sample.clusters - 1)
    clustered = scale * float(residual @ residual) / float(sample.sizes.sum()) ** 2
    return max(1.0, clustered / (sample.spread**2 / sample.n))


def typical_cluster(sample: PairedSample) -> float:
    """How many cases the cluster of a random case has: sum of squares over sum, with weights in units of their mean."""
    scale = sample.n / float(sample.sizes.sum())
    return scale * float(sample.sizes @ sample.sizes) / float(sample.sizes.sum())


def by_cluster(sums: Floats, sizes: Floats, clusters: NDArray[np.int64] | None) -> tuple[Floats, Floats]:
    """Two columns of shape (n,) added up by cluster label: shape (clusters,); unchanged where there are none."""
    if clusters is None:
        return sums, sizes
    labels, index = np.unique(clusters, return_inverse=True)
    added = [np.bincount(index, values, labels.size).astype(np.float64) for values in (sums, sizes)]
    return added[0], added[1]
