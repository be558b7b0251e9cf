"""What stage two has left in the user's repository, and the finding that an eval writes there on `stop`.

That a new model is worse is on record only where its prompt was tuned until the budget was spent (R2.7); a tuned
prompt that was found and is not the one in question means that it was not. Elsewhere: the records (retune.edits).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from midshift import config
from midshift.cli.project import write_whole
from midshift.domain.gate import Decision, Retuning
from midshift.domain.variant import Variant
from midshift.errors import MidshiftError
from midshift.reports.bakeoff import Candidate
from midshift.reports.finding import Tried, finding
from midshift.retune.edits import FORMAT
from midshift.retune.gating import require_stage_two


def stage_two(folder: Path, workload: str, candidate: Variant) -> Tried | None:
    """The newest re-tuning of this candidate, one that spent its budget before one that did not; None without any."""
    found = [
        _tried(record, path.relative_to(folder).as_posix())
        for path, record in _records(folder)
        if record.get("workload") == workload and _is_about(record, folder, candidate)
    ]
    return max(found, key=lambda one: (one.retuning is Retuning.BUDGET_SPENT, one.record), default=None)


def record(folder: Path, found: Candidate, workload: str, day: date, tried: Tried | None, spent: float | None) -> str:
    """Write the finding, beside what is there already; gives its path in the folder.

    Raises:
        UsageError: before stage two has run, with the command to type.
    """
    retuning = Retuning.NOT_RUN if tried is None else tried.retuning
    require_stage_two(retuning, found.comparison.ruling.decision)
    assert tried is not None and found.comparison.ruling.decision is Decision.STOP
    text = finding(found, workload, day, tried, spent).encode("utf-8", "replace")
    (folder / "findings").mkdir(exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9.@_-]+", "-", found.contender.name).strip("-.") or "candidate"
    for path in _names(f"findings/{day:%Y-%m-%d}-{name}"):
        if not (folder / path).exists():
            write_whole(folder / path, text)
            return path
        if (folder / path).read_bytes() == text:
            return path
    raise AssertionError("unreachable: names do not end")


def _names(name: str) -> Iterator[str]:
    yield f"{name}.md"
    number = 2
    while True:
        yield f"{name}-{number}.md"
        number += 1


def _records(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """What `midshift retune` left; a file that is something else says nothing."""
    for path in sorted((folder / "retune").glob("*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get("format") == FORMAT:
            yield path, found


def _is_about(record: Mapping[str, Any], folder: Path, candidate: Variant) -> bool:
    """Whether it ended with this variant: the one that it found, or else the one that it began with."""
    files, began = record.get("files"), record.get("candidate")
    tuned = files.get("variant") if isinstance(files, dict) else None
    if tuned is None:
        return isinstance(began, dict) and began.get("id") == candidate.id
    try:
        return config.load_variant(folder, str(tuned)).variant.id == candidate.id
    except MidshiftError:
        return False


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
