"""What stage two has left in the user's repository, read again: which cases a prompt was fitted to, and who looked.

A prompt is known by its text, wherever it is used: under another effort or file name it is as fitted to its cases as it
was. One that was made from a tuned prompt is fitted to the cases of both. A prompt that the incumbent has as well
favours nobody. What a record does not say is not known, and no case of it can judge (`Past.is_whole`).
Elsewhere: writing records (retune, retune_manual), the parts (retune.splits), looks (retune.looking).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midshift.cli.retune_files import taken
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.evals.suite_file import EvalCase
from midshift.retune import prompts, splits
from midshift.retune.edits import FORMAT
from midshift.retune.looking import Taken
from midshift.retune.splits import Part

BY_HAND = "midshift.retune-by-hand/1"
_SHOWN = (Part.TUNE, Part.SELECT)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """The re-tunings that a prompt came out of: their files, and the parts of cases by their marks."""

    records: tuple[str, ...]
    parts: Mapping[str, Part]
    is_whole: bool

    def saw(self, case: EvalCase) -> bool:
        """Whether the prompt was fitted to a case, or may have been."""
        return not self.is_whole or splits.part_of(case, self.parts) in _SHOWN


def past(folder: Path, workload: str, candidate: Variant, incumbent: Variant, cases: Sequence[EvalCase]) -> Past | None:
    """What a candidate's prompt was tuned on; None for a prompt that nobody tuned."""
    text = _text(candidate, cases)
    if text is None or text == _text(incumbent, cases):
        return None
    known = [(path, record) for path, record in records(folder) if record.get("workload") == workload]
    found: dict[str, Mapping[str, Any]] = {}
    open_texts, seen = [text], set[str]()
    while open_texts:
        wanted = open_texts.pop()
        seen.add(wanted)
        for path, record in known:
            first, *later = _texts(record) or [""]
            if wanted in later and path.relative_to(folder).as_posix() not in found:
                found[path.relative_to(folder).as_posix()] = record
                open_texts += [] if first in seen else [first]
    if not found:
        return None
    parts = [_parts(record) for record in found.values()]
    return Past(tuple(sorted(found)), splits.merged(one for one in parts if one), None not in parts)


def dealt(folder: Path, workload: str) -> dict[str, Part]:
    """Where all re-tunings of a workload have dealt its cases, by their marks."""
    found = (_parts(record) for _, record in records(folder) if record.get("workload") == workload)
    return splits.merged(one for one in found if one)


def looks(folder: Path, workload: str) -> list[Taken]:
    """The judgings of locked cases that records tell of."""
    found = []
    for _, record in records(folder):
        if record.get("workload") == workload and isinstance(record.get("look"), dict):
            try:
                found.append(taken(record["look"], str(record.get("day", ""))))
            except (TypeError, KeyError):
                continue
    return found


def records(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """What `midshift retune` left; a file that is something else says nothing."""
    for path in sorted((folder / "retune").glob("*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("format") in (FORMAT, BY_HAND):
            yield path, found


def _text(variant: Variant, cases: Sequence[EvalCase]) -> str | None:
    try:
        return prompts.tunable(variant, cases).text.strip()
    except UsageError:  # each case has a prompt of its own: that is no text which anybody tuned
        return None


def _texts(record: Mapping[str, Any]) -> list[str]:
    """Every text that was scored, the one that it began with first."""
    found = record.get("prompts")
    return [str(one.get("text", "")).strip() for one in found if isinstance(one, dict)] if found else []


def _parts(record: Mapping[str, Any]) -> dict[str, Part] | None:
    try:
        return splits.merged({mark: Part(part)} for part, marks in record["parts"].items() for mark in marks)
    except (KeyError, ValueError, AttributeError, TypeError):
        return None
