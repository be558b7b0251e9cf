"""Many rows as columns of numbers, so that a million cases fit in memory: the texts are never kept.

Rows are appended as they are read; `Table.finish` then finds repeated ids, groups trials of one case and gives the
labels that the estimators need. Other rooms keep columns of their own beside these, aligned by row number.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midshift.errors import InputError
from midshift.evals import contracts
from midshift.evals.rows import Ledger, PairedRow, Side
from midshift.evals.time_limit import OutOfTime

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MOST_SLICES = 1000
_ODD = 0x2545F4914F6CDD1D


class Names:
    """Strings by row, kept as one block of bytes."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._ends = array("Q")

    def append(self, name: str) -> None:
        self._block += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._block))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> str:
        start = self._ends[row - 1] if row else 0
        return self._block[start : self._ends[row]].decode("utf-8", "surrogatepass")


class Pairs:
    """One number for each side, by row; NaN where there is none. Columns that appear late are filled up."""

    def __init__(self) -> None:
        self.incumbent = array("d")
        self.candidate = array("d")

    def put(self, row: int, incumbent: float, candidate: float) -> None:
        """Set the values of `row`, the latest one."""
        self.fill(row)
        self.incumbent.append(incumbent)
        self.candidate.append(candidate)

    def fill(self, rows: int) -> None:
        """Make the column `rows` long."""
        missing = rows - len(self.incumbent)
        if missing > 0:
            self.incumbent.extend([math.nan] * missing)
            self.candidate.extend([math.nan] * missing)

    def arrays(self) -> tuple[Floats, Floats]:
        """Incumbent's and candidate's values, shape (rows,) each."""
        return np.frombuffer(self.incumbent, np.float64), np.frombuffer(self.candidate, np.float64)


@dataclass(slots=True)
class Extremes:
    """The smallest and largest value that a score showed, and where."""

    low: float = math.inf
    high: float = -math.inf
    low_place: int = 0
    high_place: int = 0

    def see(self, value: float, place: int) -> None:
        """Take one more value into account."""
        if value < self.low:
            self.low, self.low_place = value, place
        if value > self.high:
            self.high, self.high_place = value, place


class Table:
    """The columns of one file; filled by `append`, read after `finish`."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.ids = Names()
        self.scores: dict[str, Pairs] = {}
        self.extremes: dict[str, Extremes] = {}
        self.answered = Pairs()
        self.contracts: dict[str, Pairs] = {}
        self._places = array("Q")
        self._weights = array("d")
        self._trials = array("q")
        self._clusters = array("q")
        self._slice_sets = array("L")
        self._known_sets: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def append(self, row: PairedRow) -> None:
        """Add one row.

        Raises:
            InputError: if there are so many slices that the field cannot be one.
        """
        number = len(self)
        self.ids.append(row.id)
        self._places.append(row.place)
        self._weights.append(row.weight)
        self._trials.append(_hash(row.trial) if row.trial else 0)
        self._clusters.append(_hash(row.cluster) if row.cluster is not None else 0)
        self._slice_sets.append(self._slice_set(row.slices, row.place))
        self.answered.put(number, float(row.incumbent.answered), float(row.candidate.answered))
        for name in {**row.incumbent.scores, **row.candidate.scores}:
            column = self.scores.setdefault(name, Pairs())
            values = (row.incumbent.scores.get(name, math.nan), row.candidate.scores.get(name, math.nan))
            column.put(number, *values)
            extremes = self.extremes.setdefault(name, Extremes())
            for value in values:
                if value == value:
                    extremes.see(value, row.place)
        if row.expects is not None:
            self._check_contracts(number, row)

    def finish(self) -> Cases:
        """Group the rows into cases. Rows that repeat an (id, trial) are excluded, the first one stays."""
        for column in (*self.scores.values(), *self.contracts.values()):
            column.fill(len(self))
        rows = len(self)
        identity = np.fromiter((_hash(self.ids[row]) for row in range(rows)), np.int64, rows)
        kept = self._first_of_each(identity)
        _, case = np.unique(identity[kept], return_inverse=True)
        cluster = np.frombuffer(self._clusters, np.int64)[kept]
        alone = cluster == 0
        return Cases(
            rows=np.flatnonzero(kept),
            case=case.astype(np.int64),
            cluster=np.where(alone, identity[kept], cluster),
            weight=np.frombuffer(self._weights, np.float64)[kept],
            slice_set=np.frombuffer(self._slice_sets, _native(self._slice_sets))[kept].astype(np.int64),
            slice_sets=tuple(self._known_sets),
            are_independent=np.unique(np.where(alone, identity[kept], cluster)).size == int(kept.sum()),
        )

    def _first_of_each(self, identity: Ints) -> Mask:
        kept = np.ones(identity.size, bool)
        key = identity ^ (np.frombuffer(self._trials, np.int64) * np.int64(_ODD))  # wraps, on purpose
        _, first = np.unique(key, return_index=True)
        if first.size == identity.size:
            return kept
        kept[:] = False
        kept[first] = True
        for row in np.flatnonzero(~kept).tolist():
            self.ledger.exclude("duplicate_id", self._places[row], f"id {self.ids[row]!r} again; trials need a `trial`")
        return kept

    def _check_contracts(self, number: int, row: PairedRow) -> None:
        sides = ((Side.INCUMBENT, row.incumbent), (Side.CANDIDATE, row.candidate))
        valid, fits = [], []
        for _, answer in sides:
            text = answer.text if answer.answered and answer.text is not None else None
            valid.append(math.nan if text is None else float(contracts.is_json(text)))
            if not isinstance(row.expects, str) and row.expects is not None:
                fits.append(math.nan if text is None else self._fits(text, row))
        self.contracts.setdefault(contracts.JSON_VALID, Pairs()).put(number, valid[0], valid[1])
        if fits:
            self.contracts.setdefault(contracts.SCHEMA, Pairs()).put(number, fits[0], fits[1])

    def _fits(self, text: str, row: PairedRow) -> float:
        assert row.expects is not None and not isinstance(row.expects, str)
        schema = row.expects
        try:
            return float(contracts.fits_schema(text, schema))
        except OutOfTime as error:
            self.ledger.note("schema_out_of_time", row.place, f"case {row.id!r}: {error}")
            return math.nan
        except ValueError as error:
            self.ledger.note("bad_schema", row.place, str(error))
            return math.nan

    def _slice_set(self, slices: tuple[str, ...], place: int) -> int:
        known = self._known_sets.setdefault(slices, len(self._known_sets))
        if known >= MOST_SLICES:
            raise InputError(
                f"{self.ledger.unit} {place}: more than {MOST_SLICES} different slices, latest {list(slices)!r}. "
                "A slice is a kind of request with many cases; ids and texts belong in other fields"
            )
        return known


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Which rows count, and how they group. All arrays but `slice_sets` have shape (kept rows,).

    `rows` are row numbers of the table, `case` and `cluster` are labels (a case without a cluster is its own),
    `slice_set` indexes `slice_sets`.
    """

    rows: Ints
    case: Ints
    cluster: Ints
    weight: Floats
    slice_set: Ints
    slice_sets: Sequence[tuple[str, ...]]
    are_independent: bool
    """Whether every row is a case and a cluster of its own."""

    @property
    def slice_names(self) -> list[str]:
        """Every slice, by name."""
        used = {self.slice_sets[index] for index in np.unique(self.slice_set)}
        return sorted({name for names in used for name in names})

    def in_slice(self, name: str) -> Mask:
        """Which of the kept rows fall into a slice."""
        sets = [index for index, names in enumerate(self.slice_sets) if name in names]
        return np.isin(self.slice_set, sets)

    def slices(self) -> Iterator[tuple[str, Mask]]:
        """Each slice with its rows."""
        for name in self.slice_names:
            yield name, self.in_slice(name)

    @property
    def is_weighted(self) -> bool:
        """Whether the rows carry different weights."""
        return bool((self.weight != self.weight[:1]).any())

    @property
    def without_slice(self) -> int:
        """How many rows have no slice: they count in the aggregate alone."""
        return int((self.slice_set == self.slice_sets.index(())).sum()) if () in self.slice_sets else 0


def _hash(text: str) -> int:
    """64 bits of BLAKE2b: equal texts are told from unequal ones up to one chance in 10^7 at a million rows."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _native(values: array[int]) -> type[np.generic]:
    return np.uint64 if values.itemsize == 8 else np.uint32
