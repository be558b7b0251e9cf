"""Schemas of the kind that Gemini's API had first (OpenAPI's), as JSON Schema, which every wire takes.

Google's own clients write the words of a schema in either spelling (`any_of`, `anyOf`), and protobuf's JSON has whole
numbers of 64 bits as text. Names of properties are the app's and stay as they are.
Facts: the type `Schema` of google-genai 3.x.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_WORDS = MappingProxyType(
    {
        "any_of": "anyOf",
        "additional_properties": "additionalProperties",
        "min_items": "minItems",
        "max_items": "maxItems",
        "min_length": "minLength",
        "max_length": "maxLength",
        "min_properties": "minProperties",
        "max_properties": "maxProperties",
        "property_ordering": "propertyOrdering",
        "defs": "$defs",
        "ref": "$ref",
    }
)
_ORDER = "propertyOrdering"
_VALUES = ("enum", "required", "default", "example", "const", "examples")
"""What in a schema holds values and no schemas."""
_NAMED = ("properties", "$defs", "definitions", "patternProperties")
"""What holds schemas by names that are the app's."""
_WHOLE = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_NULL = {"type": "null"}


def json_schema(schema: object) -> Any:
    """A schema of OpenAPI's kind as JSON Schema: types in lower case, `nullable` as a type, no order of fields."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    named = {_WORDS.get(name, name): value for name, value in schema.items()}
    found = {name: _inner(name, value) for name, value in named.items() if name != _ORDER}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
    if found.get("type") == "type_unspecified":
        del found["type"]
    return _nullable(found) if found.pop("nullable", False) is True else found


def _inner(name: str, value: Any) -> Any:
    if name in _NAMED and isinstance(value, Mapping):
        return {given: json_schema(schema) for given, schema in value.items()}
    if name in _WHOLE and isinstance(value, str) and value.isdecimal():
        return int(value)
    if name == "$ref" and isinstance(value, str):
        return value.replace("#/defs/", "#/$defs/", 1)
    return value if name in _VALUES else json_schema(value)


def _nullable(found: dict[str, Any]) -> dict[str, Any]:
    """The same schema, or null: every word that would refuse it takes it too."""
    if "$ref" in found:
        return {"anyOf": [found, _NULL]}
    kind, enum, choices = found.get("type"), found.get("enum"), found.get("anyOf")
    if isinstance(kind, str) and kind != "null":
        found["type"] = [kind, "null"]
    if isinstance(enum, list) and None not in enum:
        found["enum"] = [*enum, None]
    if isinstance(choices, list) and _NULL not in choices:
        found["anyOf"] = [*choices, _NULL]
    return found
