"""What requests and answers of Gemini have in common: JSON objects, and the parts of a content."""

from __future__ import annotations

from typing import Any

import msgspec

from midshift.wire.json_object import WRONG


def decoded(body: bytes) -> dict[str, Any] | None:
    """The object that is in these bytes; None for anything else."""
    try:
        found = msgspec.json.decode(body)
    except WRONG:
        return None
    return found if isinstance(found, dict) else None


def parts_of(content: object) -> list[dict[str, Any]]:
    """The parts of a content; some clients send a single one without a list."""
    parts = content.get("parts") if isinstance(content, dict) else None
    found = [parts] if isinstance(parts, dict) else parts
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def first_candidate(candidates: object) -> dict[str, Any]:
    """The candidate that counts, which has no index or 0; nothing where a chunk is about another one alone."""
    found = candidates if isinstance(candidates, list) else []
    return next((item for item in found if isinstance(item, dict) and not item.get("index")), {})
