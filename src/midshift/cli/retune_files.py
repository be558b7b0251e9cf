"""What a re-tuning keeps: its beginning and its locked cases in the state folder, its results in the user's repository.

Contract. Nothing that a person wrote is overwritten: a new text is a new file, and the same text is the same file, so
that a repeated run changes nothing. The locked cases of a workload are judged once; every time is on record, with who
wanted another one and why. Elsewhere: what is in the files (reports.retuning, retune.edits).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from midshift import config
from midshift.cli.project import write_whole
from midshift.config.dumping import dump_variant
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import InputError, UsageError
from midshift.evals.importers import data
from midshift.evals.suite_file import EvalCase
from midshift.retune.looking import Taken
from midshift.retune.splits import Part
from midshift.retune.stale import Row

LOCKED_FORMAT = "midshift.locked/1"
_VERSION = re.compile(r"\.v(\d+)$")
_LARGEST_PLAN = 16 << 20


@dataclass(frozen=True, slots=True)
class Began:
    """The first run of a search: when it was, and how it dealt the cases, by their marks."""

    at: datetime
    parts: Mapping[str, Part]


class Shelf:
    """The state of one workload's re-tuning; `elsewhere` are looks that the user's repository tells of."""

    def __init__(self, state: Path, workload: str, elsewhere: Sequence[Taken] = ()) -> None:
        self._folder = state / "retune" / slug(workload)
        self._workload = workload
        self._elsewhere = elsewhere

    def began(self, search: str) -> Began | None:
        """The first run of a search; None before it."""
        path = self._folder / f"{search}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            parts = {mark: Part(part) for part, marks in found["parts"].items() for mark in marks}
            return Began(datetime.fromisoformat(found["began"]), parts)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{path}: found no beginning of a search, expected its time and its cases. Type next: rm {path}"
            ) from None

    def begin(self, search: str, now: datetime, parts: Mapping[str, Sequence[str]]) -> None:
        """Write down that a search begins."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"began": now.isoformat(), "parts": {part: list(marks) for part, marks in parts.items()}}
        write_whole(self._folder / f"{search}.json", json.dumps(content).encode() + b"\n")

    def looks(self) -> list[Taken]:
        """Every judging of locked cases, oldest first."""
        kept = self._kept()
        known = {(one.search, one.budget, one.variant) for one in kept}
        return [one for one in self._elsewhere if (one.search, one.budget, one.variant) not in known] + kept

    def _kept(self) -> list[Taken]:
        path = self._folder / "locked.json"
        try:
            return [taken(look) for look in json.loads(path.read_text(encoding="utf-8"))["looks"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}: found no record of looks at locked cases, expected {LOCKED_FORMAT!r}; without it nobody can "
                "say that they are unseen. Type next: restore it from a backup"
            ) from None

    def require_unseen(self, cases: Iterable[EvalCase], is_mine: Callable[[Taken], bool], is_unlocked: bool) -> None:
        """Refuse a second look at cases that were to be seen once.

        Raises:
            UsageError: if another look was taken, and nobody unlocked this one.
        """
        names = {case.content_hash for case in cases}
        for look in self.looks():
            seen = len(names & set(look.cases))
            if seen and not is_mine(look) and not is_unlocked:
                raise UsageError(
                    f"{seen} of {len(names)} locked cases of {self._workload!r} were judged on {look.at[:10]} for "
                    f"variant {look.variant[:12]}, expected cases that no prompt was judged on: who looks twice "
                    "chooses by them. Type next: new cases in the suite, or --unlock WHY --who NAME (on record)"
                )

    def take(self, look: Taken) -> None:
        """Record a look, before anybody sees what it shows; one that shows nothing new changes nothing."""
        kept = self._kept()
        if not any(one.variant == look.variant and one.shows(look.outputs) for one in kept):
            content = {"format": LOCKED_FORMAT, "looks": [asdict(one) for one in (*kept, look)]}
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._folder / "locked.json", json.dumps(content, indent=2).encode() + b"\n")

    def last_text(self, to: str) -> str | None:
        """The prompt that was last scored by hand for a variant file."""
        try:
            return str(json.loads((self._folder / f"manual-{slug(to)}.json").read_text(encoding="utf-8"))["text"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep_text(self, to: str, text: str) -> None:
        """Keep the prompt that was just scored by hand."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._folder / f"manual-{slug(to)}.json", json.dumps({"text": text}).encode() + b"\n")


def taken(look: Mapping[str, Any], at: str = "") -> Taken:
    """A look as it was written down.

    Raises:
        TypeError: for fields that are none of a look's.
        KeyError: without cases.
    """
    return Taken(**{"at": at, **look, "cases": tuple(look["cases"]), "outputs": tuple(look.get("outputs", ()))})


def write_variant(
    folder: Path, start: config.VariantFile, variant: Variant, before: str, workload: str
) -> dict[str, str]:
    """Write a tuned variant beside the one that it was made from, and both prompts; gives the files by kind."""
    files: dict[str, str] = {}
    base = start.prompt_path or f"prompts/{slug(workload)}.v1.md"
    if start.prompt_path is not None:
        files["before"] = start.prompt_path
    elif before:
        files["before"] = _written(folder, base, before + "\n")
    prompt = _written(folder, _next(base) if files else base, _prompt_file(variant.prompt))
    made = config.VariantFile(_next(start.path), variant, prompt)
    files["prompt"] = prompt
    files["variant"] = _written(folder, made.path, dump_variant(made)[made.path])
    return files


def free_name(folder: Path, name: str, search: str) -> str:
    """The name under which the records of a search are, or can be, kept: no other search's, no person's."""
    number = 1
    while not _is_free(folder / _numbered(name, number), search):
        number += 1
    return _numbered(name, number)


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files by their path in the folder."""
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / path, text.encode("utf-8", "replace"))


def plans(folder: Path, globs: Sequence[str]) -> list[tuple[str, str]]:
    """The files that a user's globs name, by path and text, in order.

    Raises:
        UsageError: for a glob that names nothing, or leads out of the folder.
    """
    found: dict[str, str] = {}
    for glob in globs:
        if Path(glob).is_absolute() or ".." in Path(glob).parts:
            raise UsageError(
                f"--plans {glob!r} leads out of {str(folder)!r}, expected files below it. Type next: --plans 'plans/*'"
            )
        paths = sorted(path for path in folder.glob(glob) if path.is_file() and path.stat().st_size <= _LARGEST_PLAN)
        if not paths:
            raise UsageError(
                f"--plans {glob!r}: found no file below {str(folder)!r}, expected some. Type next: --plans 'plans/**/*'"
            )
        for path in paths:
            found[path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8", errors="replace")
    return list(found.items())


def tables(folder: Path, named: Sequence[str]) -> list[tuple[str, list[Row]]]:
    """The tables that a user names as FILE:COLUMN, each with its rows that have the column, in order.

    Raises:
        UsageError: for one that names no column, leads out of the folder, or has no such column.
        InputError: for a file that is no table.
    """
    return [(one, _rows(folder, one)) for one in named]


def _rows(folder: Path, named: str) -> list[Row]:
    file, _, column = named.rpartition(":")
    if not file or not column or Path(file).is_absolute() or ".." in Path(file).parts:
        raise UsageError(
            f"--plan-table {named!r}: expected a file below {str(folder)!r} and one of its columns. "
            "Type next: --plan-table plans.csv:plan"
        )
    if not (folder / file).is_file():
        raise UsageError(
            f"--plan-table {named!r}: found no file {str(folder / file)!r}, expected a table of CSV or JSON lines. "
            "Type next: --plan-table plans.csv:plan"
        )
    every = list(data.rows_of((folder / file).read_bytes(), file))
    columns = list(dict.fromkeys(name for _, row in every for name in row))
    if column not in columns:
        raise UsageError(
            f"--plan-table {named!r}: found no column {column!r}, expected one of: "
            f"{', '.join(columns[:20]) or 'none'}. Type next: --plan-table {file}:COLUMN"
        )
    return [_row(number, row, column) for number, row in every if row.get(column) is not None]


def _row(number: int, row: Mapping[str, Any], column: str) -> Row:
    name, text = row.get("id"), row[column]
    said = json.dumps(dict(row), ensure_ascii=False, default=str)
    text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, default=str)
    return Row(str(number) if name in (None, "") else str(name), text, said)


def _written(folder: Path, path: str, text: str) -> str:
    """Write a new file, under the next name that is free or has this very text."""
    while True:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_whole(file, text.encode("utf-8", "surrogatepass"))
            return path
        if file.read_bytes() == text.encode("utf-8", "surrogatepass"):
            return path
        path = _next(path)


def _next(path: str) -> str:
    """`reply.v2.md` after `reply.md` and `reply.v1.md`."""
    stem, dot, suffix = path.rpartition(".")
    version = _VERSION.search(stem)
    number = 2 if version is None else int(version[1]) + 1
    return f"{_VERSION.sub('', stem)}.v{number}{dot}{suffix}"


def _prompt_file(prompt: Prompt) -> str:
    assert prompt.mode in (PromptMode.REPLACE, PromptMode.TEMPLATE)
    return prompt.text + "\n"


def _is_free(path: Path, search: str) -> bool:
    kept = path.with_name(path.name + ".json")
    try:
        found: Any = json.loads(kept.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return not path.with_name(path.name + ".md").exists()
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("id") == search


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.@_-]+", "-", name).strip("-.") or "workload"
