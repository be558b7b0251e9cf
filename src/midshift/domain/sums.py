"""Many sums and histograms, added up on the path of a request and handed over once a second.

Contract: what is added is what `exposure.contributions` says, number by number in the order of the requests. Adding
looks up one place by everything that a request counts for, and finds the cells of all its slices there. Handing over
gives rows in the order of the store's tables, without an object for each: a cell whole, and by itself what was not
added up here.
Elsewhere: what one request adds (exposure), one cell (cells), writing the rows (store.tallies).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from midshift.domain.cells import Cell, numbers
from midshift.domain.exposure import Exposure, HistogramKey, ShadowFate, Sum, SumKey
from midshift.domain.histogram import Histogram, bucket_of
from midshift.domain.routing import Arm
from midshift.domain.suite import AGGREGATE

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

_Histograms: TypeAlias = tuple[Histogram, ...]

_PAIRED = ShadowFate.PAIRED


class Sums:
    """What many requests add up to. One thread adds; `by_key` and `histograms` are for when nobody adds any more."""

    __slots__ = ("_by_slices", "_cells", "_histograms", "_merged", "_places")

    def __init__(self) -> None:
        self._cells: dict[_CellKey, Cell] = {}
        self._merged: dict[SumKey, Sum] = {}
        self._histograms: dict[HistogramKey, Histogram] = {}
        self._places: dict[_Place, tuple[tuple[Cell, ...], _Histograms, _Histograms]] = {}
        self._by_slices: dict[_Slices, tuple[tuple[str, ...], _Histograms, _Histograms]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sums) and self.by_key == other.by_key and self.histograms == other.histograms

    __hash__ = None  # type: ignore[assignment]

    @property
    def by_key(self) -> SumsByKey:
        """The sums."""
        return SumsByKey(self._cells, self._merged)

    @property
    def histograms(self) -> dict[HistogramKey, Histogram]:
        """The histograms."""
        return {key: histogram for key, histogram in self._histograms.items() if histogram.buckets}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added."""
        return not (self._cells or self._merged or self._histograms)

    @property
    def requests(self) -> int:
        """How many requests were added; what was merged is not in it."""
        return sum(cell.requests for key, cell in self._cells.items() if key[3] == AGGREGATE)

    def add(self, exposure: Exposure) -> None:
        """Add one exposure to everything that it belongs to; nothing for one that is no part of a comparison."""
        upgrade = exposure.upgrade
        if upgrade is None or exposure.ring:
            return
        latency_s, cost_usd = exposure.latency_s, exposure.cost_usd
        ttft_s = exposure.first_byte_s if exposure.streamed else None
        latency_in = None if latency_s is None else bucket_of(latency_s)
        ttft_in = None if ttft_s is None else bucket_of(ttft_s)
        tokens_in = None if exposure.tokens_in is None else float(exposure.tokens_in)
        tokens_out = None if exposure.tokens_out is None else float(exposure.tokens_out)
        is_paired = None if exposure.shadow is None else exposure.shadow is _PAIRED
        has_failed, usage_unknown = exposure.has_failed, exposure.usage_unknown
        place = (exposure.workload, upgrade, exposure.step, exposure.assigned, exposure.slices, exposure.block)
        found = self._places.get(place)
        if found is None:
            found = self._places[place] = self._opened(place)
        cells, latencies, ttfts = found
        for cell in cells:
            cell.add(has_failed, usage_unknown, is_paired, latency_s, ttft_s, cost_usd, tokens_in, tokens_out)
        if latency_in is not None:
            for histogram in latencies:
                histogram.buckets[latency_in] += 1
        if ttft_in is not None:
            for histogram in ttfts:
                histogram.buckets[ttft_in] += 1

    def merge(
        self, other: Mapping[SumKey, Sum], histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({})
    ) -> None:
        """Add another set of sums."""
        for key, value in other.items():
            self._merged.setdefault(key, Sum()).merge(value)
        for about, counts in histograms.items():
            self._histograms.setdefault(about, Histogram()).merge(counts.buckets)

    def _opened(self, place: _Place) -> tuple[tuple[Cell, ...], _Histograms, _Histograms]:
        """The cells of a place, and its histograms of latency and of time to the first token."""
        workload, upgrade, step, arm, slices, block = place
        about = place[:5]
        found = self._by_slices.get(about)
        if found is None:
            names = tuple(dict.fromkeys((AGGREGATE, *slices)))
            found = self._by_slices[about] = (
                names,
                self._counting(*place, "latency_s"),
                self._counting(*place, "ttft_s"),
            )
        names, latencies, ttfts = found
        return tuple([self._cell((upgrade, step, arm, name, block, workload)) for name in names]), latencies, ttfts

    def _cell(self, key: _CellKey) -> Cell:
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = Cell()
        return found

    def _counting(
        self, workload: str, upgrade: str, step: int, arm: Arm, slices: tuple[str, ...], block: int, metric: str
    ) -> _Histograms:
        keys = (
            HistogramKey(workload, upgrade, step, arm, name, metric) for name in dict.fromkeys((AGGREGATE, *slices))
        )
        return tuple(self._histograms.setdefault(key, Histogram()) for key in keys)


class SumsByKey(Mapping[SumKey, Sum]):
    """Sums, read by key. Whoever writes them down takes `cell_rows` and `rows`, and spares the keys."""

    def __init__(self, cells: Mapping[_CellKey, Cell], merged: Mapping[SumKey, Sum]) -> None:
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
            yield (upgrade, step, _ARMS[arm], part, block, workload, *numbers(cells[key]))

    def rows(self) -> Iterator[Row]:
        """What was merged, a sum a row, likewise."""
        return iter(sorted(map(_row, self._merged.items())))

    def _by_key(self) -> dict[SumKey, Sum]:
        if self._made is None:
            self._made = {
                SumKey(workload, upgrade, step, arm, part, metric, block): Sum(n, total, squares)
                for (upgrade, step, arm, part, block, workload), cell in self._cells.items()
                for metric, n, total, squares in cell.lines()
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
