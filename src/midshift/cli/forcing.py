"""`midshift upgrade force`: the incumbent retires, so a candidate goes on that its eval has stopped.

It is refused without a `stop`, without a day on which the incumbent shuts down, and without a safe harbour that is
applied, pinned, no part of the upgrade, and alive beyond the end of soak. It opens no gate: what failed is waived by
name afterwards. An upgrade that the controller has stopped meanwhile begins again, with the candidate it had.
Elsewhere: the record (domain.forcing), what follows from it (controller.decide), dates (providers.lifecycle).
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from midshift import config
from midshift.cli.basis import Holding
from midshift.cli.choosing import candidate_of, defined
from midshift.cli.egress import approved
from midshift.cli.project import Target, applied, named, say
from midshift.cli.system import SystemClock
from midshift.cli.upgrade import next_id, require_applied, require_who, say_to
from midshift.domain.evidence import EvalEvidence
from midshift.domain.forcing import Forced
from midshift.domain.gate import Decision
from midshift.domain.retirement import FitVerdict, ModelName, Retirement, State, end_of_soak, fits
from midshift.domain.upgrade import FLOATING, Event, Kind, Stage, Upgrade, begin, route_of
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, UsageError
from midshift.ports import Clock
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.store.sql import SqlStore


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift upgrade force`, as typed. `to` is the file of one of several stopped candidates."""

    workload: str
    who: str
    why: str
    state: Path
    to: str | None = None
    offline: bool = False


def force(
    target: Target, options: Options, environment: Mapping[str, str] = os.environ, clock: Clock | None = None
) -> int:
    """Put the force on record, on the open upgrade or on a new one for a candidate that was stopped."""
    clock = clock or SystemClock()
    definition = defined(target, options.workload)
    with target.open_store() as store:
        require_applied(store, definition)
        upgrade, is_open = _subject(target, store, options)
        require_who(Event(Kind.FORCED, upgrade.entered, options.who, options.why))
        found = _stopped(upgrade, options, Holding(target, store, clock))
        harbour = _harbour(definition, upgrade)
        approved(definition, applied(store), harbour, None)
        forced = _record(target, options, definition, store.variant(upgrade.incumbent), harbour, environment, clock)
        store.put_variant(harbour)
        if is_open:
            after = say_to(
                store, options.workload, lambda at, _: Event(Kind.FORCED, at, options.who, options.why, forced=forced)
            )
        else:
            after = _begun_again(store, definition, upgrade, forced, clock)
        _tell(store, after, found)
    return 0


def _subject(target: Target, store: SqlStore, options: Options) -> tuple[Upgrade, bool]:
    """The open upgrade, or the one that was stopped, the newest or that of `to`; and whether it is open."""
    workload = options.workload
    active = store.active_upgrade(workload)
    wanted = None if options.to is None else candidate_of(target, options.to).id
    if active is not None:
        if wanted not in (None, active.candidate):
            raise UsageError(
                f"--to {options.to!r} is not the candidate of {active.id!r}, which is open, expected it. Type next: "
                f"midshift upgrade candidate {workload} --to {options.to} --who NAME --why WHY"
            )
        return active, True
    route = store.route(workload)
    stopped = [
        item
        for item in store.upgrades()
        if (item.workload, item.stage) == (workload, Stage.STOPPED)
        and route is not None
        and item.incumbent == route.incumbent
        and wanted in (None, item.candidate)
    ]
    if not stopped:
        raise UsageError(
            f"workload {workload!r} has no open upgrade and none that its eval has stopped"
            f"{'' if wanted is None else f' with --to {options.to!r}'}, expected one of them. "
            f"Type next: midshift upgrade start {workload} --to VARIANT_FILE"
        )
    return stopped[-1], False


def _stopped(upgrade: Upgrade, options: Options, holds: Holding) -> EvalEvidence | None:
    """The eval that says stop; None where the upgrade is forced already, and past its eval."""
    from midshift.cli.state_folder import StateFolder

    sources = StateFolder(options.state, SystemClock(), holds)
    found = sources.eval_of(upgrade)
    if upgrade.forced is not None and upgrade.stage not in (Stage.EVAL, Stage.RETUNE):
        return None
    if found is not None and found.decision is Decision.STOP:
        return found
    none = sources.eval_trouble(upgrade) or "no eval of its candidate"
    said = none if found is None else f"the decision {found.decision.value!r}"
    following = "retune" if found is not None and found.decision is Decision.RETUNE else "upgrade eval"
    more = " --to VARIANT_FILE --reflection PROVIDER/MODEL --max-usd X" if following == "retune" else ""
    raise UsageError(
        f"{upgrade.id}: found {said}, expected 'stop': only what was tuned and still fails has to be forced. "
        f"Type next: midshift {following} {options.workload}{more}"
    )


def _harbour(definition: config.Definition, upgrade: Upgrade) -> Variant:
    file = definition.safe_harbour
    if file is None:
        raise ConfigError(
            f"{definition.place()}: found no safe_harbour in {definition.name!r}, expected a variant to go back to "
            "when the incumbent is gone. Type next: safe_harbour: variants/ANOTHER.yaml, and: midshift apply"
        )
    if file.variant.id in (upgrade.candidate, upgrade.incumbent):
        role = "candidate" if file.variant.id == upgrade.candidate else "incumbent"
        raise ConfigError(
            f"{definition.place('safe_harbour')}: found {file.path!r}, the {role} itself, expected a third variant: a "
            "way back to what failed is none. Type next: safe_harbour: variants/ANOTHER.yaml, and: midshift apply"
        )
    return file.variant


def _record(
    target: Target,
    options: Options,
    definition: config.Definition,
    incumbent: Variant,
    harbour: Variant,
    environment: Mapping[str, str],
    clock: Clock,
) -> Forced:
    old, safe = _name(incumbent), _name(harbour)
    known = asyncio.run(_asked(target, (old, safe), harbour, environment, clock, options.offline))
    retirement, today = known[old], clock.now().date()
    if retirement.shuts_down_on is None:
        raise ConfigError(
            f"the incumbent {visible(str(old))}: {fits(retirement, today, today).words}, expected the day on which it "
            "shuts down: a forced upgrade rests on it. Type next: midshift radar; or state it in "
            f"{visible(str(target.main))}: retirements: {{{visible(str(old))}: YEAR-MONTH-DAY}}"
        )
    ends = end_of_soak(definition.plan, today, timedelta())
    return Forced(
        options.who,
        options.why,
        retirement.shuts_down_on,
        retirement.source,
        harbour.id,
        retirement.origin,
        retirement.as_of,
        _outlives(known[safe], ends, today),
    )


def _outlives(harbour: Retirement, ends: date, today: date) -> str:
    """What is known of the harbour's own end, in words.

    Raises:
        ConfigError: if it ends by the end of soak, or nobody so much as calls it active.
    """
    fit = fits(harbour, ends, today)
    is_active = harbour.state is State.ACTIVE and harbour.callable is not False
    if fit.verdict is FitVerdict.TOO_LATE or (fit.verdict is FitVerdict.UNKNOWN and not is_active):
        raise ConfigError(
            f"the safe harbour {visible(str(harbour.name))}: {visible(fit.words)}, expected one that is alive beyond "
            f"the end of soak on {ends}. Type next: safe_harbour: variants/ANOTHER.yaml, and: midshift apply; or, if "
            f"you know better: retirements: {{{visible(str(harbour.name))}: YEAR-MONTH-DAY}}"
        )
    read = "" if harbour.as_of is None else f", read {harbour.as_of}"
    return f"{fit.words} ({harbour.source.words}{read})"


async def _asked(
    target: Target,
    names: tuple[ModelName, ModelName],
    harbour: Variant,
    environment: Mapping[str, str],
    clock: Clock,
    offline: bool,
) -> dict[ModelName, Retirement]:
    """When both shut down, once the safe harbour is known to stay what it is."""
    from midshift.cli.pinning import asked, control_planes, require_pinned, side, vendors_of
    from midshift.cli.radar import access_of
    from midshift.providers import catalogue
    from midshift.providers.http.client import HttpClient
    from midshift.providers.lifecycle import collected, radar
    from midshift.providers.lifecycle.settle import Lists

    definitions, folder = target.definitions(), target.main.parent
    sides = [side("safe harbour", harbour, vendors_of(definitions)(harbour.provider))]
    lists = Lists(catalogue.bundled(), collected.bundled(), definitions.retirements)
    access = access_of(definitions, {name.provider for name in names}, environment, folder)
    if offline:
        require_pinned(sides[0])
        found = await radar.look(names, None, access, lists, clock.now())
    else:
        async with HttpClient(environment) as http:
            planes = control_planes(definitions, [harbour.provider], environment, folder)
            require_pinned((await asked(sides, planes, http, clock))[0])
            found = await radar.look(names, http, access, lists, clock.now())
    return {item.name: item for item in found}


def _begun_again(
    store: SqlStore, definition: config.Definition, stopped: Upgrade, forced: Forced, clock: Clock
) -> Upgrade:
    """A new upgrade with the candidate of one that was stopped, forced from its first moment.

    What let this candidate be one at all (a floating model, data to its provider) is taken along; nothing else is.
    """
    route = store.route(stopped.workload)
    assert route is not None
    kept = tuple(one for one in stopped.waivers if one.what == FLOATING or one.what.startswith("data:"))
    name = next_id(store, stopped.workload)
    upgrade = begin(
        name, stopped.workload, stopped.incumbent, stopped.candidate, definition.plan, clock.now(), name, kept, forced
    )
    store.start_upgrade(upgrade, route_of(upgrade, route.epoch + 1, None), forced.who, f"forced: {forced.why}")
    return upgrade


def _tell(store: SqlStore, after: Upgrade, found: EvalEvidence | None) -> None:
    forced = after.forced
    assert forced is not None
    old, safe = visible(named(store, after.incumbent)), visible(named(store, forced.safe_harbour))
    workload = visible(after.workload)
    say(
        f"{after.id}: forced by {visible(forced.who)}: {visible(forced.why, 400)}",
        f"⚠ {old} retires on {forced.retires_on}, says: {visible(forced.stated_by)}",
        f"⚠ a rollback leads to it before that day, and from that day on (00:00 UTC) to the safe harbour {safe}: "
        f"{visible(forced.harbour_says, 400)}",
    )
    left = [name for name in (found.to_waive if found is not None else ()) if not after.is_waived(name)]
    if left:
        say("Nothing is waived by this. Each failed part of the eval needs a name to it:")
        say(*(f"  midshift upgrade waive {workload} {shlex.quote(visible(name))} --why 'WHY'" for name in left))
    say(f"Type next: midshift upgrade status {workload}")


def _name(variant: Variant) -> ModelName:
    return ModelName(variant.provider, variant.model)
