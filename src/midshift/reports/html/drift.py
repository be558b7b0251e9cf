"""The drift of the page: each metric with its slices, and the picture of what moved over all cases.

Elsewhere: what was measured and flagged (shadow.drift), the scale of a picture (`axes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midshift.domain.suite import AGGREGATE
from midshift.reports import words
from midshift.reports.html.axes import Axis, Mark, axis_over, mark_on
from midshift.reports.html.naming import NAME_CHARS, listed, p_value, slice_name
from midshift.reports.text import visible
from midshift.shadow.drift import Finding, Kind, Unit

SLICES_OF_DRIFT = 100
"""One drift metric is listed for at most so many slices; the JSON form has all."""
_MOST_RELATIVE = 200.0


@dataclass(frozen=True, slots=True)
class _DriftRow:
    slice: str
    n: str
    flagged: bool
    reason: str
    incumbent: str
    candidate: str
    change: str
    interval: str
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Metric:
    """One metric of drift: for all cases, where it is flagged, and slice by slice."""

    name: str
    overall: _DriftRow | None
    where: str
    flagged_slices: int
    slices: int
    rows: Sequence[_DriftRow]


@dataclass(frozen=True, slots=True)
class _Moved:
    """One bar of the drift picture: the change from nothing to `mark.estimate`."""

    name: str
    incumbent: str
    candidate: str
    change: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class _Panel:
    """Bars that share a unit, and so an axis."""

    title: str
    axis: Axis
    bars: Sequence[_Moved]


def kinds(findings: Sequence[Finding]) -> list[tuple[str, list[_Metric]]]:
    """The metrics by kind, both in their own order."""
    by_metric: dict[tuple[Kind, str], list[Finding]] = {}
    for finding in findings:
        by_metric.setdefault((finding.kind, finding.metric), []).append(finding)
    return [
        (kind.value, [_metric(name, found) for (of, name), found in by_metric.items() if of is kind])
        for kind in Kind
        if any(of is kind for of, _ in by_metric)
    ]


def _metric(name: str, found: Sequence[Finding]) -> _Metric:
    overall = next((finding for finding in found if finding.slice == AGGREGATE), None)
    parts = [finding for finding in found if finding.slice != AGGREGATE]
    flagged = [finding.slice for finding in parts if finding.flagged]
    first = sorted(parts, key=lambda finding: not finding.flagged)[:SLICES_OF_DRIFT]
    shown = first if len(parts) > SLICES_OF_DRIFT else parts
    return _Metric(
        name=visible(name, NAME_CHARS),
        overall=None if overall is None else _drift_row(overall),
        where=listed(flagged, 3),
        flagged_slices=len(flagged),
        slices=len(parts),
        rows=[_drift_row(finding) for finding in shown],
    )


def _drift_row(finding: Finding) -> _DriftRow:
    return _DriftRow(
        slice=slice_name(finding.slice),
        n=f"{finding.interval.n:,}",
        flagged=finding.flagged,
        reason=visible(f"{finding.reason.partition(':')[0]}, {p_value(finding.p_adjusted)}"),
        incumbent=words.drift_value(finding.incumbent, finding.unit),
        candidate=words.drift_value(finding.candidate, finding.unit),
        change=words.drift_change(finding),
        interval=words.drift_bounds(finding),
        examples=[visible(example, 40) for example in finding.examples],
    )


def panels(findings: Sequence[Finding]) -> list[_Panel]:
    """The picture of what moved over all cases: shares in points, the rest relative to the incumbent."""
    moved = [finding for finding in findings if finding.flagged and finding.slice == AGGREGATE]
    shares = [(finding, 100.0) for finding in moved if finding.unit is Unit.SHARE]
    others = [
        (finding, 100.0 / finding.incumbent)
        for finding in moved
        if finding.unit is not Unit.SHARE and finding.incumbent > 0.0
    ]
    pictures = (
        ("Shares of answers, in points", shares, 100.0),
        ("Everything else, relative to the incumbent, in %", others, _MOST_RELATIVE),
    )
    return [_panel(title, scaled, most) for title, scaled, most in pictures if scaled]


def _panel(title: str, scaled: Sequence[tuple[Finding, float]], most: float) -> _Panel:
    ends = [
        min(max(factor * end, -100.0), most)
        for finding, factor in scaled
        for end in (finding.delta, finding.interval.low, finding.interval.high)
    ]
    axis = axis_over(min(0.0, *ends), max(0.0, *ends))
    bars = [
        _Moved(
            name=visible(finding.metric, NAME_CHARS),
            incumbent=words.drift_value(finding.incumbent, finding.unit),
            candidate=words.drift_value(finding.candidate, finding.unit),
            change=words.drift_change(finding),
            mark=mark_on(axis, factor * finding.interval.low, factor * finding.delta, factor * finding.interval.high),
        )
        for finding, factor in scaled
    ]
    return _Panel(title, axis, bars)
