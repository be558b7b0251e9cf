"""A comparison as one self-contained page: the decision first, then why, then what else changed.

Decides what is drawn and where. Promises: no script, no address outside the file, foreign text only as text, and the
same bytes for the same comparison. A file of very many slices is drawn in part, and the page says which part.
Elsewhere: wording (`words`), harmless text (`text`), layout and colour (the files in `templates/`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from midshift import __version__
from midshift.domain.gate import Decision, ScoreVerdict
from midshift.domain.suite import AGGREGATE, Margin, ScoreRole, SliceRole
from midshift.domain.verdict import MIN_CLUSTERS, Outcome, Verdict
from midshift.reports import judging, words
from midshift.reports.comparison import FORMAT, Comparison, Row, rows
from midshift.reports.text import visible
from midshift.shadow.drift import ALPHA as DRIFT_ALPHA
from midshift.shadow.drift import Finding, Kind, Unit

SLICES_DRAWN = 40
"""The forest plot of one score draws at most so many slices; the table under it has all."""
SLICES_OF_DRIFT = 100
"""One drift metric is listed for at most so many slices; the JSON form has all."""
_NAMES_LISTED = 12
_SMALLEST_P = 0.001
_NAME_CHARS = 120
_STEPS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0)
_MOST_TICKS = 8
_MOST_RELATIVE = 200.0

_WORST_FIRST = (
    Outcome.FAIL,
    Outcome.ERROR,
    Outcome.INCONCLUSIVE,
    Outcome.NO_DATA,
    Outcome.PASS,
    Outcome.SUPERIOR,
)
_RULES = {
    Decision.PROCEED: "All cases together and every slice are shown to be no worse than the margin allows.",
    Decision.PROCEED_WITH_CAUTION: "All cases together clear the gate; some slices do not, or there are none to judge.",
    Decision.COLLECT_MORE: "These data do not decide: the gate for all cases together is neither cleared nor failed.",
    Decision.RETUNE: "All cases or a critical slice FAIL, or all cases lean worse beyond the margin: "
    "re-tune, then compare again.",
    Decision.STOP: "Re-tuning has spent its budget, and the condition that asked for it still holds.",
}


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from `low` to `high`; positions on it are per cent of the plot's width."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Where a value lies; beyond an end, at that end."""
        return 100.0 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[Tick]:
        """From end to end; every other one, counted from nought, is minor."""
        numbers = range(round(self.low / self.step), round(self.high / self.step) + 1)
        digits = 0 if self.step >= 1.0 else 1
        return [Tick(self.at(n * self.step), words.signed(n * self.step, digits), n % 2 == 1) for n in numbers]


@dataclass(frozen=True, slots=True)
class Tick:
    """One label of an axis, in per cent of the width; a minor one is left out where there is little room."""

    at: float
    label: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of a plot: the estimate between its bounds, in per cent of the width; `cut` where a bound is off it."""

    low: float
    estimate: float
    high: float
    cut_low: bool
    cut_high: bool


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


def render(comparison: Comparison) -> str:
    """The page, as text to be written in UTF-8."""
    axis = _forest_axis(comparison)
    return _TEMPLATES.get_template("report.html.j2").render(
        title=words.TITLES[comparison.ruling.decision],
        decision=comparison.ruling.decision.value,
        headline=visible(words.headline(comparison), 600),
        rule=_RULES[comparison.ruling.decision],
        regressed=_regressed(comparison),
        unproven=_by_score(comparison.ruling.unproven),
        simulated=comparison.is_simulated,
        simulated_note=visible(words.simulated_note(comparison), 400),
        taken_on=[visible(told, 400) for told in comparison.taken_on],
        incumbent=visible(comparison.incumbent),
        candidate=visible(comparison.candidate),
        file=visible(comparison.file, 400),
        made_at=comparison.made_at.isoformat(),
        made=f"{comparison.made_at:%Y-%m-%d %H:%M %Z}".strip(),
        read=visible(words.rows_read(comparison), 2000),
        blank=comparison.ledger.blank,
        troubles=[visible(told, 600) for told in words.troubles(comparison)],
        axis=axis,
        margin=str(comparison.margin),
        margin_label=f"{words.MINUS}{comparison.margin.points:g}",
        margin_at=axis.at(-comparison.margin.points),
        own_grounds=_own_grounds(comparison, axis),
        own_margins=bool(comparison.own_margins),
        groups=[_group(score, axis, comparison) for score in comparison.scores],
        judges=[visible(judging.words(note), 800) for note in comparison.judges],
        kinds=_kinds(comparison.findings),
        panels=_panels(comparison.findings),
        flagged=len(comparison.flagged),
        compared=len(comparison.findings),
        level=_per_cent(1.0 - comparison.alpha),
        alpha=_per_cent(comparison.alpha),
        total_alpha=_per_cent(comparison.alpha * comparison.look.planned * 2**comparison.look.further),
        looks=words.looks(comparison),
        seen=[visible(line, 400) for line in words.seen_in_tuning(comparison.seen)] if comparison.seen else [],
        drift_level=_per_cent(1.0 - DRIFT_ALPHA),
        drift_alpha=_per_cent(DRIFT_ALPHA),
        look=comparison.look,
        weighted=comparison.weighted,
        methods=sorted({str(row.verdict.evidence.interval.method) for row in rows(comparison) if row.verdict.evidence}),
        min_clusters=MIN_CLUSTERS,
        outcomes=Outcome,
        version=__version__,
        format=FORMAT,
    )


def _regressed(comparison: Comparison) -> list[tuple[str, str]]:
    """Everything that FAILs, all cases included; the ruling lists slices alone."""
    failed = [(row.score.name, row.slice) for row in rows(comparison) if row.verdict.outcome is Outcome.FAIL]
    return _by_score(failed)


def _by_score(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(score, its slices in words)."""
    by_score: dict[str, list[str]] = {}
    for score, part in items:
        by_score.setdefault(score, []).append(part)
    return [(visible(score, _NAME_CHARS), _listed(parts, _NAMES_LISTED)) for score, parts in by_score.items()]


def _listed(slices: Sequence[str], most: int) -> str:
    more = len(slices) - most
    return ", ".join(_slice_name(name) for name in slices[:most]) + (f" and {more:,} more" if more > 0 else "")


def _slice_name(name: str) -> str:
    return "all cases" if name == AGGREGATE else visible(name, _NAME_CHARS)


# Verdicts


def _group(score: ScoreVerdict, axis: Axis, comparison: Comparison) -> _ScoreGroup:
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
        name=visible(score.score.name, _NAME_CHARS),
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
        chance = _p(evidence.p_adjusted)
        if evidence.family > 1:
            chance += f" after Holm over {evidence.family:,}"
        if verdict.outcome is Outcome.INCONCLUSIVE and evidence.needs_n is not None:
            needs = f"{evidence.needs_n:,}"
        mark = _mark(axis, 100 * interval.low, 100 * interval.estimate, 100 * interval.high)
    return _VerdictRow(
        name=_slice_name(row.slice),
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


def _own_grounds(comparison: Comparison, axis: Axis) -> dict[str, float]:
    """The further grounds, by id, with the place of their margin."""
    margins = {_ground(margin, comparison): axis.at(-margin.points) for margin in comparison.own_margins.values()}
    return {name: at for name, at in sorted(margins.items()) if name != "forest-ground"}


def _points(change: float | None) -> str:
    return words.UNKNOWN if change is None else words.signed(100 * change, 1)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _p(value: float) -> str:
    said = f"p = {value:.2g}" if value >= _SMALLEST_P else f"p < {_SMALLEST_P:g}"
    return said.replace(" ", "\u00a0")


def _per_cent(share: float) -> str:
    return f"{100 * share:.4g} %"


# Geometry


def _forest_axis(comparison: Comparison) -> Axis:
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
    return _axis(min(*needed, sorted(lows)[extreme]), max(*needed, sorted(highs)[-1 - extreme]))


def _axis(low: float, high: float) -> Axis:
    """The finest scale of few ticks that holds both values, nought among its ticks."""
    for step in _STEPS:
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= _MOST_TICKS:
            break
    return Axis(first * step, max(last, first + 1) * step, step)


def _mark(axis: Axis, low: float, estimate: float, high: float) -> Mark:
    return Mark(axis.at(low), axis.at(estimate), axis.at(high), low < axis.low, high > axis.high)


# Drift


def _kinds(findings: Sequence[Finding]) -> list[tuple[str, list[_Metric]]]:
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
    listed = first if len(parts) > SLICES_OF_DRIFT else parts
    return _Metric(
        name=visible(name, _NAME_CHARS),
        overall=None if overall is None else _drift_row(overall),
        where=_listed(flagged, 3),
        flagged_slices=len(flagged),
        slices=len(parts),
        rows=[_drift_row(finding) for finding in listed],
    )


def _drift_row(finding: Finding) -> _DriftRow:
    return _DriftRow(
        slice=_slice_name(finding.slice),
        n=f"{finding.interval.n:,}",
        flagged=finding.flagged,
        reason=visible(f"{finding.reason.partition(':')[0]}, {_p(finding.p_adjusted)}"),
        incumbent=words.drift_value(finding.incumbent, finding.unit),
        candidate=words.drift_value(finding.candidate, finding.unit),
        change=words.drift_change(finding),
        interval=words.drift_bounds(finding),
        examples=[visible(example, 40) for example in finding.examples],
    )


def _panels(findings: Sequence[Finding]) -> list[_Panel]:
    """The picture of what moved over all cases: shares in points, the rest relative to the incumbent."""
    moved = [finding for finding in findings if finding.flagged and finding.slice == AGGREGATE]
    shares = [(finding, 100.0) for finding in moved if finding.unit is Unit.SHARE]
    others = [
        (finding, 100.0 / finding.incumbent)
        for finding in moved
        if finding.unit is not Unit.SHARE and finding.incumbent > 0.0
    ]
    panels = (
        ("Shares of answers, in points", shares, 100.0),
        ("Everything else, relative to the incumbent, in %", others, _MOST_RELATIVE),
    )
    return [_panel(title, scaled, most) for title, scaled, most in panels if scaled]


def _panel(title: str, scaled: Sequence[tuple[Finding, float]], most: float) -> _Panel:
    ends = [
        min(max(factor * end, -100.0), most)
        for finding, factor in scaled
        for end in (finding.delta, finding.interval.low, finding.interval.high)
    ]
    axis = _axis(min(0.0, *ends), max(0.0, *ends))
    bars = [
        _Moved(
            name=visible(finding.metric, _NAME_CHARS),
            incumbent=words.drift_value(finding.incumbent, finding.unit),
            candidate=words.drift_value(finding.candidate, finding.unit),
            change=words.drift_change(finding),
            mark=_mark(axis, factor * finding.interval.low, factor * finding.delta, factor * finding.interval.high),
        )
        for finding, factor in scaled
    ]
    return _Panel(title, axis, bars)


# Templates


def _fence(value: object) -> object:
    """The last fence before the page: no expression of a template prints a control or an override."""
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return visible(value, len(value))
    return value


def _breakable(name: str) -> Markup:
    """A name that may be broken behind an underscore, which browsers do not do."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _place(per_cent: float) -> str:
    return f"{per_cent:.2f}%"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("midshift.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fence,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "place": _place}
    return environment


_TEMPLATES = _environment()
