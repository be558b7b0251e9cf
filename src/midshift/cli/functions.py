"""Python functions that grade: imported here and nowhere else, and only those that `graders` of midshift.yaml allows.

A suite is data that anybody may have written; it names a function, and whoever applies midshift.yaml says which ones
may run. Modules are found as Python finds them, and after those in the folder of midshift.yaml. Each is known by the
content of its module's file, so that a score says which version of the code gave it. What that module imports in turn
is not in the hash: keep what decides a score in one file.
Elsewhere: how they are called (evals.graders).
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from midshift.errors import ConfigError, InputError
from midshift.evals.graders import Function
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase, Suite


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """A function that grades, and the version of its code: `sha256` of its module's file, None for one without a file.

    It is called as the `Function` that it holds.
    """

    name: str
    sha256: str | None
    graded: Function

    def __call__(self, case: EvalCase, answer: Answer) -> float | bool | None:
        return self.graded(case, answer)


_VERSION = "__midshift_sha256__"


def functions(folder: Path, allowed: Sequence[str], suite: Suite) -> dict[str, Imported]:
    """Those of the allowed functions that the suite names.

    Raises:
        ConfigError: for one that cannot be imported, or is none.
    """
    said = [*suite.graders, *(grader for case in suite.cases for grader in case.graders)]
    used = {grader.get("import") for grader in said if grader.get("type") == "python"}
    with _importable(folder):
        return {name: _imported(name) for name in allowed if name in used}


def versions(folder: Path, allowed: Sequence[str], suite: Suite) -> dict[str, str | None]:
    """The hash of the file of each allowed function that the suite names, without running it; None without a file."""
    said = [*suite.graders, *(grader for case in suite.cases for grader in case.graders)]
    used = {grader.get("import") for grader in said if grader.get("type") == "python"}
    return {name: _file_hash(name.partition(":")[0], str(folder.resolve())) for name in allowed if name in used}


def _file_hash(module: str, folder: str) -> str | None:
    """Found as Python would find it; what a package does when it is imported is not done."""
    places, found = [*sys.path, folder], None
    for number, _ in enumerate(parts := module.split("."), start=1):
        found = PathFinder.find_spec(".".join(parts[:number]), places)
        if found is None:
            return None
        places = list(found.submodule_search_locations or ())
    file = None if found is None or not found.has_location else found.origin
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _imported(name: str) -> Imported:
    module, _, attribute = name.partition(":")
    try:
        loaded = _loaded(module)
        found = getattr(loaded, attribute)
    except Exception as error:  # whatever a user's module does when it is imported
        raise ConfigError(
            f"graders of midshift.yaml: {name!r} cannot be imported ({type(error).__name__}: {error}), expected a "
            f"function. Type next: python -c 'import {module}'"
        ) from error
    if not callable(found):
        raise ConfigError(f"graders of midshift.yaml: found {name!r} to be no function, expected one")
    return Imported(name, getattr(loaded, _VERSION), _careful(name, found))


def _loaded(name: str) -> ModuleType:
    """The module as its file is now, with the hash of that file on it: a process may outlive an edit."""
    module = importlib.import_module(name)
    version = _hash_of(module)
    if getattr(module, _VERSION, version) != version:
        module = importlib.reload(module)
    setattr(module, _VERSION, version)
    return module


def _hash_of(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _careful(name: str, function: Any) -> Function:
    """The function, whose own faults are told as what they are."""

    def graded(case: EvalCase, answer: Answer) -> float | bool | None:
        try:
            found: float | bool | None = function(case, answer)
        except Exception as error:
            raise InputError(
                f"the grader {name!r} failed on case {case.id!r} ({type(error).__name__}: {error}), expected a number "
                "from 0 to 1, or None. The answers are in the ledger: mend it, and type the same command"
            ) from error
        if found is not None and not isinstance(found, int | float):
            raise InputError(f"the grader {name!r} gave {found!r} for case {case.id!r}, expected a number or None")
        return found

    return graded


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Last on the path, so that no file of the product stands in for a module of Python.

    No bytecode is written: it is told from newer code by the second of the file's change only.
    """
    here, writes_none = str(folder.resolve()), sys.dont_write_bytecode
    sys.path.append(here)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path.remove(here)
        sys.dont_write_bytecode = writes_none
