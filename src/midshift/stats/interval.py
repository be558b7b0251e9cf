"""The one shape in which a statistic leaves this room: an estimate between two bounds.

Imports nothing but the standard library, so that `domain` and every short-lived process can name it for free.
Elsewhere: how the bounds are computed (`paired`, `quantile`), and what they mean for a decision (`domain`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How the two bounds of an interval were computed; the words that reports print."""

    TANGO = "tango score"
    DIRICHLET = "dirichlet bound"
    SIGN_FLIP = "sign flip"
    ANYTIME = "asymptotic confidence sequence"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a lower and an upper bound, each one-sided at level 1 - `alpha`.

    `estimate`, `low` and `high` share one unit, the caller's. An infinite bound says "these data cannot bound
    it"; a bound never meets the other one, because evidence with no width is a bug and not a certainty.

    Raises:
        ValueError: if the bounds are out of order, of zero width, or not numbers.
    """

    estimate: float
    low: float
    high: float
    n: int
    clusters: int
    alpha: float
    method: Method

    def __post_init__(self) -> None:
        if any(math.isnan(x) for x in (self.estimate, self.low, self.high)):
            raise ValueError(f"an interval needs numbers, got {self!r}")
        if not (self.low <= self.estimate <= self.high and self.low < self.high):
            raise ValueError(f"bounds must enclose the estimate and have a width, got {self!r}")

    @property
    def bounded(self) -> bool:
        """Whether both bounds are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)
