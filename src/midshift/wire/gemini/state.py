"""What in a request only one model or account can read; and taking out what can be taken out.

A part may carry the signature of the thought that led to it. Gemini 3 refuses a call of a function that comes back
without any, in the turn that is going on; for a call that another model made, Google documents a value that stands in
for it (Gemini API, "Thought signatures"). So signatures are removed, and at a call replaced by that value.
Elsewhere: when that is needed (gateway).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw

from midshift.wire.gemini.parts import parts_of
from midshift.wire.json_object import NULL, Fields, encoded, items_of, joined, listed, object_of, plain

STAND_IN = "skip_thought_signature_validator"
"""The signature of a call that the model which reads it did not make."""

_SIGNATURE = ("thoughtSignature", "thought_signature")
_FILE, _URI = ("fileData", "file_data"), ("fileUri", "file_uri")
_CALL = ("functionCall", "function_call")
_MARKS = (*(f'"{name}"'.encode() for name in (*_SIGNATURE, *_FILE)),)


def bound_parts(contents: Sequence[Raw]) -> Iterator[tuple[str, str]]:
    """Signatures, and files that were uploaded, as (field, token), in their order."""
    for at, raw in enumerate(contents):
        if not _is_marked(raw):
            continue
        for number, part in enumerate(parts_of(plain(raw))):
            signature = _first(part, _SIGNATURE)
            file = _first(part, _FILE)
            uri = _first(file, _URI) if isinstance(file, dict) else None
            if isinstance(signature, str) and signature != STAND_IN:
                yield f"contents.{at}.parts.{number}.thoughtSignature", signature
            if isinstance(uri, str) and "/files/" in uri:
                yield f"contents.{at}.parts.{number}.fileData", uri


def without_signatures(contents: Sequence[Raw]) -> list[Raw]:
    """The contents without signatures; a part, or a content, that held nothing else goes too."""
    kept = map(_unsigned, contents)
    return [content for content in kept if content is not None]


def _unsigned(raw: Raw) -> Raw | None:
    fields = object_of(raw) if _is_marked(raw) else None
    if fields is None:
        return raw
    parts = fields.get("parts", NULL)
    alone = object_of(parts)
    items = [parts] if alone is not None else items_of(parts) or []
    bare = [_bare(part) for part in items]
    if bare == items:
        return raw
    left = [part for part in bare if part is not None]
    return joined(fields | {"parts": listed(left)}) if left else None


def _bare(raw: Raw) -> Raw | None:
    part = object_of(raw) or {}
    signed = [name for name in _SIGNATURE if name in part]
    if not signed or plain(part[signed[0]]) == STAND_IN:
        return raw
    if any(name in part for name in _CALL):
        return joined(part | {signed[0]: encoded(STAND_IN)})
    left: Fields = {name: value for name, value in part.items() if name not in signed}
    return joined(left) if left else None


def _is_marked(raw: Raw) -> bool:
    """Whether it can hold state at all: a look at the bytes, before megabytes of images are decoded."""
    found = bytes(raw)
    return any(mark in found for mark in _MARKS)


def _first(found: dict[str, Any], names: Sequence[str]) -> Any:
    return next((found[name] for name in names if name in found), None)
