"""promptfoo's templates, as far as they are plain variables: `{{ name }}` and `{{ name.part }}`.

A filter, a condition, a loop or a call is more than that, and is refused by name rather than guessed. A variable whose
value names another one is filled in as well, as promptfoo does; one that is not there is an empty text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_$][\w$]*(?:\.[\w$]+)*)\s*-?\}\}")
_ANYTHING = re.compile(r"\{\{.{0,60}|\{%.{0,60}", re.DOTALL)
_ROUNDS = 4
LONGEST = 4 << 20


class NotPlain(ValueError):
    """A template that does more than name variables."""


def rendered(value: Any, variables: Mapping[str, Any], missing: Callable[[str], None]) -> Any:
    """The value with its texts filled in; `missing` hears of variables that are not there.

    Raises:
        NotPlain: for a template that is more than variables, or a text beyond `LONGEST`.
    """
    if isinstance(value, str):
        return _text(value, variables, missing)
    if isinstance(value, list):
        return [rendered(item, variables, missing) for item in value]
    if isinstance(value, dict):
        return {name: rendered(item, variables, missing) for name, item in value.items()}
    return value


def settled(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables that name each other, filled in; what they do not know stays as it is, as in promptfoo."""
    found = dict(variables)
    for _ in range(_ROUNDS):
        texts = {name: value for name, value in found.items() if isinstance(value, str) and "{{" in value}
        if not texts:
            break
        for name, value in texts.items():
            found[name] = _VARIABLE.sub(partial(_known, variables=found, own=name), value)[:LONGEST]
    return found


def _known(match: re.Match[str], variables: Mapping[str, Any], own: str) -> str:
    value = _at(variables, match[1])
    return match[0] if value is None or match[1] == own else written(value)


def _text(template: str, variables: Mapping[str, Any], missing: Callable[[str], None]) -> str:
    rest = _VARIABLE.sub("", template)
    if (more := _ANYTHING.search(rest)) is not None:
        raise NotPlain(f"{more[0][:40]!r} is more than a variable")

    def fill(match: re.Match[str]) -> str:
        value = _at(variables, match[1])
        if value is None:
            missing(match[1])
        return written(value)

    text = _VARIABLE.sub(fill, template)
    if len(text) > LONGEST:
        raise NotPlain(f"it renders to more than {LONGEST:,} characters")
    return text


def written(value: Any) -> str:
    """A value as a template prints it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _at(variables: Mapping[str, Any], path: str) -> Any:
    if path in variables:
        return variables[path]
    value: Any = variables
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
