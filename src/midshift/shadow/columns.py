"""The features of many pairs as columns of numbers, aligned by row with the scores; no text is kept.

The most frequent opening and closing lines are kept by name: a sketch of fixed size (Misra & Gries, Science of
Computer Programming 2 (1982) 143-152) holds every line that more than one row in a thousand shares.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from midshift.evals.rows import NUMBER_FIELDS, Answer, PairedRow, Side
from midshift.shadow.features import Form, features

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SKETCH_SIZE = 1000


class FrequentLines:
    """Lines by hash, as many as are frequent; forgets the rest."""

    def __init__(self, size: int = _SKETCH_SIZE) -> None:
        self._size = size
        self._kept: dict[int, list[int]] = {}
        self.text: dict[int, str] = {}

    def see(self, line: str, shown: str = "") -> int:
        """Count a line and give its hash (0 for no line); `shown` is how it reads, where that is known."""
        if not line:
            return 0
        digest = hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(digest, "big", signed=True) or 1
        if key in self._kept:
            self._kept[key][0] += 1
            self.text[key] = shown or self.text[key]
        elif len(self._kept) < self._size:
            self._kept[key] = [1]
            self.text[key] = shown or line
        else:
            self._fade()
        return key

    def _fade(self) -> None:
        for key in list(self._kept):
            self._kept[key][0] -= 1
            if not self._kept[key][0]:
                del self._kept[key], self.text[key]


class SideColumns:
    """What one variant's answers look like, by row."""

    def __init__(self) -> None:
        self.form = array("B")
        self.chars = array("I")
        self.words = array("I")
        self.opening = array("q")
        self.closing = array("q")
        self.numbers: dict[str, array[float]] = {}

    def append(self, answer: Answer, openings: FrequentLines, closings: FrequentLines) -> None:
        """Measure one answer."""
        read = features(answer.text or "")
        measured = answer.measured or read
        form = Form(measured.form)
        if answer.failure in ("null", "empty"):
            form |= Form.EMPTY
        elif answer.failure:
            form |= Form.BLOCKED
        row = len(self.form)
        self.form.append(int(form))
        self.chars.append(measured.chars)
        self.words.append(measured.words)
        self.opening.append(openings.see(measured.opening, read.opening))
        self.closing.append(closings.see(measured.closing, read.closing))
        for name, value in zip(NUMBER_FIELDS, answer.numbers, strict=True):
            if value == value:
                column = self.numbers.setdefault(name, array("d"))
                column.extend([math.nan] * (row - len(column)))
                column.append(value)

    def number(self, name: str) -> Floats:
        """A column of numbers, NaN where there is none; length and units as recorded."""
        values = np.full(len(self.form), math.nan)
        found = self.numbers.get(name)
        if found is not None:
            values[: len(found)] = np.frombuffer(found, np.float64)
        return values

    def has(self, form: Form) -> NDArray[np.bool_]:
        """Which answers show a feature."""
        return np.asarray((np.frombuffer(self.form, np.uint8) & int(form)) != 0, np.bool_)


class Columns:
    """Both sides of every pair."""

    def __init__(self) -> None:
        self.sides: Mapping[Side, SideColumns] = {side: SideColumns() for side in Side}
        self.openings = FrequentLines()
        self.closings = FrequentLines()

    def append(self, row: PairedRow) -> None:
        """Measure both answers of one row."""
        self.sides[Side.INCUMBENT].append(row.incumbent, self.openings, self.closings)
        self.sides[Side.CANDIDATE].append(row.candidate, self.openings, self.closings)
