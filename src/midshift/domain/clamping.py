"""Bounds that a variant puts on a value which the app chooses: numbers by size, efforts by the canonical scale.

Contract: a value inside stays as it was sent, one outside becomes the nearer bound, and what is not of the bounds' kind
(null, a text where a number is expected, an effort that the scale does not have) is not touched.
Elsewhere: where a field stands in a request (wire), which bounds a model needs (providers.capabilities).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from midshift.domain.variant import Json

EFFORT = "effort"
"""The name by which bounds mean the reasoning effort, however a wire spells its field."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The canonical scale, from the least. A vendor's model takes some of them."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest value that a request may carry, both allowed: two numbers, or two efforts.

    Raises:
        ValueError: if they are of two kinds, or the wrong way round.
    """

    low: int | float | str
    high: int | float | str

    def __post_init__(self) -> None:
        if isinstance(self.low, str) != isinstance(self.high, str):
            raise ValueError(f"bounds are two numbers or two efforts, got {self.low!r} and {self.high!r}")
        if self._rank(self.low) > self._rank(self.high):
            raise ValueError(f"bounds go from the lower to the higher, got {self.low!r} and {self.high!r}")

    def clamped(self, value: Json) -> Json:
        """The value, or the bound that it is beyond."""
        if not self._is_kin(value):
            return value
        assert isinstance(value, int | float | str)
        if self._rank(value) < self._rank(self.low):
            return self.low
        return self.high if self._rank(value) > self._rank(self.high) else value

    def _is_kin(self, value: Json) -> bool:
        if isinstance(self.low, str):
            return isinstance(value, str) and value in EFFORTS
        return isinstance(value, int | float) and not isinstance(value, bool)

    def _rank(self, value: int | float | str) -> float:
        if not isinstance(value, str):
            return value
        if value not in EFFORTS:
            raise ValueError(f"{value!r} is no effort, expected one of: {', '.join(EFFORTS)}")
        return EFFORTS.index(value)


def bounds_by_field(written: Json) -> dict[str, Bounds]:
    """Read the parameter `clamp`: `{max_tokens: [1, 8000], effort: [low, high]}`.

    Raises:
        ValueError: if it is anything else, saying what was expected.
    """
    if not isinstance(written, Mapping):
        raise ValueError(f"parameters.clamp holds fields and their two bounds, got {written!r}")
    return {name: _bounds(name, pair) for name, pair in written.items()}


def _bounds(name: str, pair: Json) -> Bounds:
    match pair:
        case (int() | float() | str() as low, int() | float() | str() as high) if not (
            isinstance(low, bool) or isinstance(high, bool)
        ):
            pass
        case _:
            raise ValueError(f"parameters.clamp.{name} is a list of two bounds, such as [1, 8000], got {pair!r}")
    if (name == EFFORT) != isinstance(low, str):
        expected = "two efforts, such as [low, high]" if name == EFFORT else "two numbers, such as [1, 8000]"
        raise ValueError(f"parameters.clamp.{name} is {expected}, got [{low!r}, {high!r}]")
    try:
        return Bounds(low, high)
    except ValueError as error:
        raise ValueError(f"parameters.clamp.{name}: {error}") from None
