"""A comparison as tables for a terminal: the decision first, then why, then what else changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from midshift.domain.gate import Decision
from midshift.domain.suite import AGGREGATE, ScoreRole
from midshift.domain.verdict import Outcome
from midshift.reports import judging, words
from midshift.reports.comparison import Comparison, Row, rows
from midshift.reports.text import visible
from midshift.shadow.drift import Finding
from midshift.stats.interval import Interval

_STYLES = {
    Outcome.SUPERIOR: ("green", "▲"),
    Outcome.PASS: ("green", "✔"),
    Outcome.FAIL: ("bold red", "✖"),
    Outcome.INCONCLUSIVE: ("yellow", "?"),
    Outcome.NO_DATA: ("yellow", "◌"),
    Outcome.ERROR: ("red", "⚠"),
}
_DECISION_STYLES = {
    Decision.PROCEED: "bold green",
    Decision.PROCEED_WITH_CAUTION: "bold yellow",
    Decision.COLLECT_MORE: "bold yellow",
    Decision.RETUNE: "bold red",
    Decision.STOP: "bold red",
}
_FOREST_CELLS = 21
_FOREST_FROM_WIDTH = 116
_EXAMPLES_FROM_WIDTH = 116
_INTERVAL_FROM_WIDTH = 105
_TROUBLES_SHOWN = 12


def show(comparison: Comparison, console: Console, full: bool = False) -> None:
    """Print the report; `full` adds the slices that say nothing new and the drift of every slice."""
    console.print(render(comparison, console.width, full))


def render(comparison: Comparison, width: int, full: bool = False) -> RenderableType:
    """The report as one renderable, for a terminal of `width` columns."""
    parts: list[RenderableType] = [_opening(comparison), _verdicts(comparison, width, full)]
    shown = list(comparison.findings) if full else _summarised(comparison.findings)
    if shown:
        parts.append(_drift(comparison, shown, width, full))
    return Group(*parts, _footnotes(comparison, full))


def _opening(comparison: Comparison) -> RenderableType:
    decision = comparison.ruling.decision
    first = Text.assemble(
        (words.TITLES[decision], _DECISION_STYLES[decision]), "  ", visible(words.headline(comparison), 400)
    )
    lines = [first]
    if comparison.is_simulated:
        lines.append(Text(visible(words.simulated_note(comparison), 400), "bold magenta"))
    lines += [Text(f"⚠ {visible(told, 400)}", "bold red") for told in comparison.taken_on]
    lines.append(Text(f"{visible(comparison.incumbent)} → {visible(comparison.candidate)}", "bold"))
    lines.append(Text(f"{visible(comparison.file)}: {visible(words.rows_read(comparison), 600)}", "dim"))
    troubles = words.troubles(comparison)
    lines += [Text(f"  {visible(told, 300)}", "yellow") for told in troubles[:_TROUBLES_SHOWN]]
    if len(troubles) > _TROUBLES_SHOWN:
        lines.append(Text(f"  and {len(troubles) - _TROUBLES_SHOWN} more kinds of trouble; --json has all", "yellow"))
    return Group(*lines, Text(""))


def _verdicts(comparison: Comparison, width: int, full: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("score / slice", no_wrap=True, max_width=30, overflow="ellipsis")
    shown = [row for row in rows(comparison) if full or not _is_mere_count(row)]
    clustered = any(_is_clustered(row) for row in shown)
    columns = ("n", *(("clusters",) if clustered else ()), "old", "new", "diff", f"{level(comparison)} bounds")
    for heading in (*columns, *(("m",) if comparison.own_margins else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    reach = _reach(comparison)
    forest = width >= _FOREST_FROM_WIDTH
    if forest:
        table.add_column(f"{words.MINUS}{reach:.0f} … +{reach:.0f} pt", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what it says" if full else "settled by")
    for row in shown:
        if row.slice == AGGREGATE and table.row_count:
            table.add_section()
        table.add_row(*_verdict_cells(row, comparison, reach if forest else None, clustered, full))
    return table


def _is_mere_count(row: Row) -> bool:
    """A contract's slice with nothing to report: kept out of the way unless asked for."""
    is_contract_slice = row.score.role is ScoreRole.CONTRACT and row.slice != AGGREGATE
    return is_contract_slice and row.verdict.outcome is not Outcome.FAIL


def _is_clustered(row: Row) -> bool:
    evidence = row.verdict.evidence
    return evidence is not None and evidence.interval.clusters < evidence.interval.n


def _verdict_cells(
    row: Row, comparison: Comparison, reach: float | None, clustered: bool, full: bool
) -> list[RenderableType]:
    style, glyph = _STYLES[row.verdict.outcome]
    margin = comparison.margin_of(row.slice)
    own = [Text(str(margin))] if comparison.own_margins else []
    is_aggregate = row.slice == AGGREGATE
    title = Text(visible(row.score.name), "bold") if is_aggregate else Text(f"  {visible(row.slice)}")
    verdict = Text(f"{glyph} {row.verdict.outcome.value}", style)
    said = Text(visible(row.verdict.reason if full else words.settled_by(row.verdict), 300))
    evidence = row.verdict.evidence
    if evidence is None:
        unknown = [Text(words.UNKNOWN, "dim")] * 4
        return [
            title,
            Text("0"),
            *([Text("0")] if clustered else []),
            *unknown,
            *own,
            *([Text("")] if reach else []),
            verdict,
            said,
        ]
    interval, scale = evidence.interval, row.score.range
    bounds = words.score_bounds(interval, scale)
    return [
        title,
        Text(f"{interval.n:,}"),
        *([Text(f"{interval.clusters:,}")] if clustered else []),
        Text(words.score_value(row, evidence.incumbent)),
        Text(words.score_value(row, evidence.candidate)),
        Text(words.score_change(interval.estimate, scale)),
        Text(bounds),
        *own,
        *([_forest(interval, margin.fraction, reach / 100.0, style)] if reach else []),
        verdict,
        said,
    ]


def level(comparison: Comparison) -> str:
    """The level of each bound, in words."""
    return f"{100 * (1 - comparison.alpha):.3g} %"


def _reach(comparison: Comparison) -> float:
    """Half the width of the forest's axis, in points: what the aggregates need, at least 5, at most 50."""
    ends = [
        100 * abs(end)
        for score in comparison.scores
        if score.aggregate.evidence
        for end in (score.aggregate.evidence.interval.low, score.aggregate.evidence.interval.high)
    ]
    needed = max(ends, default=5.0)
    return next((step for step in (5.0, 10.0, 20.0, 30.0, 50.0) if step >= needed), 50.0)


def _forest(interval: Interval, margin: float, reach: float, style: str) -> Text:
    """One row of a forest plot: `┊` the margin, `│` no difference, `├─●─┤` bounds and estimate, `‹` `›` cut."""
    low, estimate, high = interval.low, interval.estimate, interval.high

    def cell(value: float) -> int:
        return round((min(max(value, -reach), reach) + reach) / (2 * reach) * (_FOREST_CELLS - 1))

    cells = [" "] * _FOREST_CELLS
    cells[cell(-margin)], cells[cell(0.0)] = "┊", "│"
    for position in range(cell(low), cell(high) + 1):
        cells[position] = "─"
    cells[cell(low)], cells[cell(high)] = "├", "┤"
    cells[cell(estimate)] = "●"
    if low < -reach:
        cells[0] = "‹"
    if high > reach:
        cells[-1] = "›"
    return Text("".join(cells), style)


def _summarised(found: Sequence[Finding]) -> list[Finding]:
    """All cases together, for every metric that is flagged there or in a slice."""
    flagged = {(finding.kind, finding.metric) for finding in found if finding.flagged}
    return [finding for finding in found if finding.slice == AGGREGATE and (finding.kind, finding.metric) in flagged]


def _drift(comparison: Comparison, shown: Iterable[Finding], width: int, full: bool) -> Table:
    title = "drift" if full else "drift that is more than chance (Holm over all comparisons)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title, title_justify="left")
    table.add_column("kind", no_wrap=True, min_width=8)
    interval, examples = width >= _INTERVAL_FROM_WIDTH, width >= _EXAMPLES_FROM_WIDTH
    table.add_column("metric", max_width=28 if interval else 20, min_width=14, overflow="ellipsis", no_wrap=True)
    headings = [("old", 9), ("new", 9), ("change", 8), *([("95 % interval", 20)] if interval else [])]
    for heading, least in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=least)
    table.add_column("slice" if full else "flagged", overflow="fold", min_width=9)
    if examples:
        table.add_column("examples" if full else "example", overflow="fold", min_width=12)
    where = _flagged_slices(comparison.findings)
    for finding in shown:
        place = finding.slice if full else where[finding.kind.value, finding.metric]
        cells = (
            finding.kind.value,
            visible(finding.metric, 60),
            words.drift_value(finding.incumbent, finding.unit),
            words.drift_value(finding.candidate, finding.unit),
            words.drift_change(finding),
            *((words.drift_bounds(finding),) if interval else ()),
            visible(place, 120),
            *(
                (", ".join(visible(example, 40) for example in finding.examples[: 3 if full else 1]),)
                if examples
                else ()
            ),
        )
        style = "bold" if full and finding.flagged else "dim" if full else ""
        table.add_row(*(Text(cell, style) for cell in cells))
    return table


def _flagged_slices(found: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """For each metric, where it is flagged: `*, 3 of 5`."""
    slices = len({finding.slice for finding in found} - {AGGREGATE})
    where: dict[tuple[str, str], list[str]] = {}
    for finding in found:
        marks = where.setdefault((finding.kind.value, finding.metric), [])
        if finding.flagged:
            marks.append(finding.slice)
    return {key: _in_words(marks, slices) for key, marks in where.items()}


def _in_words(marks: Sequence[str], slices: int) -> str:
    named = [mark for mark in marks if mark != AGGREGATE]
    parts = [AGGREGATE] if AGGREGATE in marks else []
    if named:
        parts += named if len(named) == 1 else [f"{len(named)} of {slices}"]
    return ", ".join(parts)


def _footnotes(comparison: Comparison, full: bool) -> Text:
    looks = f", {said}" if (said := words.looks(comparison)) else ""
    weighted = "weighted by `weight`" if comparison.weighted else "means over cases"
    own = " (m: that of slices with their own)" if comparison.own_margins else ""
    quiet = sum(not finding.flagged for finding in comparison.findings)
    lines = [
        f"margin {comparison.margin} of each score's range{own}; one-sided {level(comparison)} bounds{looks}; "
        f"slices: Holm for FAIL; {weighted}",
        f"{AGGREGATE} is all cases; {len(comparison.flagged)} of {len(comparison.findings)} drift comparisons flagged"
        + ("" if full or not quiet else "; --full shows every slice of everything"),
        *(visible(judging.words(note), 800) for note in comparison.judges),
        *(visible(line, 400) for line in (() if comparison.seen is None else words.seen_in_tuning(comparison.seen))),
    ]
    return Text("\n".join(lines), "dim")
