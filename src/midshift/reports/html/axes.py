"""Scales and the marks on them, in per cent of a plot's width.

Elsewhere: what is drawn (`verdicts`, `drift`), how it looks (the files in `templates/`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from midshift.reports import words

_STEPS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0)
_MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from `low` to `high`; positions on it are per cent of the plot's width."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Where a value lies; beyond an end, at that end."""
        return 100.0 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[Tick]:
        """From end to end; every other one, counted from nought, is minor."""
        numbers = range(round(self.low / self.step), round(self.high / self.step) + 1)
        digits = 0 if self.step >= 1.0 else 1
        return [Tick(self.at(n * self.step), words.signed(n * self.step, digits), n % 2 == 1) for n in numbers]


@dataclass(frozen=True, slots=True)
class Tick:
    """One label of an axis, in per cent of the width; a minor one is left out where there is little room."""

    at: float
    label: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of a plot: the estimate between its bounds, in per cent of the width; `cut` where a bound is off it."""

    low: float
    estimate: float
    high: float
    cut_low: bool
    cut_high: bool


def axis_over(low: float, high: float) -> Axis:
    """The finest scale of few ticks that holds both values, nought among its ticks."""
    for step in _STEPS:
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= _MOST_TICKS:
            break
    return Axis(first * step, max(last, first + 1) * step, step)


def mark_on(axis: Axis, low: float, estimate: float, high: float) -> Mark:
    """Three values of the axis as a line on it."""
    return Mark(axis.at(low), axis.at(estimate), axis.at(high), low < axis.low, high > axis.high)
