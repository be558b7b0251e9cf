"""What an importer takes and gives: a file, where its neighbours are, and cases beside a list of everything lost.

Contract: an importer is a pure function of bytes. It executes nothing that a file says, reaches only what `beside`
hands out, and either carries a thing or lists it as a `Loss`: nothing goes in silence.
Elsewhere: decoding with bounds (data), rows to cases (row_cases), which importer (sniffing).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from midshift.errors import InputError
from midshift.evals.suite_file import EvalCase

Beside: TypeAlias = Callable[[str], bytes | None]
MOST_CASES = 200_000


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read. `beside` gives a file that this one names, from inside its folder; None for any other."""

    name: str
    data: bytes
    beside: Beside = lambda path: None


@dataclass(frozen=True, slots=True)
class Options:
    """What a person says about a file: `fields` from a name of ours to a dotted path of theirs, and which prompt."""

    fields: Mapping[str, str] = field(default_factory=dict)
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that midshift has no place for: where it was first, what it is, why it stays behind, how often."""

    place: str
    what: str
    why: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Imported:
    """The cases of a file, what was not carried over, and what a person should know."""

    cases: tuple[EvalCase, ...]
    not_carried: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()


Importer: TypeAlias = Callable[[File, Options], Imported]


@dataclass(slots=True)
class Basket:
    """Collects what an importer finds; equal losses are counted once, with their first place."""

    cases: list[EvalCase] = field(default_factory=list)
    losses: dict[tuple[str, str], Loss] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    def add(self, case: EvalCase, place: str) -> None:
        """Take a case; one whose id was there before gets a number behind it.

        Raises:
            InputError: beyond `MOST_CASES`.
        """
        if len(self.cases) >= MOST_CASES:
            raise InputError(f"{place}: more than {MOST_CASES:,} cases, expected fewer. Type next: split the file")
        times = self.ids[case.id] = self.ids.get(case.id, 0) + 1
        if times > 1:
            self.lose(place, "id", "it is there twice; the second one got a number behind it")
            case = self._renamed(case, times)
        for part in fields(case):
            if _beyond_json(getattr(case, part.name)):
                self.lose(place, part.name, "a number that JSON does not have (NaN or Infinity); null is in its place")
        self.cases.append(case)

    def _renamed(self, case: EvalCase, times: int) -> EvalCase:
        while (name := f"{case.id}#{times}") in self.ids:
            times += 1
        self.ids[name] = 1
        return replace(case, id=name)

    def lose(self, place: str, what: str, why: str) -> None:
        """Say that something stays behind."""
        before = self.losses.get((what, why))
        self.losses[what, why] = Loss(place, what, why) if before is None else replace(before, count=before.count + 1)

    def note(self, text: str) -> None:
        """Say something once."""
        self.notes[text] = None

    def done(self, name: str) -> Imported:
        """What was found.

        Raises:
            InputError: if there is no case, with the reasons.
        """
        if not self.cases:
            why = "; ".join(f"{loss.place}: {loss.what}: {loss.why}" for loss in list(self.losses.values())[:3])
            raise InputError(f"{name}: found no case{f' ({why})' if why else ''}, expected at least one")
        return Imported(tuple(self.cases), tuple(self.losses.values()), tuple(self.notes))


def _beyond_json(value: Any) -> bool:
    match value:
        case float():
            return not math.isfinite(value)
        case Mapping():
            return any(map(_beyond_json, value.values()))
        case list() | tuple():
            return any(map(_beyond_json, value))
        case _:
            return False
