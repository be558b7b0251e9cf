"""The record of prompts that a person edited: one file by candidate in the user's repository, and its page beside it.

A text is written down once, when it is first scored, with the text before it as its parent. The first one is what the
editing began with; every later one is fitted to the cases that were shown, which is why an eval reads this record
(tuned). Elsewhere: scoring (retune_manual), the page (reports.by_hand).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from midshift.cli.project import write_whole
from midshift.cli.retune_files import slug
from midshift.cli.retune_setting import Setting
from midshift.cli.tuned import BY_HAND
from midshift.errors import InputError
from midshift.reports import by_hand
from midshift.retune import edits, splits
from midshift.retune.measuring import Delta, Floor
from midshift.retune.splits import Part


def keep(
    setting: Setting,
    day: date,
    why: str,
    text_before: str | None,
    against: Sequence[Delta],
    gains: Sequence[Delta],
    floors: Sequence[Floor],
    bought: int,
    spent_usd: float | None,
) -> str:
    """Write the present text down, if it is a new one; gives the path of the page in the user's repository.

    `gains` are against `text_before`, which was scored before it.

    Raises:
        InputError: for a record that is none.
    """
    folder, workload = setting.target.main.parent, setting.subject.definition.name
    path = f"retune/by-hand-{slug(workload)}-{slug(Path(setting.start.path).stem)}"
    before, text = _read(folder / f"{path}.json"), setting.tunable.text
    known = [str(one["text"]) for one in before.get("prompts", ())]
    page = f"{path}.md"
    if text in known:
        return page
    last = next((one for one in before.get("prompts", ()) if one["text"] == text_before), None)
    last = before["prompts"][-1] if last is None and known else last
    entry = {
        "number": len(known),
        "parent": None if last is None else last["number"],
        "day": day.isoformat(),
        "variant": setting.start.variant.id,
        "text": text,
        "why": why,
        "diff": [] if last is None else _diff(str(last["text"]), text),
        "gains": [edits.delta(one) for one in gains],
        "against_incumbent": [edits.delta(one) for one in against],
        "broken_floors": [{"score": one.score, "slice": one.slice, "short": one.short} for one in floors],
        "bought": bought,
        "spent_usd": spent_usd,
    }
    _write(folder, path, {**_head(setting, before), "prompts": [*before.get("prompts", ()), entry]})
    return page


def _head(setting: Setting, before: Mapping[str, Any]) -> dict[str, Any]:
    stand_ins = sorted({*before.get("stand_ins", ()), *setting.stand_ins})
    return {
        "format": BY_HAND,
        "workload": setting.subject.definition.name,
        "incumbent": {"name": setting.subject.incumbent.name, "id": setting.subject.incumbent.variant.id},
        "candidate": {"name": Path(setting.start.path).stem},
        "simulated": bool(stand_ins),
        "stand_ins": stand_ins,
        "parts": _parts(before.get("parts", {}), edits.parts(setting.splits)),
    }


def _parts(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What was shown once was shown, also where the case has left the suite since."""
    every = splits.merged({mark: Part(part)} for one in (before, now) for part, marks in one.items() for mark in marks)
    return {part.value: sorted(mark for mark, found in every.items() if found is part) for part in Part}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != BY_HAND:
        raise InputError(
            f"{path}: found no record of edits by hand, expected {BY_HAND!r}; without it nobody can say what the "
            "prompt was fitted to. Type next: restore it from version control"
        )
    return found


def _write(folder: Path, path: str, record: Mapping[str, Any]) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / f"{path}.json", text.encode("utf-8", "replace"))
    write_whole(folder / f"{path}.md", by_hand.page(record).encode("utf-8", "replace"))


def _diff(before: str, after: str) -> list[str]:
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm=""))
