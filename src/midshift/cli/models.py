"""`midshift models`: every model of a product, what kind of id it has, and the pin to use.

Exit codes: 0 every model stays what it is or somebody took it upon themselves, 1 one may change.
Elsewhere: the classes (providers.pins), asking vendors (providers.resolving), shutdown dates (radar), showing it
(reports.models).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

from midshift import config
from midshift.cli import model_facts
from midshift.cli.model_facts import Facts
from midshift.cli.pinning import control_planes, vendors_of
from midshift.cli.project import Target, say
from midshift.cli.system import SystemClock
from midshift.domain.retirement import ModelName, Sighting
from midshift.domain.upgrade import FLOATING, Upgrade, Waiver
from midshift.domain.variant import Variant
from midshift.errors import MidshiftError
from midshift.ports import Clock, Http
from midshift.providers import catalogue, pins, resolving
from midshift.providers.catalogue import Catalogue
from midshift.providers.lifecycle.answers import Access
from midshift.providers.pins import Evidence, Pin, PinClass
from midshift.providers.prices.book import Book
from midshift.reports import models as report
from midshift.reports.models import ModelLine


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift models`, as typed."""

    state: Path
    live: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """A variant that is somewhere in use: by whom and as what, and the override that covers it."""

    variant: Variant
    use: str
    override: Waiver | None = None


Known: TypeAlias = Callable[[str, str], Facts]
"""What is known of a vendor's model."""


def _unknown(vendor: str, model: str) -> Facts:
    return Facts()


def run(target: Target, options: Options) -> int:
    """Print the table, or the JSON."""
    from rich.console import Console

    clock, environment = SystemClock(), os.environ
    lines, notes = asyncio.run(_seen(target, options.state, clock, environment, options.live))
    today = clock.now().date()
    if options.as_json:
        say(json.dumps(report.document(lines, notes, today), indent=2))
    else:
        Console(highlight=False).print(report.render(lines, notes, today))
    return 0 if all(line.is_fine for line in lines) else 1


def classify(model: str, provider: str | None, as_json: bool) -> int:
    """Print the class of any id; without a provider, at each vendor whose rules know its form."""
    from rich.console import Console

    found = {provider: pins.classify(provider, model)} if provider is not None else _everywhere(model)
    known = {name: pins.pins_for(name, model, catalogue.bundled()) for name in found}
    if as_json:
        say(json.dumps(report.classified_document(found, model, known), indent=2))
    else:
        Console(highlight=False).print(report.classified(found, model, known))
    return 0 if found and all(pins.policy(pin.cls).is_firm for pin in found.values()) else 1


async def gather(
    target: Target,
    clock: Clock,
    environment: Mapping[str, str],
    http: Http | None,
    facts: Known = _unknown,
) -> tuple[list[ModelLine], list[str]]:
    """Every model in use with all that is known of it, and what could not be looked at. `http` None asks nobody.

    Raises:
        InvalidConfig: if the files cannot be read.
    """
    definitions = target.definitions()
    notes, upgrades = [], dict[str, Upgrade]()
    used: list[Used] = []
    try:
        upgrades, used = _in_store(target)
    except MidshiftError as error:
        notes.append(f"open upgrades are not listed, the store was not reached: {error}")
    used = _in_files(definitions, upgrades) + used
    vendor = vendors_of(definitions)
    providers = {item.variant.provider for item in used}
    access = control_planes(definitions, providers, environment, target.main.parent)
    ends = await _ends(target, clock, environment, http)
    found: dict[tuple[ModelName, Pin], list[Used]] = {}
    for item in used:
        name = ModelName(item.variant.provider, item.variant.model)
        found.setdefault((name, pins.classify_variant(item.variant, vendor(name.provider))), []).append(item)
    lines = [
        _line(name, pin, items, vendor(name.provider) or name.provider, ends.get(name), facts)
        for (name, pin), items in found.items()
    ]
    return [await _resolved(line, vendor(line.provider) or line.provider, access, http, clock) for line in lines], notes


async def _seen(
    target: Target, state: Path, clock: Clock, environment: Mapping[str, str], live: bool
) -> tuple[list[ModelLine], list[str]]:
    facts = _known(target, state, clock)
    if not live:
        return await gather(target, clock, environment, None, facts)
    from midshift.providers.http.client import HttpClient

    async with HttpClient(environment) as http:
        return await gather(target, clock, environment, http, facts)


def _known(target: Target, state: Path, clock: Clock) -> Known:
    from midshift.cli import prices

    book = prices.book(prices.Where(target, state), {})
    return partial(_facts, book=book, known=catalogue.load(state), at=clock.now())


def _facts(vendor: str, model: str, book: Book, known: Catalogue, at: datetime) -> Facts:
    return model_facts.facts(vendor, model, book, known, at)


def _in_files(definitions: config.Definitions, upgrades: Mapping[str, Upgrade]) -> list[Used]:
    """The override of a workload's open upgrade covers its incumbent, and nothing of another workload."""
    found = []
    for item in definitions:
        found.append(Used(item.incumbent.variant, f"{item.name} incumbent", _override(upgrades.get(item.name))))
        if item.safe_harbour is not None:
            found.append(Used(item.safe_harbour.variant, f"{item.name} safe harbour"))
    return found


def _in_store(target: Target) -> tuple[dict[str, Upgrade], list[Used]]:
    """Open upgrades by workload, and their candidates: an incumbent is in the files."""
    with target.open_store() as store:
        opened = {upgrade.workload: upgrade for upgrade in store.upgrades() if not upgrade.stage.is_final}
        used = [
            Used(store.variant(upgrade.candidate), f"{upgrade.id} candidate", _override(upgrade))
            for upgrade in opened.values()
        ]
    return opened, used


def _override(upgrade: Upgrade | None) -> Waiver | None:
    waivers = () if upgrade is None else upgrade.waivers
    return next((waiver for waiver in waivers if waiver.what == FLOATING), None)


def _line(
    name: ModelName, pin: Pin, items: list[Used], vendor: str, sighting: Sighting | None, facts: Known
) -> ModelLine:
    known, overrides = facts(vendor, name.model), [item.override for item in items]
    instead = () if pins.policy(pin.cls).is_firm else pins.pins_for(vendor, name.model, catalogue.bundled())
    return ModelLine(
        name.provider,
        name.model,
        tuple(dict.fromkeys(item.use for item in items)),
        pin,
        instead,
        override=overrides[0] if all(overrides) else None,
        price=known.price,
        capabilities=known.capabilities,
        sighting=sighting,
    )


async def _ends(
    target: Target, clock: Clock, environment: Mapping[str, str], http: Http | None
) -> dict[ModelName, Sighting]:
    from midshift.cli.radar import sightings

    return {item.retirement.name: item for item in await sightings(target, None, clock, environment, http)}


async def _resolved(
    line: ModelLine, vendor: str, access: Mapping[str, Access], http: Http | None, clock: Clock
) -> ModelLine:
    if line.is_firm or (http is None and line.pin.cls is not PinClass.OPAQUE):
        return line
    found = await resolving.resolve(http, vendor, line.model, access.get(line.provider, Access()), clock.now())
    if found.pin is None:
        return replace(line, resolution=found.why)
    instead = line.pins if found.pin.pinned_as is None else (found.pin.pinned_as,)
    return replace(line, resolution=found.why, pin=found.pin, pins=instead)


def _everywhere(model: str) -> dict[str, Pin]:
    """At every vendor whose rules say something about this id and not about every id."""
    found = {vendor: pins.classify(vendor, model) for vendor in pins.bundled().vendors}
    return {
        vendor: pin
        for vendor, pin in found.items()
        if pin.rule is not None and pin.cls is not PinClass.OPAQUE and pin.evidence is not Evidence.BY_DEFINITION
    }
