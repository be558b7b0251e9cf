"""Graders of answers that are JSON. One outer code fence is stripped, nothing else; see `contracts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from midshift.evals import contracts
from midshift.evals.graders.options import Options
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase

_NOTHING = object()


def is_json(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the whole answer is JSON."""
    return lambda case, answer: None if answer.text is None else float(contracts.is_json(answer.text))


def fits(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the whole answer is JSON that the `schema` accepts."""
    schema = options.value("schema")
    if not isinstance(schema, Mapping):
        raise options.fault("schema", "a JSON Schema")
    try:
        contracts.fits_schema("null", schema)
    except ValueError as error:
        raise options.fault("schema", f"a JSON Schema ({error})") from None
    return lambda case, answer: None if answer.text is None else float(contracts.fits_schema(answer.text, schema))


def field(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the field at the dotted `path` of the answer is the `value` (the reference, if none is given)."""
    path = options.text("path").split(".")
    value = options.value("value") if options.has("value") else _NOTHING

    def score(case: EvalCase, answer: Answer) -> float | None:
        expected = value if value is not _NOTHING else case.reference
        if answer.text is None or (value is _NOTHING and expected is None):
            return None
        found = decoded(answer.text)
        for name in path:
            found = _inside(found, name)
        return float(found is not _NOTHING and same(found, expected))

    return score


def equal(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the answer is the same JSON as the value: order of fields, white space and 1 against 1.0 aside."""
    value = options.value("value") if options.has("value") else _NOTHING

    def score(case: EvalCase, answer: Answer) -> float | None:
        expected = value if value is not _NOTHING else case.reference
        expected = decoded(expected) if isinstance(expected, str) else expected
        if answer.text is None or expected is None or expected is _NOTHING:
            return None
        found = decoded(answer.text)
        return float(found is not _NOTHING and same(found, expected))

    return score


def decoded(text: str) -> Any:
    """The value of a text that is JSON as a whole; a mark of its own for any other."""
    return msgspec.json.decode(contracts.unfenced(text).strip()) if contracts.is_json(text) else _NOTHING


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal. True is not 1."""
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case dict(), Mapping():
            return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
        case list(), list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case _:
            return bool(one == other)


def _inside(value: Any, name: str) -> Any:
    match value:
        case dict():
            return value.get(name, _NOTHING)
        case list() if name.isdecimal() and int(name) < len(value):
            return value[int(name)]
        case _:
            return _NOTHING
