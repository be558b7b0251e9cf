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
from midshift.evals.suite_file import EvalCase

LOCKED_FORMAT = "midshift.locked/1"
_VERSION = re.compile(r"\.v(\d+)$")
_LARGEST_PLAN = 16 << 20


@dataclass(frozen=True, slots=True)
class Look:
    """One judging of locked cases: by which search and budget, of which variant, and who unlocked it if need be."""

    search: str
    budget: str
    variant: str
    cases: tuple[str, ...]
    at: str
    unlocked_by: str = ""
    unlocked_why: str = ""


class Shelf:
    """The state of one workload's re-tuning."""

    def __init__(self, state: Path, workload: str) -> None:
        self._folder = state / "retune" / _slug(workload)
        self._workload = workload

    def began(self, search: str, now: datetime) -> datetime:
        """When the first run of a search began: it is now if this is the first."""
        path = self._folder / f"{search}.json"
        try:
            return datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["began"])
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, json.dumps({"began": now.isoformat()}).encode() + b"\n")
            return now
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path}: found no beginning of a search. Type next: rm {path}") from None

    def looks(self) -> list[Look]:
        """Every judging of locked cases, oldest first."""
        path = self._folder / "locked.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return [Look(**{**look, "cases": tuple(look["cases"])}) for look in found["looks"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}: found no record of looks at locked cases, expected {LOCKED_FORMAT!r}; without it nobody can "
                "say that they are unseen. Type next: restore it from a backup"
            ) from None

    def require_unseen(self, cases: Iterable[EvalCase], is_mine: Callable[[Look], bool], is_unlocked: bool) -> None:
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

    def take(self, look: Look) -> None:
        """Record a look, before anybody sees what it shows; the same one again changes nothing."""
        looks = self.looks()
        if not any((one.search, one.budget, one.variant) == (look.search, look.budget, look.variant) for one in looks):
            content = {"format": LOCKED_FORMAT, "looks": [asdict(one) for one in (*looks, look)]}
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._folder / "locked.json", json.dumps(content, indent=2).encode() + b"\n")

    def last_text(self, to: str) -> str | None:
        """The prompt that was last scored by hand for a variant file."""
        try:
            return str(json.loads((self._folder / f"manual-{_slug(to)}.json").read_text(encoding="utf-8"))["text"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep_text(self, to: str, text: str) -> None:
        """Keep the prompt that was just scored by hand."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._folder / f"manual-{_slug(to)}.json", json.dumps({"text": text}).encode() + b"\n")


def write_variant(
    folder: Path, start: config.VariantFile, variant: Variant, before: str, workload: str
) -> dict[str, str]:
    """Write a tuned variant beside the one that it was made from, and both prompts; gives the files by kind."""
    files: dict[str, str] = {}
    base = start.prompt_path or f"prompts/{_slug(workload)}.v1.md"
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


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.@_-]+", "-", name).strip("-.") or "workload"
