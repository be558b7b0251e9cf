"""The retirement radar as a table, as plain values, and as metrics for Prometheus.

Every date stands with its source and age, and every model with why it fits or does not.
Elsewhere: the verdicts (domain.retirement).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from midshift.domain.retirement import FitVerdict, Retirement, Sighting, Source, State, worst
from midshift.reports.text import visible

FORMAT = "midshift.radar/1"

_STYLES = {
    FitVerdict.CLEAR: ("✔", "green"),
    FitVerdict.TIGHT: ("⚠", "yellow"),
    FitVerdict.TOO_LATE: ("✖", "bold red"),
    FitVerdict.UNKNOWN: ("?", "yellow"),
}
_USES_SHOWN = 6
_TITLES = {
    FitVerdict.CLEAR: "every model outlives the end of soak",
    FitVerdict.TIGHT: "every model outlives the end of soak, some by less than a week",
    FitVerdict.TOO_LATE: "a model does not outlive the end of soak",
    FitVerdict.UNKNOWN: "of some models nobody can say whether they outlive the end of soak",
}


def render(sightings: Sequence[Sighting], today: date) -> RenderableType:
    """The table, the most urgent first, and below it what is behind each line."""
    if not sightings:
        return Text("no model in the files. Type next: midshift check")
    ordered = sorted(sightings, key=_urgency)
    verdict = worst(item.fit.verdict for item in ordered)
    glyph, style = _STYLES[verdict]
    opening = Text(f"{glyph} {_TITLES[verdict]}", style)
    return Group(opening, _table(ordered, today), *(line for item in ordered for line in _details(item)))


def document(sightings: Sequence[Sighting], now: datetime) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "format": FORMAT,
        "now": now.isoformat(),
        "verdict": worst(item.fit.verdict for item in sightings).value,
        "models": [_record(item, now.date()) for item in sightings],
    }


def metrics(sightings: Sequence[Sighting], now: datetime) -> str:
    """A textfile for node_exporter, in Prometheus' text format. A number that is not known has no sample."""
    labels = [(item, _labels(item.retirement)) for item in sightings]
    left = [(label, item.fit.days_left) for item, label in labels]
    spare = [(label, item.fit.days_spare) for item, label in labels]
    known = [(label, int(_is_known(item.retirement))) for item, label in labels]
    families = (
        ("midshift_model_days_left", "Days until the model shuts down; absent where no date is known.", left),
        ("midshift_model_days_spare", "Days between the end of soak and the shutdown; 0 or less is too late.", spare),
        ("midshift_model_retirement_known", "Whether a shutdown date is known, or the model is retired.", known),
        ("midshift_radar_last_look_seconds", "Unix time of this look.", [("", int(now.timestamp()))]),
    )
    return "".join(line for name, words, samples in families for line in _family(name, words, samples))


def age(retirement: Retirement, today: date) -> str:
    """How old the source's word is, for people."""
    days = retirement.age_days(today)
    if days is None:
        return ""
    return {0: "read today", 1: "1 day old"}.get(days, f"{days} days old")


def _urgency(item: Sighting) -> tuple[int, int, str]:
    order = (FitVerdict.TOO_LATE, FitVerdict.UNKNOWN, FitVerdict.TIGHT, FitVerdict.CLEAR)
    left = item.fit.days_left
    return order.index(item.fit.verdict), 10**6 if left is None else left, str(item.retirement.name)


def _table(ordered: Sequence[Sighting], today: date) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=20)
    table.add_column("shuts down", no_wrap=True)
    for heading in ("left", "spare"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("says", no_wrap=True)
    for item in ordered:
        glyph, style = _STYLES[item.fit.verdict]
        found = item.retirement
        table.add_row(
            Text(glyph, style),
            Text(visible(str(found.name), 120), style),
            Text(_ending(found)),
            Text(_number(item.fit.days_left)),
            Text(_number(item.fit.days_spare)),
            Text(_says(found, today), "" if found.shuts_down_on else "dim"),
        )
    return table


def _details(item: Sighting) -> Iterator[RenderableType]:
    found = item.retirement
    glyph, style = _STYLES[item.fit.verdict]
    yield Text(f"{glyph} {visible(str(found.name), 120)}: {visible(item.fit.words, 400)}", style)
    for words, colour in _lines(item, found):
        yield Padding(Text(visible(words, 500), colour), (0, 0, 0, 4))


def _lines(item: Sighting, found: Retirement) -> Iterator[tuple[str, str]]:
    for other in found.others:
        yield f"⚠ {other}", "yellow"
    uses = [
        f"{use.by} as {use.role.value.replace('_', ' ')} until {use.end_of_soak}" for use in item.uses[:_USES_SHOWN]
    ]
    more = [f"{len(item.uses) - _USES_SHOWN} more"] if len(item.uses) > _USES_SHOWN else []
    yield f"needed by {', '.join(uses + more)}", "dim"
    if found.replacement:
        yield f"replacement: {found.replacement}", "dim"
    if found.origin and found.source is not Source.USER:
        yield f"{found.source.words}: {found.origin}", "dim"
    yield from ((note, "dim") for note in found.notes)


def _says(found: Retirement, today: date) -> str:
    return "" if found.source is Source.NOBODY else f"{found.source.words}, {age(found, today)}"


def _record(item: Sighting, today: date) -> dict[str, Any]:
    found, fit, notice = item.retirement, item.fit, item.retirement.notice
    return {
        "provider": found.provider,
        "model": found.model,
        "state": found.state.value,
        "shuts_down_on": _iso(found.shuts_down_on),
        "days_left": fit.days_left,
        "days_spare": fit.days_spare,
        "verdict": fit.verdict.value,
        "words": fit.words,
        "end_of_soak": item.end_of_soak.isoformat(),
        "used_by": [
            {"by": use.by, "role": use.role.value, "end_of_soak": use.end_of_soak.isoformat()} for use in item.uses
        ],
        "source": found.source.value,
        "origin": found.origin or None,
        "as_of": _iso(found.as_of),
        "age_days": found.age_days(today),
        "replacement": found.replacement,
        "callable": found.callable,
        "notice": None
        if notice is None
        else {"at_least_days": notice.at_least.days, "words": notice.words, "origin": notice.origin},
        "others": list(found.others),
        "notes": list(found.notes),
    }


def _family(name: str, words: str, samples: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    yield f"# HELP {name} {words}\n# TYPE {name} gauge\n"
    yield from (f"{name}{label} {value}\n" for label, value in samples if value is not None)


def _labels(found: Retirement) -> str:
    values = (("provider", found.provider), ("model", found.model), ("source", found.source.value))
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in values) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _is_known(found: Retirement) -> bool:
    return found.shuts_down_on is not None or found.state is State.RETIRED


def _ending(found: Retirement) -> str:
    if found.shuts_down_on is not None:
        return found.shuts_down_on.isoformat()
    return {State.RETIRED: "retired", State.ACTIVE: "none announced"}.get(found.state, "unknown")


def _number(days: int | None) -> str:
    return "" if days is None else f"{days:,} d".replace("-", "\u2212")


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
