"""Many sums and histograms, added up for every request and handed over once a second.

Contract: what is added is what `exposure.contributions` says; in which order, and so the last digit of a sum of floats,
is not promised. A request adds to one cell, that of all its slices in their combination: a slice is the cells of the
combinations that it is in, added up when they are handed over. Handing over gives rows in the order of the store's
tables, without an object for each: a cell whole, and by itself what was not added up here.
Elsewhere: what one request adds (exposure), one cell (cells), writing the rows (store.tallies).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from operator import add
from types import MappingProxyType
from typing import TypeAlias

from midshift.domain.cells import Cell, cell_of, numbers
from midshift.domain.exposure import Exposure, HistogramKey, Sum, SumKey, parts
from midshift.domain.histogram import Histogram, bucket_of
from midshift.domain.routing import Arm

Row: TypeAlias = tuple[str, int, str, str, str, int, str, int, float, float]
"""Upgrade, step, arm, slice, metric, block and workload of a sum; its count, sum and sum of squares."""

CellRow: TypeAlias = tuple[str, int, str, str, int, str, *tuple[float, ...]]
"""Upgrade, step, arm, slice, block and workload of a cell; its `cells.numbers`."""

_CellKey: TypeAlias = tuple[str, int, Arm, str, int, str]
"""Upgrade, step, arm, slice, block and workload: all of a sum's key but the metric."""

_Place: TypeAlias = tuple[str, str, int, Arm, tuple[str, ...], int]
"""Workload, upgrade, step, arm, slices and block of a request."""

_Slices: TypeAlias = tuple[str, str, int, Arm, tuple[str, ...]]
"""The same without the block."""

_Counts: TypeAlias = defaultdict[int, int]
"""By bucket; one more in a Counter is three times as dear."""

_Buckets: TypeAlias = tuple[_Counts, _Counts]
"""Counts of latencies, and of times to the first token."""


class Sums:
    """What many requests add up to. One thread at a time adds; `by_key` and `histograms` are for when none does."""

    __slots__ = ("_buckets", "_histograms", "_merged", "_places")

    def __init__(self) -> None:
        self._places: dict[_Place, tuple[Cell, _Counts, _Counts]] = {}
        self._buckets: dict[_Slices, _Buckets] = {}
        self._merged: dict[SumKey, Sum] = {}
        self._histograms: dict[HistogramKey, Histogram] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sums) and self.by_key == other.by_key and self.histograms == other.histograms

    __hash__ = None  # type: ignore[assignment]

    @property
    def by_key(self) -> SumsByKey:
        """The sums."""
        return SumsByKey(self._by_slice(), self._merged)

    @property
    def histograms(self) -> dict[HistogramKey, Histogram]:
        """The histograms."""
        found = {key: Histogram(Counter(histogram.buckets)) for key, histogram in self._histograms.items()}
        for (workload, upgrade, step, arm, slices), buckets in self._buckets.items():
            for metric, counts in zip(("latency_s", "ttft_s"), buckets, strict=True):
                for name in parts(slices):
                    key = HistogramKey(workload, upgrade, step, arm, name, metric)
                    found.setdefault(key, Histogram()).merge(counts)
        return {key: histogram for key, histogram in found.items() if histogram.buckets}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added."""
        return not (self._places or self._merged or self._histograms)

    @property
    def requests(self) -> int:
        """How many requests were added; what was merged is not in it."""
        return sum(cell.requests for cell, _, _ in self._places.values())

    def add(self, exposure: Exposure) -> None:
        """Add one exposure to everything that it belongs to; nothing for one that is no part of a comparison.

        Raises:
            ValueError: for a time that is negative or not finite; nothing of the exposure is added then.
        """
        upgrade = exposure.upgrade
        if upgrade is None or exposure.ring:
            return
        latency_s, ttft_s = exposure.latency_s, exposure.first_byte_s if exposure.streamed else None
        latency_in = None if latency_s is None else bucket_of(latency_s)
        ttft_in = None if ttft_s is None else bucket_of(ttft_s)
        place = (exposure.workload, upgrade, exposure.step, exposure.assigned, exposure.slices, exposure.block)
        found = self._places.get(place)
        if found is None:
            buckets = self._buckets.setdefault(place[:5], (defaultdict(int), defaultdict(int)))
            found = self._places[place] = Cell(), *buckets
        cell, latencies, ttfts = found
        cell.add(exposure, ttft_s)
        if latency_in is not None:
            latencies[latency_in] += 1
        if ttft_in is not None:
            ttfts[ttft_in] += 1

    def merge(
        self, other: Mapping[SumKey, Sum], histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({})
    ) -> None:
        """Add another set of sums."""
        for key, value in other.items():
            self._merged.setdefault(key, Sum()).merge(value)
        for about, counts in histograms.items():
            self._histograms.setdefault(about, Histogram()).merge(counts.buckets)

    def _by_slice(self) -> dict[_CellKey, tuple[float, ...]]:
        """The numbers of each cell of the store's: each place counts for all requests, and for its slices."""
        found: dict[_CellKey, tuple[float, ...]] = {}
        for (workload, upgrade, step, arm, slices, block), (cell, _, _) in self._places.items():
            added = numbers(cell)
            for name in parts(slices):
                key = (upgrade, step, arm, name, block, workload)
                before = found.get(key)
                found[key] = added if before is None else tuple(map(add, before, added))
        return found


class SumsByKey(Mapping[SumKey, Sum]):
    """Sums, read by key. Whoever writes them down takes `cell_rows` and `rows`, and spares the keys."""

    def __init__(self, cells: Mapping[_CellKey, tuple[float, ...]], merged: Mapping[SumKey, Sum]) -> None:
        self._cells = cells
        self._merged = merged
        self._made: dict[SumKey, Sum] | None = None

    def __getitem__(self, key: SumKey) -> Sum:
        return self._by_key()[key]

    def __iter__(self) -> Iterator[SumKey]:
        return iter(self._by_key())

    def __len__(self) -> int:
        return len(self._by_key())

    def cell_rows(self) -> Iterator[CellRow]:
        """What was added here, a cell a row, in the order of their key in the row."""
        cells = self._cells
        for key in sorted(cells):
            upgrade, step, arm, part, block, workload = key
            yield (upgrade, step, _ARMS[arm], part, block, workload, *cells[key])

    def rows(self) -> Iterator[Row]:
        """What was merged, a sum a row, likewise."""
        return iter(sorted(map(_row, self._merged.items())))

    def _by_key(self) -> dict[SumKey, Sum]:
        if self._made is None:
            self._made = {
                SumKey(workload, upgrade, step, arm, part, metric, block): Sum(n, total, squares)
                for (upgrade, step, arm, part, block, workload), added in self._cells.items()
                for metric, n, total, squares in cell_of(added).lines()
            }
            for key, value in self._merged.items():
                self._made.setdefault(key, Sum()).merge(value)
        return self._made


def cell_rows(sums: Mapping[SumKey, Sum]) -> Iterator[CellRow]:
    """Those of the sums that are held as cells, a row for each cell, in the order of their key in the row."""
    return sums.cell_rows() if isinstance(sums, SumsByKey) else iter(())


def rows(sums: Mapping[SumKey, Sum]) -> Iterator[Row]:
    """All others, a row for each sum, likewise."""
    return sums.rows() if isinstance(sums, SumsByKey) else iter(sorted(map(_row, sums.items())))


def _row(item: tuple[SumKey, Sum]) -> Row:
    key, value = item
    return (
        *(key.upgrade, key.step, key.arm.value, key.slice, key.metric, key.block, key.workload),
        *(value.n, value.total, value.squares),
    )


_ARMS = {arm: arm.value for arm in Arm}
