"""Cases, the slices they fall into, and the scores that grade them.

`pt` (points) is one hundredth of a score's declared range: 2pt of a 0..1 score is 0.02, of a 1..10 grade 0.18.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

AGGREGATE = "*"
"""The name under which all cases together are reported; no slice may bear it."""


class SliceRole(StrEnum):
    """Whether an upgrade waits for a slice (`critical`) or only watches it."""

    CRITICAL = "critical"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Slice:
    """A named part of a workload's traffic that is judged on its own; by its own margin, if it has one.

    Raises:
        ValueError: for an empty name, or the aggregate's.
    """

    name: str
    role: SliceRole = SliceRole.CRITICAL
    margin: Margin | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name == AGGREGATE:
            raise ValueError(f"a slice needs a name other than {AGGREGATE!r}, got {self.name!r}")


@dataclass(frozen=True, slots=True)
class Case:
    """One request of a suite, known by `id`; `cluster` groups cases that are not independent of each other.

    Raises:
        ValueError: for an empty id, or a weight that is not a finite number above 0.
    """

    id: str
    slices: tuple[str, ...] = ()
    cluster: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a case needs an id")
        if not (math.isfinite(self.weight) and self.weight > 0.0):
            raise ValueError(f"case {self.id!r}: weight must be a finite number above 0, got {self.weight!r}")


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a score can take, ends included.

    Raises:
        ValueError: unless low < high, both finite.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.high - self.low) and self.low < self.high):
            raise ValueError(f"a range needs two finite ends, low below high, got {self.low}..{self.high}")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"

    @property
    def width(self) -> float:
        """High end minus low end, in the score's unit."""
        return self.high - self.low

    @property
    def is_unit(self) -> bool:
        """Whether values are shares of one, which people read as percentages."""
        return (self.low, self.high) == (0.0, 1.0)


class ScoreRole(StrEnum):
    """A grade of how good an answer is (`quality`), or a promise about its form (`contract`)."""

    QUALITY = "quality"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Score:
    """A number that a grader gives an answer, with the range that it was declared to have; higher is better."""

    name: str
    range: Range = Range()
    role: ScoreRole = ScoreRole.QUALITY


@dataclass(frozen=True, slots=True)
class Margin:
    """The largest drop that is still "not worse", in points: hundredths of a score's range.

    Raises:
        ValueError: unless above 0 and at most 100.
    """

    points: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.points <= 100.0:
            raise ValueError(f"a margin lies above 0pt and at most at 100pt, got {self.points:g}pt")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2pt` (or `2`, `0.5pt`).

        Raises:
            ValueError: for anything else, saying what was expected.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:pt)?\s*", text)
        if match is None:
            raise ValueError(f"expected a margin in points of the score's range, like 2pt, got {text!r}")
        return cls(float(match[1]))

    @property
    def fraction(self) -> float:
        """The margin as a fraction of the range."""
        return self.points / 100.0

    def of(self, score_range: Range) -> float:
        """The margin in a score's own unit."""
        return self.fraction * score_range.width

    def __str__(self) -> str:
        return f"{self.points:g}pt"


NO_MARGINS: Mapping[str, Margin] = MappingProxyType({})
"""What slices have whose margin is that of their score."""


def margin_of(part: str, usual: Margin, own: Mapping[str, Margin] = NO_MARGINS) -> Margin:
    """The margin that a slice is judged by: its own, or else the usual one, which is always that of all cases."""
    return usual if part == AGGREGATE else own.get(part, usual)
