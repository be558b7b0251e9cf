"""promptfoo's CSV of tests: a column is a variable, but for those that begin with two underscores.

`__expected`, `__expected1` ... hold assertions (`contains: Paris`, `similar(0.8): ...`; without a type: equals),
`__metadata:KEY` and `__metadata:KEY[]` the metadata, `__description`, `__metric`, `__threshold`, `__prefix` and
`__suffix` what they say. Source: promptfoo's documentation of test case files, 0.121.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from midshift.evals.importers import data
from midshift.evals.importers.result import Basket

_TYPED = re.compile(r"(?s)^((?:not-)?[a-z][a-z0-9-]*)(?:\(([\d.]+)\))?(?::\s*(.*))?$")
_ALIASES = {"fn": "javascript", "eval": "javascript", "grade": "llm-rubric"}
_LISTS = ("contains-any", "contains-all", "icontains-any", "icontains-all")
_BARE = frozenset(
    "is-json is-xml is-html is-sql is-refusal contains-json contains-xml contains-html is-valid-function-call "
    "is-valid-openai-function-call is-valid-openai-tools-call guardrails".split()
)
_KNOWN = frozenset(
    "equals contains icontains starts-with regex similar levenshtein cost latency javascript python webhook llm-rubric "
    "factuality model-graded-closedqa g-eval word-count rouge-n bleu gleu meteor perplexity answer-relevance "
    "context-recall context-relevance context-faithfulness select-best max-score classifier moderation pi".split()
) | frozenset(_LISTS)


def tests(held: bytes, path: str, basket: Basket) -> Iterator[Mapping[str, Any]]:
    """The tests of a CSV file.

    Raises:
        InputError: if it is not CSV.
    """
    for number, row in data.rows_of(held, path if path.endswith((".csv", ".tsv")) else f"{path}.csv"):
        yield _test(row, f"{path}:{number}", basket)


def _test(row: Mapping[str, Any], place: str, basket: Basket) -> Mapping[str, Any]:
    test: dict[str, Any] = {"vars": {}, "assert": [], "metadata": {}}
    for name, value in row.items():
        if not name.startswith("__"):
            test["vars"][name] = value
        elif value.strip():
            _take(test, name, value, place, basket)
    metric = row.get("__metric")
    if metric and test["assert"]:
        test["assert"] = [{**assertion, "metric": metric} for assertion in test["assert"]]
    return test


def _take(test: dict[str, Any], name: str, value: str, place: str, basket: Basket) -> None:
    if re.fullmatch(r"__expected\d*", name):
        test["assert"].append(assertion_of(value))
    elif name.startswith("__metadata:"):
        key = name.removeprefix("__metadata:")
        listed = [part.strip() for part in value.split(",") if part.strip()]
        test["metadata"][key.removesuffix("[]")] = listed if key.endswith("[]") else value
    elif name == "__description":
        test["description"] = value
    elif name == "__threshold":
        test["threshold"] = value
    elif name != "__metric":
        basket.lose(place, name, "a column that changes the prompt or an assertion's settings")


def assertion_of(text: str) -> dict[str, Any]:
    """The assertion that a cell of `__expected` is."""
    found = _TYPED.match(text.strip())
    if found is None:
        return {"type": "equals", "value": text}
    type_, threshold, value = _ALIASES.get(found[1], found[1]), found[2], found[3]
    plain = type_.removeprefix("not-")
    if value is None and plain in _BARE:
        return {"type": type_}
    if value is None or plain not in _KNOWN | _BARE:
        return {"type": "equals", "value": text}
    content: Any = [part.strip() for part in value.split(",")] if plain in _LISTS else value.strip()
    return {"type": type_, "value": content} | ({"threshold": float(threshold)} if _is_number(threshold) else {})


def _is_number(text: str | None) -> bool:
    return bool(text) and text is not None and re.fullmatch(r"\d+(\.\d+)?", text) is not None
