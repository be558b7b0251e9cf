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
