"""Quantiles of numbers from any number of gateways: counts in buckets that grow with the logarithm, merged by addition.

The bucket i holds (g^(i-1), g^i] with g = (1 + a) / (1 - a), and stands for 2 g^i / (g + 1), which is nowhere further
than a from what the bucket holds: every quantile has a relative error of at most a = 2 %, whatever the distribution and
however many histograms were added up (DDSketch: Masson, Rim & Lee, PVLDB 12 (2019) 2195-2205).
Elsewhere: which numbers (exposure), keeping them (store.measurements).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RELATIVE_ERROR = 0.02
LEAST, MOST = 1e-9, 1e9
"""What is smaller or larger is counted as this; with latencies in seconds: a nanosecond, and thirty years."""

SPAN = 16
"""How many neighbouring buckets are kept together: the latencies of a second lie in a hundred of them, close by."""

_GROWTH = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
_LOG_GROWTH = math.log(_GROWTH)


@dataclass(slots=True)
class Histogram:
    """Counts by bucket; `buckets` are the indexes of `bucket_of`."""

    buckets: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, values: Iterable[float]) -> Histogram:
        """All of these."""
        made = cls()
        for value in values:
            made.add(value)
        return made

    @property
    def n(self) -> int:
        """How many numbers are in it."""
        return self.buckets.total()

    def add(self, value: float) -> None:
        """Take one more number into account.

        Raises:
            ValueError: for one that is negative or not finite.
        """
        self.buckets[bucket_of(value)] += 1

    def merge(self, other: Mapping[int, int]) -> None:
        """Take the counts of another histogram into account."""
        self.buckets.update(other)

    def spans(self) -> dict[int, list[int]]:
        """The counts `SPAN` buckets at a time, from the least: span s has those of s SPAN up to (s + 1) SPAN."""
        made: dict[int, list[int]] = {}
        for bucket in sorted(self.buckets):
            span, place = divmod(bucket, SPAN)
            made.setdefault(span, [0] * SPAN)[place] = self.buckets[bucket]
        return made

    def merge_span(self, span: int, counts: Iterable[int]) -> None:
        """Take the counts of one span into account."""
        self.merge({span * SPAN + place: n for place, n in enumerate(counts) if n})

    def quantile(self, q: float) -> float | None:
        """The value below or at which a share `q` of the numbers lies (nearest rank), to within 2 % of itself.

        None where there are no numbers: an unknown latency is not zero.

        Raises:
            ValueError: for a share outside 0..1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile is asked for by a share in 0..1, got {q!r}")
        rank, seen = max(1, math.ceil(q * self.n)), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return middle(bucket)
        return None


def bucket_of(value: float) -> int:
    """The index of the bucket that a number falls into.

    Raises:
        ValueError: for one that is negative or not finite.
    """
    if LEAST <= value <= MOST:
        return math.ceil(math.log(value) / _LOG_GROWTH)
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"a histogram takes finite numbers from 0 up, got {value!r}")
    return math.ceil(math.log(LEAST if value < LEAST else MOST) / _LOG_GROWTH)


def middle(bucket: int) -> float:
    """The number that stands for a bucket."""
    return float(2.0 * _GROWTH**bucket / (_GROWTH + 1.0))
