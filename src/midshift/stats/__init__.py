"""Arithmetic on numbers: intervals, tests, sample sizes. No product words, no I/O, no clock, no randomness.

This file imports no numpy, so that naming an `Interval` costs nothing; the estimators are imported by module:

    paired        mean difference of paired scores in a known range, clustered or not
    binomial      score and exact bounds for paired 0/1 outcomes
    dirichlet     lower bound on the mean of a bounded variable, whatever its distribution
    signflip      exact test of "nothing changed", and the intervals that it implies
    quantile      nearest-rank quantiles and the shift between two of them
    multiplicity  Holm's step-down
    power         cases needed, smallest detectable drop
    blocks        two arms of a running experiment, at every look at once
    looks         what one look at a growing sample may spend
"""

from midshift.stats.interval import Interval, Method

__all__ = ["Interval", "Method"]
