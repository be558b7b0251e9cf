"""Looks at a suite that grows: which one an eval of the workload's own suite is, and what it may spend of the error.

A bound of 95 % that is read after every ten new cases is none. So each judging of a candidate is on record, by workload
and candidate, before anybody sees it. How many are planned is said with the first (`--looks N`, else one): each planned
look spends an equal share, and each one after them half of what the one before spent (stats.looks). The same cases with
the same answers and scores show the same numbers, and are the same look. A look after one that cleared can only take
that back, and one at other cases alone is a first look: neither adds to the count.
Elsewhere: prompts that were tuned, whose looks are the re-tuning's (eval_tuned); what a look is known by (looking).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from midshift.cli.project import write_whole
from midshift.errors import InputError, UsageError
from midshift.stats.looks import Look

FORMAT = "midshift.looks/1"


@dataclass(frozen=True, slots=True)
class Looked:
    """One judging: when, of which cases (content hashes), what was seen (digests), at which look, and whether the gate
    opened."""

    at: str
    cases: tuple[str, ...]
    outputs: tuple[str, ...]
    number: int
    planned: int
    further: int
    cleared: bool

    @property
    def look(self) -> Look:
        """What it could spend."""
        return Look(self.number, self.planned, self.further)


class Looks:
    """The looks of one candidate at one workload's suite; `planned` is what the command says, None if nothing.

    Raises:
        UsageError: for another plan than the one that the first look was taken by, or one below 1.
        InputError: if the record cannot be read: without it nobody can say which look this is.
    """

    def __init__(self, state: Path, workload: str, candidate: str, planned: int | None = None) -> None:
        self._path = state / "evals" / "looks" / workload / f"{candidate}.json"
        self._taken = self._read()
        if planned is not None and planned < 1:
            raise UsageError(f"--looks {planned}: expected how many looks are planned, from 1. Type next: --looks 3")
        first = self._taken[0] if self._taken else None
        if first is not None and planned not in (None, first.planned):
            raise UsageError(
                f"--looks {planned}: the first look at {candidate[:12]} was taken on {first.at[:10]}, and "
                f"{first.planned} were planned, expected the same: who plans after looking chooses by what was seen. "
                "Type next: the same command without --looks"
            )
        self._planned = planned or 1 if first is None else first.planned

    def look(self, cases: Iterable[str], outputs: Sequence[str]) -> Look:
        """Which look this is."""
        names, seen = set(cases), set(outputs)
        for one in self._taken:
            if set(one.outputs) == seen:
                return one.look
        before = sum(not one.cleared for one in self._taken if names & set(one.cases))
        return Look(min(before + 1, self._planned), self._planned, max(before + 1 - self._planned, 0))

    def take(self, look: Look, cases: Iterable[str], outputs: Sequence[str], cleared: bool, at: str) -> None:
        """Put a look on record; one that shows nothing new changes nothing."""
        if not outputs or any(set(one.outputs) == set(outputs) for one in self._taken):
            return
        one = Looked(at, tuple(cases), tuple(outputs), look.number, look.planned, look.further, cleared)
        self._taken = (*self._taken, one)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"format": FORMAT, "looks": [asdict(one) for one in self._taken]}
        write_whole(self._path, json.dumps(content, indent=2).encode() + b"\n")

    def _read(self) -> tuple[Looked, ...]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))["looks"]
            return tuple(
                Looked(**{**one, "cases": tuple(one["cases"]), "outputs": tuple(one["outputs"])}) for one in found
            )
        except FileNotFoundError:
            return ()
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{self._path}: found no record of looks, expected {FORMAT!r}; without it nobody can say which look "
                "this is. Type next: restore it from a backup"
            ) from None
