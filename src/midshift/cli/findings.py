"""What stage two has left in the user's repository, and the finding that an eval writes there on `stop`.

That a new model is worse is on record only where its prompt was tuned until the budget was spent (R2.7); a tuned
prompt that was found and is not the one in question means that it was not. There is one finding of a candidate
and a decision, whoever comes to it first, and a prompt that a candidate was given does not make it another candidate.
Elsewhere: the records (retune.edits), reading them (tuned).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from midshift.cli import tuned
from midshift.cli.project import write_whole
from midshift.domain.gate import Decision, Retuning
from midshift.domain.variant import Variant
from midshift.reports.bakeoff import Candidate
from midshift.reports.finding import Tried, finding
from midshift.retune.edits import FORMAT
from midshift.retune.gating import require_stage_two


def stage_two(folder: Path, workload: str, candidate: Variant) -> Tried | None:
    """The newest re-tuning of this candidate, one that spent its budget before one that did not; None without any."""
    found = [
        _tried(record, path.relative_to(folder).as_posix())
        for path, record in tuned.records(folder)
        if record.get("format") == FORMAT and record.get("workload") == workload and _is_about(record, candidate.id)
    ]
    return max(found, key=lambda one: (one.retuning is Retuning.BUDGET_SPENT, one.record), default=None)


def record(folder: Path, found: Candidate, workload: str, day: date, tried: Tried | None, spent: float | None) -> str:
    """Write the finding, or find the one that is there; gives its path in the folder.

    Raises:
        UsageError: before stage two has run, with the command to type.
    """
    retuning = Retuning.NOT_RUN if tried is None else tried.retuning
    require_stage_two(retuning, found.comparison.ruling.decision)
    assert tried is not None and found.comparison.ruling.decision is Decision.STOP
    text = finding(found, workload, day, tried, spent)
    return write(folder, workload, found.variant.id, f"{day:%Y-%m-%d}-{found.contender.name}", text)


def write(folder: Path, workload: str, candidate: str, name: str, text: str) -> str:
    """Write a finding that a candidate (a variant's id) is worse, unless there is one; gives its path in the folder."""
    mark = _mark(workload, _root(folder, workload, candidate))
    known = sorted(path for path in (folder / "findings").glob("*.md") if _bears(path, mark))
    if known:
        return known[0].relative_to(folder).as_posix()
    said = f"{text}\n{mark}: there is one for a candidate and a decision, however often that is judged.\n"
    (folder / "findings").mkdir(exist_ok=True)
    plain = re.sub(r"[^A-Za-z0-9.@_-]+", "-", name).strip("-.") or "candidate"
    path = next(path for path in _names(f"findings/{plain}") if not (folder / path).exists())
    write_whole(folder / path, said.encode("utf-8", "replace"))
    return path


def _mark(workload: str, root: str) -> str:
    return f"Finding `{hashlib.sha256(f'{workload}{chr(0)}{root}{chr(0)}{Decision.STOP}'.encode()).hexdigest()[:16]}`"


def _bears(path: Path, mark: str) -> bool:
    try:
        return mark in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _root(folder: Path, workload: str, candidate: str) -> str:
    """The variant that a candidate was before anybody tuned it."""
    made = {
        found: str(began["id"])
        for _, record in tuned.records(folder)
        if record.get("workload") == workload and isinstance(began := record.get("candidate"), dict) and "id" in began
        if isinstance(found := record.get("tuned"), str)
    }
    seen = {candidate}
    while (before := made.get(candidate)) is not None and before not in seen:
        seen.add(before)
        candidate = before
    return candidate


def _names(name: str) -> Iterator[str]:
    yield f"{name}.md"
    number = 2
    while True:
        yield f"{name}-{number}.md"
        number += 1


def _is_about(record: Mapping[str, Any], candidate: str) -> bool:
    """Whether it ended with this variant: the one that it found, or else the one that it began with."""
    began, made = record.get("candidate"), record.get("tuned")
    return made == candidate if made is not None else isinstance(began, dict) and began.get("id") == candidate


def _tried(record: Mapping[str, Any], path: str) -> Tried:
    said = record.get("retuning")
    spent = record.get("spent_usd")
    return Tried(
        retuning=Retuning(said) if said in tuple(Retuning) else Retuning.NOT_RUN,
        record=path,
        rounds=_count(record.get("rounds")),
        prompts=len(record.get("prompts") or ()),
        calls=_count(record.get("calls")),
        spent_usd=float(spent) if isinstance(spent, int | float) else None,
        ended=str(record.get("ended") or ""),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
