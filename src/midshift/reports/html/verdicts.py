"""The verdicts of the page: a group for each score, its table and its forest plot.

A plot of very many slices shows the worst; the table under it has all.
Elsewhere: what a verdict is (domain.verdict), the scale of a plot (`axes`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from midshift.domain.gate import ScoreVerdict
from midshift.domain.suite import AGGREGATE, Margin, ScoreRole, SliceRole
from midshift.domain.verdict import Outcome, Verdict
from midshift.reports import words
from midshift.reports.comparison import Comparison, Row, rows
from midshift.reports.html.axes import Axis, Mark, axis_over, mark_on
from midshift.reports.html.naming import NAME_CHARS, p_value, slice_name
from midshift.reports.text import visible

SLICES_DRAWN = 40
"""The forest plot of one score draws at most so many slices; the table under it has all."""
_WORST_FIRST = (
    Outcome.FAIL,
    Outcome.ERROR,
    Outcome.INCONCLUSIVE,
    Outcome.NO_DATA,
    Outcome.PASS,
    Outcome.SUPERIOR,
)


@dataclass(frozen=True, slots=True)
class _VerdictRow:
    name: str
    is_aggregate: bool
    role: str
    outcome: Outcome
    reason: str
    n: str
    clusters: str
    needs: str
    incumbent: str
    candidate: str
    change: str
    bounds: str
    points: str
    points_bounds: str
    chance: str
    margin: str
    has_own_margin: bool
    ground: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class _ScoreGroup:
    name: str
    role: str
    scale: str
    tally: Sequence[tuple[Outcome, int]]
    slices: int
    drawn: Sequence[_VerdictRow]
    rows: Sequence[_VerdictRow]


def forest_axis(comparison: Comparison) -> Axis:
    """One scale for all scores, in points: every estimate, the bounds of all cases, and most bounds of slices."""
    widest = max([comparison.margin, *comparison.own_margins.values()], key=lambda margin: margin.points).points
    needed = [0.0, -1.5 * widest, 0.5 * widest]
    lows, highs = [0.0], [0.0]
    for row in rows(comparison):
        if row.verdict.evidence is None:
            continue
        interval = row.verdict.evidence.interval
        low, high = max(100 * interval.low, -100.0), min(100 * interval.high, 100.0)
        needed.append(100 * interval.estimate)
        if row.slice == AGGREGATE:
            needed += [low, high]
        else:
            lows.append(low)
            highs.append(high)
    extreme = len(lows) // 10  # a tenth may leave the axis, so that one slice of three cases does not flatten the rest
    return axis_over(min(*needed, sorted(lows)[extreme]), max(*needed, sorted(highs)[-1 - extreme]))


def own_grounds(comparison: Comparison, axis: Axis) -> dict[str, float]:
    """The further grounds, by id, with the place of their margin."""
    margins = {_ground(margin, comparison): axis.at(-margin.points) for margin in comparison.own_margins.values()}
    return {name: at for name, at in sorted(margins.items()) if name != "forest-ground"}


def group(score: ScoreVerdict, axis: Axis, comparison: Comparison) -> _ScoreGroup:
    """One score: all cases, its slices, and which of them the plot shows."""
    scale = score.score.range
    shown = [_verdict_row(Row(score.score, AGGREGATE, score.aggregate), score.score.role, axis, comparison)]
    shown += [
        _verdict_row(Row(score.score, part.slice.name, part.verdict), part.slice.role, axis, comparison)
        for part in score.slices
    ]
    tally = Counter(part.verdict.outcome for part in score.slices)
    unit = "means in per cent, differences in points"
    if not scale.is_unit:
        unit = f"in its own unit; 1 point is {scale.width / 100:g}, the margin {comparison.margin.of(scale):g}"
    return _ScoreGroup(
        name=visible(score.score.name, NAME_CHARS),
        role=score.score.role.value,
        scale=f"{scale}, {unit}",
        tally=[(outcome, tally[outcome]) for outcome in _WORST_FIRST if outcome in tally],
        slices=len(score.slices),
        drawn=[shown[0], *(shown[index + 1] for index in _drawn(score))],
        rows=shown,
    )


def _drawn(score: ScoreVerdict) -> list[int]:
    """Which slices the plot shows, in the order of the table: all, or the worst where there are too many."""
    everything = range(len(score.slices))
    worst = sorted(everything, key=lambda index: _how_bad(score.slices[index].verdict))
    return sorted(worst[:SLICES_DRAWN])


def _how_bad(verdict: Verdict) -> tuple[int, float]:
    low = verdict.evidence.interval.low if verdict.evidence else 0.0
    return _WORST_FIRST.index(verdict.outcome), low


def _verdict_row(row: Row, role: ScoreRole | SliceRole, axis: Axis, comparison: Comparison) -> _VerdictRow:
    margin = comparison.margin_of(row.slice)
    verdict, evidence, scale = row.verdict, row.verdict.evidence, row.score.range
    known = dict.fromkeys(("incumbent", "candidate", "change", "bounds", "points", "points_bounds"), words.UNKNOWN)
    # NO_DATA says that no case has the score; an ERROR does not say how many have.
    known |= dict.fromkeys(("n", "clusters"), "0" if verdict.outcome is Outcome.NO_DATA else words.UNKNOWN)
    needs = chance = ""
    mark = None
    if evidence is not None:
        interval = evidence.interval
        low, high = _finite(interval.low), _finite(interval.high)
        known = {
            "n": f"{interval.n:,}",
            "clusters": f"{interval.clusters:,}",
            "incumbent": words.score_value(row, evidence.incumbent),
            "candidate": words.score_value(row, evidence.candidate),
            "change": words.score_change(interval.estimate, scale),
            "bounds": words.score_bounds(interval, scale),
            "points": _points(interval.estimate),
            "points_bounds": f"{_points(None if low is None else words.outwards(low))} to {_points(high)}",
        }
        chance = p_value(evidence.p_adjusted)
        if evidence.family > 1:
            chance += f" after Holm over {evidence.family:,}"
        if verdict.outcome is Outcome.INCONCLUSIVE and evidence.needs_n is not None:
            needs = f"{evidence.needs_n:,}"
        mark = mark_on(axis, 100 * interval.low, 100 * interval.estimate, 100 * interval.high)
    return _VerdictRow(
        name=slice_name(row.slice),
        is_aggregate=row.slice == AGGREGATE,
        role=role.value,
        outcome=verdict.outcome,
        reason=visible(verdict.reason, 400),
        needs=needs,
        chance=chance,
        margin=str(margin),
        has_own_margin=margin != comparison.margin,
        ground=_ground(margin, comparison),
        mark=mark,
        **known,
    )


def _ground(margin: Margin, comparison: Comparison) -> str:
    """What a row stands on, with the line of its margin: an id in the page."""
    return "forest-ground" if margin == comparison.margin else f"forest-ground-{margin.points:g}"


def _points(change: float | None) -> str:
    return words.UNKNOWN if change is None else words.signed(100 * change, 1)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
