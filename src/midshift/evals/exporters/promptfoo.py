"""A suite as promptfoo's configuration: one prompt, which is the whole chat of a test.

    promptfoo eval -c promptfooconfig.yaml     (after its `providers` are filled in)

Graders become assertions where promptfoo has one of the same meaning. Source: promptfoo 0.121's configuration schema.
Elsewhere: the way back (importers.promptfoo_config).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import yaml

from midshift.evals.exporters.kept import Exported, rest_of
from midshift.evals.importers.promptfoo_tests import is_reserved
from midshift.evals.importers.result import Basket
from midshift.evals.suite_file import EvalCase, Suite

FILE = "promptfooconfig.yaml"
_SPOKEN = frozenset({"id", "messages", "slice", "graders", "metadata"})
_LIKE_A_TEMPLATE = ("{{", "{%", "{#")
Assertion: TypeAlias = dict[str, Any]


def write(suite: Suite) -> Exported:
    """The configuration; tools and parameters are a provider's there, and are listed."""
    basket = Basket()
    tests = [_test(suite, case, basket) for case in suite.cases]
    document = {
        "description": suite.name,
        "prompts": [{"id": "chat", "label": "chat", "raw": "{{messages}}"}],
        "providers": ["echo"],
        "tests": tests,
    }
    basket.lose(FILE, "providers", "echo stands there: name the models that you want to ask")
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)
    return Exported({FILE: text.encode("utf-8", "replace")}, tuple(basket.losses.values()))


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: equal parts of a suite are equal texts."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text; one with a line break of Unicode in it stands in double quotes, where it is not folded."""
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)

# What YAML 1.2 takes for a number and the writer's YAML 1.1 does not, so that such a text is quoted.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+)$"),
    list("-+.0123456789"),
)


def _test(suite: Suite, case: EvalCase, basket: Basket) -> dict[str, Any]:
    place = f"case {case.id!r}"
    messages = json.dumps([dict(message) for message in case.messages], ensure_ascii=False)
    if any(sign in messages for sign in _LIKE_A_TEMPLATE):
        basket.lose(place, "{{ in a text", "promptfoo may take it for a template of its own")
    for name, value in (("tools", case.tools), ("params", case.params)):
        if value:
            basket.lose(place, name, "promptfoo has them in the configuration of a provider")
    if case.expects is not None:
        basket.lose(place, "expects", "add is-json, which is what a contract is there")
    asserts = []
    for grader in suite.graders_of(case):
        try:
            asserts.append(_assertion(grader, case))
        except _NoWords as error:
            basket.lose(place, f"grader {grader['type']}", str(error))
    return {
        "vars": {"messages": messages},
        "assert": asserts,
        "metadata": {
            **{name: value for name, value in case.metadata.items() if not is_reserved(name)},
            "id": case.id,
            **({"slice": case.slices[0] if len(case.slices) == 1 else list(case.slices)} if case.slices else {}),
            "midshift": {"variables": {}, **rest_of(case, _SPOKEN), **_hidden(case)},
        },
    }


def _hidden(case: EvalCase) -> dict[str, Any]:
    """Notes whose names mean something else in the metadata of a test."""
    found = {name: value for name, value in case.metadata.items() if is_reserved(name)}
    return {"metadata": found} if found else {}


class _NoWords(ValueError):
    """promptfoo has no assertion of this meaning."""


def _assertion(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    make = _ASSERTIONS.get(grader["type"])
    if make is None:
        raise _NoWords("promptfoo has no assertion of the same meaning")
    if grader.get("threshold") is not None and grader["type"] != "rubric":
        raise _NoWords("promptfoo's assertion has no threshold")
    made = make(grader, case)
    if _means_more(made.get("value")):
        raise _NoWords("promptfoo would take a text in it for a template, or for the name of a file")
    turned = {"type": f"not-{made['type']}"} if grader.get("not") else {}
    name = {"metric": grader["name"]} if grader.get("name") else {}
    weight = {"weight": grader["weight"]} if grader.get("weight") is not None else {}
    return {**made, **turned, **name, **weight}


def _means_more(value: Any) -> bool:
    """Whether promptfoo does something with a text in a value, before it compares anything with it."""
    match value:
        case str():
            return value.startswith("file://") or any(sign in value for sign in _LIKE_A_TEMPLATE)
        case dict():
            return any(_means_more(one) for pair in value.items() for one in pair)
        case list():
            return any(map(_means_more, value))
        case _:
            return False


def _value(grader: Mapping[str, Any], case: EvalCase) -> Any:
    value = grader.get("value", case.reference)
    if value is None:
        raise _NoWords("it has no value, and the case no confirmed reference")
    return value


def _only_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _NoWords("it compares with a reference that is no text")
    return value


def _equals(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    value = _value(grader, case)
    if not isinstance(value, str) or grader.get("ignore_case") or grader.get("strip") is not False:
        raise _NoWords("promptfoo's equals compares every character")
    return {"type": "equals", "value": value}


def _contains(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    prefix = "i" if grader.get("ignore_case") else ""
    if "values" in grader:
        return {"type": f"{prefix}contains-{grader.get('mode', 'all')}", "value": list(grader["values"])}
    value = _value(grader, case)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return {"type": f"{prefix}contains-all", "value": value}
    return {"type": f"{prefix}contains", "value": _only_text(value)}


def _starts_with(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    if grader.get("ignore_case"):
        raise _NoWords("promptfoo's starts-with compares every character")
    return {"type": "starts-with", "value": _only_text(_value(grader, case))}


def _regex(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    if "(?P" in grader["pattern"] or "(?i" in grader["pattern"] or grader["pattern"].endswith("\\Z"):
        raise _NoWords("the pattern is one that only Python reads")
    return {"type": "regex", "value": grader["pattern"]}


def _json_equal(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    value = _value(grader, case)
    if not isinstance(value, dict | list):
        raise _NoWords("promptfoo compares JSON only with an object or a list")
    return {"type": "equals", "value": value}


def _length(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    least, most = grader.get("min_words"), grader.get("max_words")
    if (least is None and most is None) or grader.keys() & {"min_chars", "max_chars"}:
        raise _NoWords("promptfoo counts words, not characters")
    if least == most:
        return {"type": "word-count", "value": least}
    bounds = {"min": least, "max": most}
    return {"type": "word-count", "value": {name: bound for name, bound in bounds.items() if bound is not None}}


def _rubric(grader: Mapping[str, Any], case: EvalCase) -> Assertion:
    threshold = {"threshold": grader["threshold"]} if grader.get("threshold") is not None else {}
    return {"type": "llm-rubric", "value": grader["rubric"], **threshold}


_ASSERTIONS: Mapping[str, Callable[[Mapping[str, Any], EvalCase], Assertion]] = MappingProxyType(
    {
        "equals": _equals,
        "contains": _contains,
        "starts_with": _starts_with,
        "regex": _regex,
        "json": lambda grader, case: {"type": "is-json"},
        "json_schema": lambda grader, case: {"type": "is-json", "value": grader["schema"]},
        "json_equal": _json_equal,
        "length": _length,
        "rubric": _rubric,
        "pairwise": lambda grader, case: {"type": "select-best", "value": grader["criterion"]},
    }
)
