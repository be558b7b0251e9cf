"""Promises about the form of an answer, measured on the answer itself: is it JSON, does it fit a schema.

JSON validity is about the *whole* output: one outer code fence is stripped, nothing else, and the rest must be JSON
by the letter (RFC 8259: no NaN, no comments, no trailing comma). A parser that was written against the incumbent
does not dig a JSON block out of prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

_FENCE = "```"
_JSON_SPACE = " \t\r\n"
_MAY_START_JSON = frozenset('{["-0123456789tfn')

JSON_VALID = "json_valid"
SCHEMA = "schema"
ANSWERED = "answered"


def unfenced(text: str) -> str:
    """The text inside one outer code fence, or the text itself."""
    fenced = text.strip()
    if not (fenced.startswith(_FENCE) and fenced.endswith(_FENCE)):
        return text
    opening, newline, rest = fenced.partition("\n")
    if not newline or "`" in opening.removeprefix(_FENCE):
        return text
    return rest.removesuffix(_FENCE).rstrip(" \t").removesuffix("\n")


def is_json(text: str) -> bool:
    """Whether the whole text, one outer code fence stripped, is one JSON value."""
    body = unfenced(text).strip(_JSON_SPACE)
    if not body or body[0] not in _MAY_START_JSON:
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def fits_schema(text: str, schema: Mapping[str, object]) -> bool:
    """Whether the whole text is JSON that `schema` (JSON Schema) accepts. References are never fetched.

    Raises:
        ValueError: if the schema itself is not one.
    """
    validator = _validator(json.dumps(schema, sort_keys=True))
    if not is_json(text):
        return False
    value = msgspec.json.decode(unfenced(text).strip(_JSON_SPACE))
    try:
        return bool(validator.is_valid(value))
    except (Unresolvable, re.error, RecursionError, TypeError) as error:
        raise ValueError(f"the schema cannot be applied: {type(error).__name__}: {error}") from None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    decoded = json.loads(schema)
    if not isinstance(decoded.get("$schema", ""), str):
        raise ValueError(f"not a JSON Schema: $schema is {decoded['$schema']!r}, expected the address of a dialect")
    kind = validator_for(decoded, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(decoded)
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from None
    return kind(decoded, registry=Registry())
