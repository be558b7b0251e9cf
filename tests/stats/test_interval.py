"""The shape in which every statistic travels: it cannot be built without a width."""

import math

import pytest

from midshift.stats import Interval, Method


def an_interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, n=10, clusters=10, alpha=0.05, method=Method.DIRICHLET)


@pytest.mark.parametrize(
    ("estimate", "low", "high"),
    [(0.0, -0.1, 0.1), (0.0, 0.0, 0.1), (0.1, 0.0, 0.1), (0.0, -math.inf, math.inf), (-1.0, -1.0, -0.9)],
)
def test_an_interval_encloses_its_estimate(estimate: float, low: float, high: float) -> None:
    """The estimate may touch a bound (it does at an end of the range), the bounds may not touch each other."""
    interval = an_interval(estimate, low, high)

    assert (estimate, low, high) == (interval.estimate, interval.low, interval.high)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "fault"),
    [
        (0.0, 0.0, 0.0, "bounds must enclose the estimate and have a width"),
        (0.2, 0.0, 0.1, "bounds must enclose the estimate and have a width"),
        (-0.1, 0.0, 0.1, "bounds must enclose the estimate and have a width"),
        (0.0, 0.1, -0.1, "bounds must enclose the estimate and have a width"),
        (math.inf, math.inf, math.inf, "bounds must enclose the estimate and have a width"),
        (math.nan, -0.1, 0.1, "an interval needs numbers"),
        (0.0, math.nan, 0.1, "an interval needs numbers"),
        (0.0, -0.1, math.nan, "an interval needs numbers"),
    ],
)
def test_what_bounds_nothing_is_not_an_interval(estimate: float, low: float, high: float, fault: str) -> None:
    """Ten passes out of ten with a bound of zero width is how a gate comes to trust ten cases."""
    with pytest.raises(ValueError, match=fault):
        an_interval(estimate, low, high)


@pytest.mark.parametrize(
    ("expected", "low", "high"),
    [(True, -0.1, 0.1), (False, -math.inf, 0.1), (False, -0.1, math.inf), (False, -math.inf, math.inf)],
)
def test_an_interval_is_bounded_when_both_ends_are(expected: bool, low: float, high: float) -> None:
    """An infinite end means "these data cannot say", which a report has to put in words."""
    assert expected is an_interval(0.0, low, high).bounded
