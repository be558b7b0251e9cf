"""Preflight on a terminal and as plain values; and what is known of one model.

What is not known has its own place, and a report never ends in more than it found out. Values from requests are shown
in words and made harmless.
Elsewhere: finding out (providers.preflight), what to paste (providers.preflight_remedy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from midshift.domain.variant import Variant
from midshift.providers.capabilities import NAMES, Capabilities, Evidence, Fact, Value
from midshift.providers.preflight import PreflightReport, Row
from midshift.providers.preflight_remedy import Remedy
from midshift.providers.preflight_rules import Outcome
from midshift.reports.text import visible

FORMAT = "midshift.preflight/1"
_STYLES = {
    Outcome.FATAL: "bold red",
    Outcome.UNKNOWN: "yellow",
    Outcome.TRANSLATED: "cyan",
    Outcome.CLAMPED: "cyan",
    Outcome.DROPPED: "cyan",
    Outcome.OK: "green",
}


def render(report: PreflightReport, variant: Variant, remedy: Remedy) -> RenderableType:
    """The whole report."""
    parts: list[RenderableType] = [_opening(report, variant)]
    shown = [row for row in report.rows if row.outcome is not Outcome.OK]
    sources = dict.fromkeys((row.evidence, row.source) for row in shown if row.evidence is not None)
    numbers = {source: number for number, source in enumerate(sources, start=1)}
    if shown:
        parts.append(_table(shown, numbers))
    parts.extend(_source_line(number, *source) for source, number in numbers.items())
    fine = [visible(row.field) for row in report.rows if row.outcome is Outcome.OK]
    if fine:
        parts.append(Text(f"ok: {', '.join(dict.fromkeys(fine))}", "dim"))
    parts.extend(Text(f"{sign} {note}") for sign, note in _remarks(report, remedy))
    return Group(*parts)


def params_block(remedy: Remedy) -> str:
    """The parameters as they go into a variant's file."""
    return yaml.safe_dump({"params": dict(remedy.params)}, default_flow_style=None, sort_keys=False, width=110)


def document(report: PreflightReport, variant: Variant, remedy: Remedy) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "format": FORMAT,
        "provider": variant.provider,
        "model": variant.model,
        "variant": variant.id,
        "requests": report.requests,
        "worst": {outcome.value: report.worst.get(outcome, 0) for outcome in Outcome},
        "rows": [_record(row) for row in report.rows],
        "params": dict(remedy.params) or None,
        "notes": list(remedy.notes),
    }


def render_capabilities(capabilities: Capabilities) -> RenderableType:
    """What is known of a model, with where it is from; and what is not."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("capability", no_wrap=True, min_width=max(map(len, NAMES)))
    table.add_column("value", overflow="fold")
    table.add_column("as of", no_wrap=True, min_width=10)
    table.add_column("from", no_wrap=True, min_width=4)
    known = [(name, fact) for name in NAMES if (fact := capabilities.fact(name)).value is not None]
    sources = dict.fromkeys((fact.evidence, fact.source) for _, fact in known)
    numbers = {source: number for number, source in enumerate(sources, start=1)}
    for name, fact in known:
        as_of = "" if fact.as_of is None else fact.as_of.isoformat()
        table.add_row(name, _value(fact), as_of, Text(f"[{numbers[fact.evidence, fact.source]}]"))
    unknown = [name for name in NAMES if capabilities.fact(name).value is None]
    title = Text(f"{visible(capabilities.provider)}/{visible(capabilities.model)}", "bold")
    lines = [_source_line(number, *source) for source, number in numbers.items()]
    return Group(title, table, *lines, Text(f"not known: {', '.join(unknown)}", "yellow"))


def capabilities_document(capabilities: Capabilities) -> dict[str, Any]:
    """The same as plain values; what is not known is null."""
    return {
        "format": "midshift.model-capabilities/1",
        "provider": capabilities.provider,
        "model": capabilities.model,
        "facts": {name: _fact(capabilities.fact(name)) for name in NAMES},
    }


def _opening(report: PreflightReport, variant: Variant) -> Text:
    counts = [f"{report.worst[outcome]} {outcome.value}" for outcome in reversed(Outcome) if report.worst.get(outcome)]
    name = f"{visible(variant.provider)}/{visible(variant.model)}"
    return Text.assemble((f"{report.requests:,} requests → {name}", "bold"), f": {', '.join(counts)}")


def _source_line(number: int, evidence: Evidence, source: str) -> Text:
    return Text(f"[{number}] {evidence.in_words}: {visible(source, 200)}", "dim")


def _table(rows: Iterable[Row], numbers: Mapping[tuple[Evidence, str], int]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("field", overflow="fold")
    table.add_column("outcome")
    table.add_column("requests", justify="right")
    table.add_column("why", overflow="fold")
    table.add_column("for example", overflow="fold")
    for row in rows:
        name, value = row.examples[0]
        number = None if row.evidence is None else numbers[row.evidence, row.source]
        why = Text(f"{visible(row.why, 300)}{'' if number is None else f' [{number}]'}")
        outcome = Text(row.outcome.value, _STYLES[row.outcome])
        example = f"{visible(value, 40)} in {visible(name, 24)}"
        table.add_row(visible(row.field), outcome, f"{row.count:,}", why, example)
    return table


def _remarks(report: PreflightReport, remedy: Remedy) -> Iterable[tuple[str, str]]:
    for note in remedy.notes:
        yield "→", visible(note, 300)
    unknown = report.worst.get(Outcome.UNKNOWN, 0)
    if unknown and not report.is_fatal:
        yield "?", f"nothing is known to be refused, but {unknown} of {report.requests} requests hold what is not known"


def _record(row: Row) -> dict[str, Any]:
    return {
        "field": row.field,
        "outcome": row.outcome.value,
        "requests": row.count,
        "rule": row.rule or None,
        "why": row.why or None,
        "by_variant": row.by_variant,
        "source": row.source or None,
        "evidence": None if row.evidence is None else row.evidence.value,
        "advice": row.advice or None,
        "examples": [{"id": name, "value": value} for name, value in row.examples],
    }


def _fact(fact: Fact[Value]) -> dict[str, Any] | None:
    if fact.value is None:
        return None
    value = list(fact.value) if isinstance(fact.value, tuple) else fact.value
    as_of = None if fact.as_of is None else fact.as_of.isoformat()
    return {"value": value, "source": fact.source, "as_of": as_of, "evidence": fact.evidence.value}


def _value(fact: Fact[Value]) -> str:
    match fact.value:
        case bool():
            return "yes" if fact.value else "no"
        case int():
            return f"{fact.value:,}"
        case tuple():
            return ", ".join(fact.value)
        case _:
            return str(fact.value)
