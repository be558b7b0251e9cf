"""Foreign text, made harmless: what a model, a file or a user wrote is shown, never obeyed.

A terminal obeys escape sequences (C0 and C1 controls) and bidirectional overrides; both can make a report say what it
does not. They are shown as `\\x1b` or `\\u202e`, so that a reader sees that they were there.
"""

from __future__ import annotations

import unicodedata

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_HARMLESS_FORMATS = frozenset("\u200c\u200d\u00ad")  # joiners that real scripts and emoji need, and the soft hyphen


def visible(text: str, longest: int = 200) -> str:
    """`text` on one line, controls and overrides spelt out, cut to `longest` characters with an ellipsis."""
    cut = text if len(text) <= longest else text[: longest - 1] + "\u2026"
    if cut.isprintable():  # nothing but plain characters and spaces, which is nearly always
        return cut
    return "".join(character if _is_plain(character) else _spelt(character) for character in cut)


def _is_plain(character: str) -> bool:
    return (
        (character.isascii() and character.isprintable())
        or character in _HARMLESS_FORMATS
        or unicodedata.category(character) not in _HARMFUL
    )


def _spelt(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
