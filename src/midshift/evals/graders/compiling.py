"""The graders of a whole suite as one function: what the runner calls for every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from midshift.evals.graders.reading import Function, Grader, read
from midshift.evals.grading import Grade
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase, Suite

__all__ = ["BY_NAME", "Function", "compiled"]

Told: TypeAlias = Callable[[str], None]
"""Hears of each score that could not be given, and why."""

_NO_FUNCTIONS: Mapping[str, Function] = MappingProxyType({})


def _nobody(note: str) -> None:
    return None


def compiled(suite: Suite, functions: Mapping[str, Function] = _NO_FUNCTIONS, told: Told = _nobody) -> Grade:
    """The graders of a suite and of its cases. `functions` are those that may be named by `{"type": "python"}`.

    Every grader is read here, once, so that a fault shows before anything is bought. A fault of a grader's own that
    shows only with some answer, such as a pattern that comes to no end, leaves that answer without the score, and is
    told.

    Raises:
        InputError: for a grader that cannot be read, with its place.
    """
    common = _read_all(suite.graders, f"{suite.name}: graders", functions)
    known: dict[bytes, tuple[Grader, ...]] = {b"[]": ()}
    for case in suite.cases:
        key = msgspec.json.encode(case.graders)
        if key not in known:
            known[key] = _read_all(case.graders, f"{suite.name}: case {case.id!r}: graders", functions)

    def grade(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
        return _scores((*common, *known[msgspec.json.encode(case.graders)]), case, answer, side, told)

    return grade


def _read_all(
    said: tuple[Mapping[str, object], ...], place: str, functions: Mapping[str, Function]
) -> tuple[Grader, ...]:
    made = (read(grader, f"{place}.{at}", functions) for at, grader in enumerate(said))
    return tuple(grader for grader in made if grader is not None)


def _scores(
    graders: tuple[Grader, ...], case: EvalCase, answer: Answer, side: Side, told: Told = _nobody
) -> dict[str, float]:
    """Each name with the weighted mean of its graders; one that gave no score leaves the name without one."""
    found: dict[str, list[tuple[float, float | None]]] = {}
    for grader in graders:
        found.setdefault(grader.name, []).append((grader.weight, _score(grader, case, answer, side, told)))
    means = {name: _mean(given) for name, given in found.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def _score(grader: Grader, case: EvalCase, answer: Answer, side: Side, told: Told) -> float | None:
    try:
        return grader.score(case, answer)
    except ValueError as fault:
        told(f"{grader.name!r} gives the {side}'s answer to case {case.id!r} no score: {fault}")
        return None


def _mean(given: list[tuple[float, float | None]]) -> float | None:
    total = sum(weight for weight, _ in given)
    known = [weight * score for weight, score in given if score is not None]
    return sum(known) / total if total > 0.0 and len(known) == len(given) else None


def _by_name(said: Mapping[str, object], score: str) -> Grade:
    grader = read({**said, "name": score}, score, _NO_FUNCTIONS)
    assert grader is not None
    return lambda case, answer, side: _scores((grader,), case, answer, side)


BY_NAME: Mapping[str, Grade] = MappingProxyType(
    {
        "exact": _by_name({"type": "equals"}, "exact"),
        "contains": _by_name({"type": "contains", "ignore_case": True}, "contains"),
    }
)
"""Graders that a command names by one word, for suites that name none; each compares with the reference."""
