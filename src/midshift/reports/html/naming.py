"""How names and chances stand in the page: short enough, harmless, and said in one way.

Elsewhere: wording that every report shares (reports.words).
"""

from __future__ import annotations

from collections.abc import Sequence

from midshift.domain.suite import AGGREGATE
from midshift.reports.text import visible

NAME_CHARS = 120
_SMALLEST_P = 0.001


def listed(slices: Sequence[str], most: int) -> str:
    """Slices in words, at most so many by name."""
    more = len(slices) - most
    return ", ".join(slice_name(name) for name in slices[:most]) + (f" and {more:,} more" if more > 0 else "")


def slice_name(name: str) -> str:
    """A slice in words."""
    return "all cases" if name == AGGREGATE else visible(name, NAME_CHARS)


def p_value(value: float) -> str:
    """A chance that does not break at the end of a line."""
    said = f"p = {value:.2g}" if value >= _SMALLEST_P else f"p < {_SMALLEST_P:g}"
    return said.replace(" ", "\u00a0")
