"""Whether a schema is of the kind that a strict tool needs.

Where a tool says nothing of `strict`, Responses attempt to be strict and fall back where the schema does not allow it
(the types of openai 3.x, `namespace_tool`); chat completions and the other wires are not strict then. So a tool that
Responses hold to its schema is held to it elsewhere as well. A schema is never rewritten here: one that would have to
be stays unstrict, and so does one with a word that not every wire takes in a strict tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = frozenset("type properties required additionalProperties items anyOf enum const description title".split())
_DEEPEST = 5
"""Levels within levels that OpenAI takes in a strict schema: 5 at first, more by now."""


def is_strict(schema: object) -> bool:
    """Whether every object in it names all of its properties as required and allows no others."""
    return isinstance(schema, Mapping) and schema.get("type") == "object" and _is_closed(schema, _DEEPEST)


def _is_closed(schema: object, depth: int) -> bool:
    if not isinstance(schema, Mapping) or not _WORDS.issuperset(schema):
        return False
    if _is_object(schema) and not _names_all(schema):
        return False
    within = list(_within(schema))
    return not within or (depth > 0 and all(_is_closed(inner, depth - 1) for inner in within))


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return "properties" in schema or kind == "object" or (isinstance(kind, list) and "object" in kind)


def _names_all(schema: Mapping[str, Any]) -> bool:
    names, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(names, Mapping) or not isinstance(required, list):
        return False
    return schema.get("additionalProperties") is False and all(name in required for name in names)


def _within(schema: Mapping[str, Any]) -> Iterator[object]:
    """The schemas in a schema."""
    properties, choices = schema.get("properties"), schema.get("anyOf")
    yield from properties.values() if isinstance(properties, Mapping) else ()
    yield from choices if isinstance(choices, list) else ()
    if "items" in schema:
        yield schema["items"]
