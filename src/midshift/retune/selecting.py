"""Which prompt is chosen, out of all that were tried: never one that breaks the floor of a slice.

The search engine's own best is the highest average, which may be paid for by one slice. So every prompt that was scored
on the select cases is judged again here: floors first, the average among those that keep them, and of equals the
shortest and earliest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midshift.domain.suite import NO_MARGINS, Margin
from midshift.retune.measuring import Delta, Floor, Scored, broken, deltas, reward


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One prompt, as it was scored on the select cases. `parent` is the number of the one that it was made from."""

    number: int
    text: str
    parent: int | None
    reason: str
    scored: tuple[Scored, ...]
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A prompt against the incumbent, on the select cases; `reward` is its weighted mean there."""

    tried: Tried
    reward: float
    deltas: tuple[Delta, ...]
    floors: tuple[Floor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Everything that was judged, in order; `chosen` is None if no prompt keeps every floor, `nearest` breaks least."""

    judged: tuple[Judged, ...]
    chosen: Judged | None
    nearest: Judged


def chosen(
    tried: Sequence[Tried],
    incumbent: Sequence[Scored],
    margin: float,
    watch: frozenset[str] = frozenset(),
    own: Mapping[str, Margin] = NO_MARGINS,
) -> Choice:
    """The best prompt that keeps the floor of every slice; `own` are the margins of slices that have one.

    Raises:
        ValueError: if nothing was tried.
    """
    if not tried:
        raise ValueError("nothing was tried, expected at least the prompt as it was")
    judged = tuple(_judged(one, incumbent, margin, watch, own) for one in tried)
    nearest = min(judged, key=_rank)
    return Choice(judged, None if nearest.floors else nearest, nearest)


def _judged(
    one: Tried, incumbent: Sequence[Scored], margin: float, watch: frozenset[str], own: Mapping[str, Margin]
) -> Judged:
    found = tuple(deltas(incumbent, one.scored))
    return Judged(one, _mean(one, incumbent), found, tuple(broken(found, margin, watch, own)))


def _mean(one: Tried, incumbent: Sequence[Scored]) -> float:
    both = list(zip(one.scored, incumbent, strict=True))
    return sum(new.case.weight * reward(new, old) for new, old in both) / sum(new.case.weight for new, _ in both)


def _rank(one: Judged) -> tuple[float, float, int, int]:
    worst = one.floors[0].short if one.floors else 0.0
    return round(worst, 9), -round(one.reward, 9), len(one.tried.text), one.tried.number
