"""What a suite says of one grader, read field by field: a field that nobody asked for is a fault."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from midshift.errors import InputError

_COMMON = frozenset({"type", "name", "weight", "threshold", "not"})


class Options:
    """The fields of one grader. `place` is where it stands, for the one who wrote it."""

    def __init__(self, said: Mapping[str, Any], place: str) -> None:
        self.place = place
        self._said = said
        self._asked: set[str] = set(_COMMON)

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        self._asked.add(name)
        return name in self._said

    def value(self, name: str) -> Any:
        """The field, whatever it is; None where there is none."""
        self._asked.add(name)
        return self._said.get(name)

    def text(self, name: str, otherwise: str | None = None) -> str:
        """A text.

        Raises:
            InputError: for anything else, or none where one is needed.
        """
        found = self.value(name)
        found = otherwise if found is None else found
        if not isinstance(found, str) or not found:
            raise self.fault(name, "a text")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; one text stands for a list of one, none for an empty list.

        Raises:
            InputError: for anything else.
        """
        found = self.value(name)
        if found is None:
            return ()
        items = [found] if isinstance(found, str) else found
        if not isinstance(items, Sequence) or not all(isinstance(item, str) and item for item in items):
            raise self.fault(name, "texts")
        return tuple(items)

    def flag(self, name: str) -> bool:
        """Yes or no; no where nothing is said.

        Raises:
            InputError: for anything else.
        """
        found = self.value(name)
        if found is not None and not isinstance(found, bool):
            raise self.fault(name, "true or false")
        return bool(found)

    def maybe_number(self, name: str, at_least: float = -math.inf) -> float | None:
        """A number, if it is there.

        Raises:
            InputError: for anything else, or one below `at_least`.
        """
        found = self.value(name)
        if found is None:
            return None
        if (
            isinstance(found, bool)
            or not isinstance(found, int | float)
            or not math.isfinite(found)
            or found < at_least
        ):
            bound = "" if at_least == -math.inf else f" of at least {at_least:g}"
            raise self.fault(name, f"a number{bound}")
        return float(found)

    def number(self, name: str, otherwise: float, at_least: float = -math.inf) -> float:
        """The same with a value for silence."""
        found = self.maybe_number(name, at_least)
        return otherwise if found is None else found

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        """One of these words; the first where nothing is said.

        Raises:
            InputError: for any other.
        """
        found = self.text(name, allowed[0])
        if found not in allowed:
            raise self.fault(name, f"one of: {', '.join(allowed)}")
        return found

    def refuse_others(self) -> None:
        """Make sure that nothing was said without effect.

        Raises:
            InputError: for a field that the grader does not know.
        """
        others = sorted(self._said.keys() - self._asked)
        if others:
            known = ", ".join(sorted(self._asked))
            raise InputError(f"{self.place}: found the field {others[0]!r}, which this grader does not know: {known}")

    def fault(self, name: str, expected: str) -> InputError:
        """What to say of a field that is not as it should be."""
        return InputError(f"{self.place}: found {self._said.get(name)!r} as {name!r}, expected {expected}")


def sought(options: Options, reference: object) -> str | None:
    """What an answer is compared with: the grader's own value, else the case's reference; None without either."""
    found = options.value("value") if options.has("value") else reference
    if isinstance(found, bool):
        return str(found).lower()
    return str(found) if isinstance(found, str | int | float) else None
