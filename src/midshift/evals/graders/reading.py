"""From what a suite says to graders that can be called.

Every fault names its place and what was expected. Names of functions are looked up in what the composition root
passes in, which comes from applied files only: a suite cannot import anything by itself.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from midshift.errors import InputError
from midshift.evals.contracts import RESERVED
from midshift.evals.graders import documents, numbers, tools, words
from midshift.evals.graders.options import Options
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase

Scorer: TypeAlias = Callable[[EvalCase, Answer], float | None]
Function: TypeAlias = Callable[[EvalCase, Answer], float | bool | None]
Maker: TypeAlias = Callable[[Options], Scorer]

_MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "equals": words.equals,
        "contains": words.contains,
        "starts_with": words.starts_with,
        "regex": words.regex,
        "fuzzy": words.fuzzy,
        "length": words.length,
        "numeric": numbers.numeric,
        "json": documents.is_json,
        "json_schema": documents.fits,
        "json_field": documents.field,
        "json_equal": documents.equal,
        "tool_calls": tools.calls,
    }
)
_JUDGED = ("rubric", "pairwise")
_PYTHON = "python"


@dataclass(frozen=True, slots=True, eq=False)
class Grader:
    """One grader of a case: the score that it gives, how much it counts among those of its name, and how."""

    name: str
    weight: float
    score: Scorer


def types() -> tuple[str, ...]:
    """Every type of grader that a suite can name; the last ones ask a model."""
    return (*_MAKERS, _PYTHON, *_JUDGED)


def read(said: Mapping[str, Any], place: str, functions: Mapping[str, Function]) -> Grader | None:
    """One grader; None for one that asks a model.

    Raises:
        InputError: naming the place, what was found, and what was expected.
    """
    options = Options(said, place)
    kind = options.text("type")
    if kind in _JUDGED:
        return None
    made = _python(options, functions) if kind == _PYTHON else _maker(kind, place)(options)
    name = score_name(said, options)
    weight = options.number("weight", 1.0, at_least=0.0)
    scorer = _turned(made, options.flag("not"), options.maybe_number("threshold"))
    options.refuse_others()
    return Grader(name, weight, scorer)


def score_name(said: Mapping[str, Any], options: Options) -> str:
    """The score that a grader or judge gives: its `name`, or else its type.

    Raises:
        InputError: for a name that belongs to a contract.
    """
    name = options.text("name", said.get("type"))
    if name in RESERVED:
        taken = ", ".join(sorted(RESERVED))
        raise options.fault("name", f"another name: {taken} are measured on the answers themselves")
    return name


def _maker(kind: str, place: str) -> Maker:
    found = _MAKERS.get(kind)
    if found is None:
        near = difflib.get_close_matches(kind, types(), n=1)
        hint = f". Type next: {near[0]}" if near else ""
        raise InputError(f"{place}: found the grader type {kind!r}, expected one of: {', '.join(types())}{hint}")
    return found


def _python(options: Options, functions: Mapping[str, Function]) -> Scorer:
    name = options.text("import")
    function = functions.get(name)
    if function is None:
        known = ", ".join(functions) or "none"
        raise InputError(
            f"{options.place}: found the function {name!r}, expected one that midshift.yaml allows ({known}). "
            f"Type next: graders: [{name}] in midshift.yaml, and: midshift apply"
        )

    def score(case: EvalCase, answer: Answer) -> float | None:
        given = function(case, answer)
        if given is None:
            return None
        found = float(given)
        if not (math.isfinite(found) and 0.0 <= found <= 1.0):
            raise InputError(f"the grader {name!r} gave {given!r} for case {case.id!r}, expected a number from 0 to 1")
        return found

    return score


def _turned(scorer: Scorer, is_negated: bool, threshold: float | None) -> Scorer:
    if not is_negated and threshold is None:
        return scorer

    def score(case: EvalCase, answer: Answer) -> float | None:
        found = scorer(case, answer)
        if found is None:
            return None
        held = found if threshold is None else float(found >= threshold)
        return 1.0 - held if is_negated else held

    return score
