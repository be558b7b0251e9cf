"""What is wrong with a file, said so that it can be mended: where, what was found, what was expected, what to type.

A `Report` collects every problem of a reading; `InvalidConfig` carries them, sorted and at most twenty, to whoever
shows them. Values are shown with `repr` and cut, so that a file cannot speak to a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from midshift.errors import ConfigError

MOST_SHOWN = 20
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A character of a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and the way out of it."""

    place: Place
    found: str
    expected: str
    type_next: str

    def __str__(self) -> str:
        return f"{self.place}: found {self.found}, expected {self.expected}. Type next: {self.type_next}"


class InvalidConfig(ConfigError):
    """Definitions that cannot be used; one line a problem, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        every = sorted(set(problems))
        self.problems = tuple(every[:MOST_SHOWN])
        self.hidden = len(every) - len(self.problems)
        lines = [str(problem) for problem in self.problems]
        if self.hidden:
            lines.append(f"and {self.hidden} more; mend these first")
        super().__init__("\n".join(lines))


@dataclass(slots=True)
class Report:
    """Every problem of one reading."""

    problems: list[Problem] = field(default_factory=list)

    def add(self, place: Place, found: str, expected: str, type_next: str) -> None:
        """Note a problem and go on."""
        self.problems.append(Problem(place, found, expected, type_next))

    def settle(self) -> None:
        """Refuse to go on if there was any.

        Raises:
            InvalidConfig: with all of them.
        """
        if self.problems:
            raise InvalidConfig(self.problems)


def refuse(place: Place, found: str, expected: str, type_next: str) -> NoReturn:
    """Stop at a single problem.

    Raises:
        InvalidConfig: always.
    """
    raise InvalidConfig([Problem(place, found, expected, type_next)])


def shown(text: str) -> str:
    """A piece of a file as a person may see it: quoted, escaped, and cut."""
    return repr(text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…")


def one_of(names: Iterable[str]) -> str:
    """`'a', 'b' or 'c'`."""
    *most, last = [repr(name) for name in names]
    return f"{', '.join(most)} or {last}" if most else last
