"""promptfoo's assertions as graders: those that mean the same, and the reason for each that does not.

Meanings as promptfoo 0.121 has them: `contains-any` and its kin take a list, or a text with commas; a `not-` before a
type turns it round; `weight` is 1 if left out, and 0 for an assertion that is only shown. Code, web hooks and whatever
needs an embedding or promptfoo's own judges are listed by name and never run.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

Grader: TypeAlias = dict[str, Any]


class NotCarried(ValueError):
    """An assertion that has no grader of the same meaning, and why."""


_CODE = frozenset({"javascript", "python", "ruby", "webhook"})
_MEASURED = MappingProxyType(
    {
        "cost": "midshift compares the cost of every case itself",
        "latency": "midshift compares the latency of every case itself",
        "perplexity": "needs log probabilities",
        "perplexity-score": "needs log probabilities",
    }
)
_CHANGES_THE_ANSWER = ("transform", "contextTransform", "rubricPrompt")
_NAMED_GROUP = re.compile(r"\(\?<(?![=!])")
_JS_ONLY = re.compile(r"\\p\{|\\u\{|\\c[A-Za-z]|\(\?<[=!][^)]*[*+]")


def grader_of(assertion: Mapping[str, Any]) -> Grader:
    """The grader of an assertion whose texts are rendered.

    Raises:
        NotCarried: if there is none.
    """
    type_ = assertion.get("type")
    if not isinstance(type_, str):
        raise NotCarried("an assertion without a type")
    plain = type_.removeprefix("not-")
    for name in _CHANGES_THE_ANSWER:
        if assertion.get(name):
            raise NotCarried(f"it has {name!r}, which changes what is graded")
    if plain in _CODE:
        raise NotCarried("it is code, which an import never runs; write it as a grader of the type python")
    if plain in _MEASURED:
        raise NotCarried(_MEASURED[plain])
    make = _GRADERS.get(plain)
    if make is None:
        raise NotCarried("no grader means the same")
    if isinstance(value := assertion.get("value"), str) and value.startswith(("file://", "package:", "exec:")):
        raise NotCarried(f"its value is {value[:60]!r}, which is no data in the folder")
    grader = make(assertion.get("value"), assertion)
    if type_ != plain:
        grader["not"] = True
    return grader | _details(assertion)


def type_of(assertion: Mapping[str, Any]) -> str:
    """What to call an assertion."""
    return str(assertion.get("type", "?"))[:60]


def _details(assertion: Mapping[str, Any]) -> Grader:
    found: Grader = {}
    if isinstance(metric := assertion.get("metric"), str) and metric:
        found["name"] = metric
    weight = assertion.get("weight")
    if isinstance(weight, int | float) and not isinstance(weight, bool) and weight != 1:
        if weight < 0:
            raise NotCarried(f"its weight is {weight}")
        found["weight"] = weight
    return found


def _equals(value: Any, _: Mapping[str, Any]) -> Grader:
    if isinstance(value, dict | list):
        return {"type": "json_equal", "value": value}
    return {"type": "equals", "value": _text(value), "strip": False}


def _contains(ignore_case: bool) -> Callable[[Any, Mapping[str, Any]], Grader]:
    def make(value: Any, _: Mapping[str, Any]) -> Grader:
        return {"type": "contains", "value": _text(value)} | ({"ignore_case": True} if ignore_case else {})

    return make


def _contains_many(mode: str, ignore_case: bool) -> Callable[[Any, Mapping[str, Any]], Grader]:
    def make(value: Any, _: Mapping[str, Any]) -> Grader:
        grader = {"type": "contains", "values": _texts(value), "mode": mode}
        return grader | ({"ignore_case": True} if ignore_case else {})

    return make


def _starts_with(value: Any, _: Mapping[str, Any]) -> Grader:
    return {"type": "starts_with", "value": _text(value)}


def _regex(value: Any, _: Mapping[str, Any]) -> Grader:
    pattern = _NAMED_GROUP.sub("(?P<", _text(value))
    if _JS_ONLY.search(pattern):
        raise NotCarried("the pattern is one that only JavaScript reads")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise NotCarried(f"Python does not read the pattern: {error}") from None
    return {"type": "regex", "pattern": pattern}


def _json(value: Any, _: Mapping[str, Any]) -> Grader:
    if value is None:
        return {"type": "json"}
    if not isinstance(value, dict):
        raise NotCarried("its value is no JSON Schema")
    return {"type": "json_schema", "schema": value}


def _word_count(value: Any, _: Mapping[str, Any]) -> Grader:
    match value:
        case bool():
            raise NotCarried("its value is no number of words")
        case int():
            return {"type": "length", "min_words": value, "max_words": value}
        case {"min": int() as least, "max": int() as most}:
            return {"type": "length", "min_words": least, "max_words": most}
        case {"min": int() as least}:
            return {"type": "length", "min_words": least}
        case {"max": int() as most}:
            return {"type": "length", "max_words": most}
        case _:
            raise NotCarried("its value is no number of words")


def _rubric(value: Any, assertion: Mapping[str, Any]) -> Grader:
    rubric = "\n".join(_texts(value)) if isinstance(value, list) else _text(value)
    threshold = assertion.get("threshold")
    return {"type": "rubric", "rubric": rubric} | ({"threshold": threshold} if _is_number(threshold) else {})


def _pairwise(value: Any, _: Mapping[str, Any]) -> Grader:
    return {"type": "pairwise", "criterion": _text(value)}


JUDGED = frozenset({"llm-rubric", "g-eval", "model-graded-closedqa", "select-best"})
"""Types whose scores come from a judge: the words are carried, and midshift's judge says what they are worth."""

_GRADERS: Mapping[str, Callable[[Any, Mapping[str, Any]], Grader]] = MappingProxyType(
    {
        "equals": _equals,
        "contains": _contains(False),
        "icontains": _contains(True),
        "contains-all": _contains_many("all", False),
        "contains-any": _contains_many("any", False),
        "icontains-all": _contains_many("all", True),
        "icontains-any": _contains_many("any", True),
        "starts-with": _starts_with,
        "regex": _regex,
        "is-json": _json,
        "word-count": _word_count,
        "llm-rubric": _rubric,
        "g-eval": _rubric,
        "model-graded-closedqa": _rubric,
        "select-best": _pairwise,
    }
)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise NotCarried("it has no text as its value")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        rows = list(csv.reader(io.StringIO(value), skipinitialspace=True))
        value = [part.strip() for row in rows for part in row]
    if not isinstance(value, list) or not value:
        raise NotCarried("it has no list of texts as its value")
    return [_text(item) for item in value]
