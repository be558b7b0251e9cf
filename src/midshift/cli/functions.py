"""Python functions that grade: imported here and nowhere else, and only those that `graders` of midshift.yaml allows.

A suite is data that anybody may have written; it names a function, and whoever applies midshift.yaml says which ones
may run. Modules are found as Python finds them, and after those in the folder of midshift.yaml.
Elsewhere: how they are called (evals.graders).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from midshift.errors import ConfigError, InputError
from midshift.evals.graders import Function
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase, Suite


def functions(folder: Path, allowed: Sequence[str], suite: Suite) -> dict[str, Function]:
    """Those of the allowed functions that the suite names.

    Raises:
        ConfigError: for one that cannot be imported, or is none.
    """
    said = [*suite.graders, *(grader for case in suite.cases for grader in case.graders)]
    used = {grader.get("import") for grader in said if grader.get("type") == "python"}
    with _importable(folder):
        return {name: _careful(name, _imported(name)) for name in allowed if name in used}


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a user's module does when it is imported
        raise ConfigError(
            f"graders of midshift.yaml: {name!r} cannot be imported ({type(error).__name__}: {error}), expected a "
            f"function. Type next: python -c 'import {module}'"
        ) from error
    if not callable(found):
        raise ConfigError(f"graders of midshift.yaml: found {name!r} to be no function, expected one")
    return found


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
    """Last on the path, so that no file of the product stands in for a module of Python."""
    here = str(folder.resolve())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
