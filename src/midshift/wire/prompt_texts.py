"""What a system prompt says: its texts, or that not all of it is text.

No prompt and one that cannot be read are two things: an edit of the first adds to nothing, an edit of the second would
take its place. On all wires a prompt is a text, or a list of parts of which each has a `text`.
Elsewhere: where a wire has its prompt (each wire's request), what is done with it (domain.rendering).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def texts_of(content: Any) -> list[str] | None:
    """The texts of a prompt's content, none for null and for an empty list; None if not all of it is text."""
    match content:
        case None:
            return []
        case str():
            return [content]
        case list():
            texts = [part.get("text") if isinstance(part, dict) else None for part in content]
            return [text for text in texts if isinstance(text, str)] if all(map(_is_text, texts)) else None
        case _:
            return None


def together(found: Iterable[list[str] | None]) -> list[str] | None:
    """The texts of several contents; None if one of them is not all text."""
    all_texts: list[str] = []
    for texts in found:
        if texts is None:
            return None
        all_texts += texts
    return all_texts


def joined(texts: list[str] | None) -> str | None:
    """Texts on lines of their own; None where there are none."""
    return "\n".join(texts) if texts else None


def _is_text(value: object) -> bool:
    return isinstance(value, str)
