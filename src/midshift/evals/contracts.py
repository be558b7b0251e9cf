"""Promises about the form of an answer, measured on the answer itself: does it fit a schema.

An answer that no reader could use (a number that no float holds, a nesting without end) does not fit. A schema that
cannot be applied, and patterns in it that come to no end (time_limit), say nothing about an answer.
Elsewhere: is it JSON at all (whole_json).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from midshift.evals.time_limit import limited
from midshift.evals.whole_json import JSON_SPACE
from midshift.evals.whole_json import is_json as is_json
from midshift.evals.whole_json import unfenced as unfenced

JSON_VALID = "json_valid"
SCHEMA = "schema"
ANSWERED = "answered"
RESERVED = frozenset((JSON_VALID, SCHEMA, ANSWERED))
"""Names that no other score can have: they are measured on the answers, whatever anybody gives under them."""

_DEEP = 50
"""Levels beyond which a nesting is the answer's fault, and not that of a schema which points at itself."""


def fits_schema(text: str, schema: Mapping[str, object]) -> bool:
    """Whether the whole text is JSON that `schema` (JSON Schema) accepts. References are never fetched.

    Raises:
        OutOfTime: a `ValueError`, if it takes too long to tell.
        ValueError: if the schema itself is not one, or cannot be applied.
    """
    validator, what = _validator(json.dumps(schema, sort_keys=True))
    if not is_json(text):
        return False
    value = msgspec.json.decode(unfenced(text).strip(JSON_SPACE))
    try:
        return bool(limited(what, lambda: validator.is_valid(value)))
    except OverflowError:
        return False
    except (Unresolvable, re.error, RecursionError, TypeError) as error:
        if isinstance(error, RecursionError) and _is_deep(value):
            return False
        raise ValueError(f"the schema cannot be applied: {type(error).__name__}: {error}") from None


@lru_cache(maxsize=256)
def _validator(schema: str) -> tuple[Validator, str]:
    """What validates by a schema, and its name for people: the patterns in it."""
    decoded = json.loads(schema)
    if not isinstance(decoded.get("$schema", ""), str):
        raise ValueError(f"not a JSON Schema: $schema is {decoded['$schema']!r}, expected the address of a dialect")
    kind = validator_for(decoded, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(decoded)
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from None
    patterns = ", ".join(map(repr, dict.fromkeys(_patterns(decoded))))
    return kind(decoded, registry=Registry()), f"a schema with the patterns {patterns}" if patterns else "a schema"


def _patterns(schema: object) -> Iterator[str]:
    """Every pattern for texts and for names of properties, wherever it stands."""
    if isinstance(schema, dict):
        pattern, named = schema.get("pattern"), schema.get("patternProperties")
        yield from (pattern,) if isinstance(pattern, str) else ()
        yield from named if isinstance(named, dict) else ()
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in inside:
        yield from _patterns(part)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEP):
        level = [inner for one in level for inner in _inside(one)]
    return bool(level)


def _inside(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
