"""Schemas of the kind that Gemini's API had first (OpenAPI's), as JSON Schema, which every wire takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ORDER = ("propertyOrdering", "property_ordering")
_VALUES = ("enum", "required", "default", "example")
"""What in a schema holds values and no schemas."""


def json_schema(schema: object) -> Any:
    """A schema of OpenAPI's kind as JSON Schema: types in lower case, `nullable` as a type, no order of fields."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {name: _inner(name, value) for name, value in schema.items() if name not in _ORDER}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
        if found.pop("nullable", False):
            found["type"] = [found["type"], "null"]
    return found


def _inner(name: str, value: Any) -> Any:
    if name == "properties" and isinstance(value, Mapping):
        return {property: json_schema(schema) for property, schema in value.items()}
    return value if name in _VALUES else json_schema(value)
