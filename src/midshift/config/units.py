"""Lengths of time, shares and points, as people write them: `36h`, `2d`, `2w`, `1%`, `2pt`; and back."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

DURATION = r"^[1-9][0-9]{0,3}[hdw]$"
PERCENT = r"^(100|[1-9]?[0-9](\.[0-9]{1,4})?)%$"
POINTS = r"^(100|[1-9]?[0-9](\.[0-9]{1,4})?)pt$"

_IN_WORDS = re.compile(r"([1-9][0-9]{0,3})\s*(?:(h)(?:ou)?(?:rs?)?|(d)(?:ays?)?|(w)(?:ee)?(?:ks?)?)")
_UNITS = {"w": timedelta(weeks=1), "d": timedelta(days=1), "h": timedelta(hours=1)}


def duration(text: str) -> timedelta:
    """The time that a text of the form DURATION names."""
    return int(text[:-1]) * _UNITS[text[-1]]


def meant_duration(text: str) -> str | None:
    """The form DURATION of what was written in words, such as `7 days`; None where that is not clear."""
    found = _IN_WORDS.fullmatch(text.strip().lower())
    return None if found is None else f"{int(found[1])}{found[2] or found[3] or found[4]}"


def in_units(length: timedelta) -> str:
    """A time in the largest unit that divides it; whole hours at least."""
    unit = next((unit for unit, size in _UNITS.items() if not length % size), "h")
    return f"{length // _UNITS[unit]}{unit}"


def share(text: str) -> float:
    """The fraction of one that a text of the form PERCENT names."""
    return float(Decimal(text[:-1]) / 100)


def in_percent(fraction: float) -> str:
    """A fraction of one in per cent."""
    return f"{fraction * 100:.6g}%"


def points(text: str) -> float:
    """The number in a text of the form POINTS."""
    return float(text[:-2])


def in_points(number: float) -> str:
    """A number of points."""
    return f"{number:.6g}pt"
