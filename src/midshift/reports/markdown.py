"""Pieces of Markdown that hold what models and strangers said, and obey none of it.

Contract: pure. Elsewhere: what is harmless in a terminal (text), the pages that are made of this (retuning, by_hand).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from midshift.reports.text import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")
_MOST_TEXT = 100_000


def joined(*parts: str) -> str:
    """Paragraphs, without the empty ones."""
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def listed(items: Iterable[str]) -> str:
    """A list; its items are made harmless before."""
    return "\n".join(f"- {item}" for item in items)


def said(text: str, longest: int = 200) -> str:
    """Foreign text on one line, with nothing that Markdown or a browser would act on."""
    return _SPECIAL.sub(r"\\\1", visible(text, longest))


def quoted(text: str) -> str:
    """Foreign lines as a quotation."""
    return "\n".join(f"> {said(line, 400)}" for line in text.splitlines() if line.strip())


def code(text: str) -> str:
    """Foreign text as code in a line."""
    return f"`{visible(text).replace('`', chr(39))}`"


def fenced(text: str, language: str = "text") -> str:
    """Foreign lines in a fence that they cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    body = "\n".join(visible(line, 2000) for line in text[:_MOST_TEXT].split("\n"))
    return f"{fence}{language}\n{body}\n{fence}"
