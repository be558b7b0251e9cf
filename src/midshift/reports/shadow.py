"""What shadow pairs show, as tables and as plain values: signed drift, and divergence net of the incumbent's own.

Elsewhere: measuring (shadow.drift, shadow.divergence), comparisons from a file (comparison, terminal).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from midshift.domain.suite import AGGREGATE
from midshift.reports import words
from midshift.reports.comparison import finding_record
from midshift.reports.text import visible
from midshift.shadow.divergence import ALPHA, FEWEST, Divergence
from midshift.shadow.drift import Finding

FORMAT = "midshift.shadow/1"
_NAME_WHOLE = 26
"""Names up to so many characters stand on one line; longer ones are wrapped. None is cut: people type them."""


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What the pairs of one upgrade show; its variants by name."""

    workload: str
    upgrade: str
    incumbent: str
    candidate: str
    findings: Sequence[Finding]
    divergences: Sequence[Divergence]
    noise_pairs: int | None = None
    """How many noise pairs there are, with texts or without; None if nobody counted."""


def document(report: ShadowReport) -> dict[str, Any]:
    """As plain values."""
    return {
        "format": FORMAT,
        "workload": report.workload,
        "upgrade": report.upgrade,
        "incumbent": report.incumbent,
        "candidate": report.candidate,
        "drift": [finding_record(finding) for finding in report.findings],
        "divergence": [_divergence_record(item) for item in report.divergences],
        "no_divergence_because": why_none(report),
    }


def render(report: ShadowReport) -> RenderableType:
    """What is flagged, and what is left of the difference; all of it is in the plain values."""
    title = f"{visible(report.workload)}: {visible(report.incumbent)} → {visible(report.candidate)}"
    return Group(Text.assemble((title, "bold"), f"  {report.upgrade}"), _drift(report.findings), _net(report))


def _drift(findings: Sequence[Finding]) -> RenderableType:
    flagged = [finding for finding in findings if finding.flagged]
    if not flagged:
        return Text(f"drift: none of {len(findings):,} comparisons shows more than chance")
    names = [f"{finding.kind.value}:{visible(finding.metric, 300)}" for finding in flagged]
    table = _table("drift beyond chance; what is welcome: midshift upgrade waive WORKLOAD drift:METRIC --why WHY")
    table.add_column("metric", no_wrap=True)
    for column in ("slice", "pairs", "old", "new", "change", "95 %"):
        table.add_column(column, overflow="fold")
    for name, finding in zip(names, flagged, strict=True):
        cells = (
            "\n".join(textwrap.wrap(name, _NAME_WHOLE, break_on_hyphens=False)),
            visible(finding.slice),
            f"{finding.interval.n:,}",
            words.drift_value(finding.incumbent, finding.unit),
            words.drift_value(finding.candidate, finding.unit),
            words.drift_change(finding),
            words.drift_bounds(finding),
        )
        table.add_row(*map(Text, cells))
    return table


def why_none(report: ShadowReport) -> str | None:
    """Why no divergence is shown; None where one is."""
    if report.divergences:
        return None
    if report.noise_pairs:
        return (
            f"{report.noise_pairs:,} noise pairs, and fewer than {FEWEST} requests of which all answers were kept as "
            "texts: divergence compares texts (data: {capture: {texts: 5%, keep: 14d}} in midshift.yaml)"
        )
    return (
        "no noise pairs yet (upgrade: {noise: 2%} in midshift.yaml), so nobody knows how much of the "
        "difference is the incumbent's own randomness"
    )


def _net(report: ShadowReport) -> RenderableType:
    reason, divergences = why_none(report), report.divergences
    if reason is not None:
        return Text(f"divergence: {reason}")
    header = ("metric", "slice", "requests", "from itself", "from candidate", "net", "95 %")
    table = _table("divergence, net of the incumbent's own randomness", *header)
    reasons = []
    for item in divergences:
        if item.slice == AGGREGATE or item.p_adjusted < ALPHA:
            cells = (
                item.metric.value,
                visible(item.slice),
                f"{item.net.n:,}",
                f"{item.incumbent:.3f}",
                f"{item.candidate:.3f}",
                f"{item.net.estimate:+.3f}",
                f"{item.net.low:+.3f} to {item.net.high:+.3f}",
            )
            table.add_row(*map(Text, cells))
            reasons.append(Text(f"{item.metric.value}, {visible(item.slice)}: {item.reason}"))
    return Group(table, *reasons)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _divergence_record(item: Divergence) -> dict[str, Any]:
    return {
        "metric": item.metric.value,
        "slice": item.slice,
        "n": item.net.n,
        "clusters": item.net.clusters,
        "incumbent": item.incumbent,
        "candidate": item.candidate,
        "net": item.net.estimate,
        "low": item.net.low if math.isfinite(item.net.low) else None,
        "high": item.net.high if math.isfinite(item.net.high) else None,
        "own_share": item.own_share,
        "p": item.p,
        "p_adjusted": item.p_adjusted,
        "reason": item.reason,
    }
