"""JSON Schema for editors, made of the same types that read the files."""

from __future__ import annotations

from typing import Any

import msgspec

from midshift.config import documents
from midshift.config.values import Document

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema of `midshift.yaml`."""
    return _schema(documents.Midshift, "midshift.yaml")


def variant_schema() -> dict[str, Any]:
    """The schema of a variant file."""
    return _schema(documents.Variant, "midshift variant")


def _schema(kind: type[Document], title: str) -> dict[str, Any]:
    found = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(kind)))
    if "When" in found["$defs"]:
        # What types cannot say: one condition, and the one that takes no value.
        found["$defs"]["When"]["oneOf"] = [
            {"required": ["header", "equals"], "not": {"anyOf": [{"required": ["body"]}, {"required": ["language"]}]}},
            {"required": ["body", "equals"], "not": {"anyOf": [{"required": ["header"]}, {"required": ["language"]}]}},
            {"required": ["language"], "maxProperties": 1},
        ]
    return {"$schema": DIALECT, "title": title, **found}
