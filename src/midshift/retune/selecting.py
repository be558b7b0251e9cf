"""Which prompt is chosen, out of all that were tried: never one that breaks the floor of a slice.

The search engine's own best is the highest average, which may be paid for by one slice. So every prompt that was scored
on the select cases is judged again here: floors first, the average among those that keep them, and of equals the
shortest and earliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midshift.retune.measuring import Delta, Floor, Scored, broken, deltas


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One prompt, as it was scored on the select cases. `parent` is the number of the one that it was made from."""

    number: int
    text: str
    parent: int | None
    reason: str
    scored: tuple[Scored, ...]
    cost_usd: float | None = None

    @property
    def reward(self) -> float:
        """The weighted mean over the select cases."""
        total = sum(one.case.weight for one in self.scored)
        return sum(one.case.weight * one.reward for one in self.scored) / total


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A prompt against the incumbent, on the select cases."""

    tried: Tried
    deltas: tuple[Delta, ...]
    floors: tuple[Floor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Everything that was judged, in order; `chosen` is None if no prompt keeps every floor, `nearest` breaks least."""

    judged: tuple[Judged, ...]
    chosen: Judged | None
    nearest: Judged


def chosen(
    tried: Sequence[Tried], incumbent: Sequence[Scored], margin: float, watch: frozenset[str] = frozenset()
) -> Choice:
    """The best prompt that keeps the floor of every slice.

    Raises:
        ValueError: if nothing was tried.
    """
    if not tried:
        raise ValueError("nothing was tried, expected at least the prompt as it was")
    judged = tuple(_judged(one, incumbent, margin, watch) for one in tried)
    nearest = min(judged, key=_rank)
    return Choice(judged, None if nearest.floors else nearest, nearest)


def _judged(one: Tried, incumbent: Sequence[Scored], margin: float, watch: frozenset[str]) -> Judged:
    found = tuple(deltas(incumbent, one.scored))
    return Judged(one, found, tuple(broken(found, margin, watch)))


def _rank(one: Judged) -> tuple[float, float, int, int]:
    worst = one.floors[0].short if one.floors else 0.0
    return round(worst, 9), -round(one.tried.reward, 9), len(one.tried.text), one.tried.number
