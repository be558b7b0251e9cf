"""The models of a product as a table and as plain values: what kind of id each has, and what else is known of it.

What is not known is shown as unknown and never left out.
Elsewhere: the classes (providers.pins), shutdown dates (reports.retirement), gathering it all (the command line).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from midshift.domain.retirement import Sighting, Source
from midshift.domain.upgrade import Waiver
from midshift.providers.pins import Pin, PinClass, policy
from midshift.reports.text import visible

FORMAT = "midshift.models/1"
CLASSIFIED = "classified by the form of the id, which is not a vendor's promise; see docs/reference/pins.md"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model at one provider: who uses it as what, its class, and what else is known.

    `pins` are the ids to use instead, `resolution` what its vendor answered, `override` the waiver that lets it be.
    `price` and `capabilities` are for people; None is unknown.
    """

    provider: str
    model: str
    uses: tuple[str, ...]
    pin: Pin
    pins: tuple[str, ...] = ()
    resolution: str | None = None
    override: Waiver | None = None
    price: str | None = None
    capabilities: str | None = None
    sighting: Sighting | None = None

    @property
    def is_firm(self) -> bool:
        """Whether it may be in an upgrade as it is."""
        return policy(self.pin.cls).is_firm

    @property
    def is_fine(self) -> bool:
        """Whether it is firm, or somebody took it upon themselves."""
        return self.is_firm or self.override is not None


def render(lines: Sequence[ModelLine], notes: Sequence[str], today: date) -> RenderableType:
    """The table, those that need something first, and below it why."""
    if not lines:
        return Text("no model in the files. Type next: midshift check")
    ordered = sorted(lines, key=lambda line: (line.is_fine, line.is_firm, line.provider, line.model))
    return Group(
        _opening(ordered),
        _table(ordered, today),
        *(part for line in ordered for part in _details(line)),
        *(Text(f"◌ {visible(note, 400)}", "yellow") for note in notes),
        Text(CLASSIFIED, "dim"),
    )


def document(lines: Sequence[ModelLine], notes: Sequence[str], today: date) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "format": FORMAT,
        "ok": all(line.is_fine for line in lines),
        "today": today.isoformat(),
        "notes": list(notes),
        "models": [_record(line, today) for line in lines],
    }


def classified(found: Mapping[str, Pin], model: str, pins: Mapping[str, tuple[str, ...]]) -> RenderableType:
    """One id, at each vendor whose rules know it."""
    if not found:
        return Text(f"? {visible(model)}: no vendor's rules know it, so it is treated as floating", "yellow")
    parts: list[Text] = []
    for vendor, pin in found.items():
        glyph, style = _sign(policy(pin.cls).is_firm, False)
        parts += [
            Text(f"{glyph} {visible(model, 120)} at {visible(vendor)}: {_words(pin.cls)}", style),
            *_why(pin),
        ]
        if pins.get(vendor) and not policy(pin.cls).is_firm:
            parts.append(Text(f"    pin to use: {_listed(pins[vendor])}"))
    return Group(*parts, Text(CLASSIFIED, "dim"))


def classified_document(found: Mapping[str, Pin], model: str, pins: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The same as plain values."""
    at = [{"provider": vendor, **pin_record(pin), "pins": list(pins.get(vendor, ()))} for vendor, pin in found.items()]
    return {"format": FORMAT, "model": model, "classified": at}


def pin_record(pin: Pin) -> dict[str, Any]:
    """A class with its reason, as plain values."""
    return {
        "class": pin.cls.value,
        "is_firm": policy(pin.cls).is_firm,
        "why": pin.why,
        "rule": pin.rule,
        "pinned_as": pin.pinned_as,
        "source": pin.source,
        "evidence": pin.evidence.value,
    }


def _opening(lines: Sequence[ModelLine]) -> Text:
    loose, count = sum(not line.is_fine for line in lines), f"{len(lines)} model{'s' if len(lines) > 1 else ''}"
    if loose:
        return Text(f"✖ {loose} of {count} may change, and nobody took that upon themselves", "bold red")
    if overridden := sum(not line.is_firm for line in lines):
        return Text(f"⚠ {overridden} of {count} may change, allowed by name and reason", "yellow")
    return Text(f"✔ {count}, and none that may change", "green")


def _table(ordered: Sequence[ModelLine], today: date) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("shuts down", no_wrap=True, min_width=10)
    table.add_column("left", justify="right", no_wrap=True, min_width=5)
    table.add_column("class", no_wrap=True)
    for heading in ("as", "pin to use"):
        table.add_column(heading, overflow="fold")
    for line in ordered:
        glyph, style = _sign(line.is_firm, line.override is not None)
        ends, left = _ending(line.sighting)
        table.add_row(
            Text(glyph, style),
            Text(visible(f"{line.provider}/{line.model}", 120), style),
            Text(ends),
            Text(left),
            Text(_words(line.pin.cls)),
            Text("\n".join(visible(use, 100) for use in line.uses)),
            Text("itself" if line.is_firm else _listed(line.pins) or UNKNOWN),
        )
    return table


def _details(line: ModelLine) -> Iterator[Text]:
    glyph, style = _sign(line.is_firm, line.override is not None)
    yield Text(f"{glyph} {visible(f'{line.provider}/{line.model}', 120)}: {policy(line.pin.cls).words}", style)
    yield from _why(line.pin)
    if line.resolution is not None:
        yield Text(f"    asked: {visible(line.resolution, 400)}", "dim")
    if line.override is not None:
        yield Text(f"    allowed by {visible(line.override.who)}: {visible(line.override.why, 400)}", "yellow")
    yield Text(f"    price {visible(line.price or UNKNOWN)}; can: {visible(line.capabilities or UNKNOWN, 300)}", "dim")
    if line.sighting is not None:
        found = line.sighting.retirement
        says = "nobody" if found.source is Source.NOBODY else f"{found.source.words}, {found.as_of}"
        yield Text(f"    its end: {visible(line.sighting.fit.words, 300)} (says {visible(says)})", "dim")


def _why(pin: Pin) -> Iterator[Text]:
    yield Text(f"    {visible(pin.why, 400)}", "dim")
    if pin.rule is not None:
        how = pin.evidence.value.replace("_", " ")
        yield Text(f"    rule {visible(pin.rule)}: {how}, {visible(pin.source, 300)}", "dim")


def _ending(sighting: Sighting | None) -> tuple[str, str]:
    if sighting is None or sighting.retirement.shuts_down_on is None:
        return UNKNOWN, ""
    left = sighting.fit.days_left
    return str(sighting.retirement.shuts_down_on), "" if left is None else f"{left} d"


def _sign(is_firm: bool, is_overridden: bool) -> tuple[str, str]:
    if is_firm:
        return "✔", "green"
    return ("⚠", "yellow") if is_overridden else ("✖", "bold red")


def _words(cls: PinClass) -> str:
    return cls.value.replace("_", "-")


def _listed(pins: Sequence[str]) -> str:
    listed = " or ".join(visible(name) for name in pins[-3:])
    return listed if len(pins) <= 3 else f"{listed} or {len(pins) - 3} more"


def _record(line: ModelLine, today: date) -> dict[str, Any]:
    return {
        "provider": line.provider,
        "model": line.model,
        "uses": list(line.uses),
        **pin_record(line.pin),
        "pins": list(line.pins),
        "resolution": line.resolution,
        "override": line.override and {"who": line.override.who, "why": line.override.why},
        "price": line.price,
        "capabilities": line.capabilities,
        "retirement": None if line.sighting is None else _retirement(line.sighting, today),
    }


def _retirement(sighting: Sighting, today: date) -> dict[str, Any]:
    found = sighting.retirement
    return {
        "state": found.state.value,
        "shuts_down_on": found.shuts_down_on and found.shuts_down_on.isoformat(),
        "days_left": sighting.fit.days_left,
        "source": found.source.value,
        "source_age_days": found.age_days(today),
        "fits": sighting.fit.verdict.value,
    }
