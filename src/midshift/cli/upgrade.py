"""`midshift upgrade …` and `midshift halt`: begin, evaluate, and say what people say.

Elsewhere: where it stands (status), the decisions themselves (controller), applying them (serve), the ways back
(rollback).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midshift import config
from midshift.cli.choosing import candidate_of, defined, require_suite
from midshift.cli.egress import approved, require_approved, waiver_of
from midshift.cli.project import Target, applied, applied_one, named, say
from midshift.cli.system import SystemClock
from midshift.domain.bakeoff import G7, G8
from midshift.domain.upgrade import (
    CANARY_PINS,
    FLOATING,
    SHADOW,
    Event,
    Kind,
    Stage,
    Upgrade,
    Waiver,
    apply,
    begin,
    route_of,
    settled,
)
from midshift.errors import ConfigError, Fenced, UsageError
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.cli.pinning import Side
    from midshift.domain.variant import Variant
    from midshift.store.sql import SqlStore

OVERRIDABLE = (G7, G8)
_PEOPLE = "person"
_TRIES = 5


# Beginning


def start(
    target: Target,
    workload: str,
    to: str,
    who: str,
    state: Path,
    allow_floating: str | None = None,
    approve_data: str | None = None,
) -> int:
    """Begin the upgrade of a workload to the variant of a file.

    `allow_floating` and `approve_data` are the reasons of two overrides: a model that may change under it, and a
    provider outside of the vendors and regions that the data may go to.
    """
    definition = defined(target, workload)
    require_suite(definition)
    candidate = candidate_of(target, to)
    with target.open_store() as store:
        require_applied(store, definition)
        egress = approved(definition, applied(store), candidate, approve_data)
        standing = store.standing(workload)
        if standing.upgrade is not None:
            raise UsageError(
                f"workload {workload!r} has the upgrade {standing.upgrade.id!r} in stage "
                f"{standing.upgrade.stage.value}, expected none that is open. "
                f"Type next: midshift upgrade status {workload}   "
                f"(another candidate for it: midshift upgrade candidate {workload} --to {to})"
            )
        route = standing.route
        if route is None:
            raise UsageError(f"workload {workload!r} has no route, expected one. Type next: midshift apply")
        if candidate.id == route.incumbent:
            raise UsageError(
                f"--to {to!r} is the variant that serves {workload!r} already, expected another one. "
                "Type next: --to ANOTHER_FILE"
            )
        floats = _floats(target, store.variant(route.incumbent), candidate, allow_floating)
        taken = {FLOATING: floats, waiver_of(candidate): egress}
        waivers = tuple(Waiver(what, _named_person(who), why) for what, why in taken.items() if why is not None)
        name, now = next_id(store, workload), SystemClock().now()
        upgrade = begin(name, workload, route.incumbent, candidate.id, definition.plan, now, name, waivers)
        store.put_variant(candidate)
        store.start_upgrade(upgrade, route_of(upgrade, route.epoch + 1, None), who, f"started with {to}")
        say(
            f"{name}: {visible(named(store, route.incumbent))} → {visible(named(store, candidate.id))}, "
            f"begun by {visible(who)}. Users see no change before the canary"
        )
        if floats is not None:
            say(f"⚠ may change under it, allowed by {visible(who)}: {visible(floats, 400)}. No further than shadow")
        if egress is not None:
            say(f"⚠ the data goes to {visible(candidate.provider)}, approved by {visible(who)}: {visible(egress, 400)}")
        _say_eval_trouble(target, store, upgrade, state)
    say(f"Type next: midshift upgrade eval {workload}")
    return 0


def _say_eval_trouble(target: Target, store: SqlStore, upgrade: Upgrade, state: Path) -> None:
    """An eval that somebody ran, and that counts as none, must not be waited for in silence."""
    from midshift.cli.basis import Holding
    from midshift.cli.state_folder import StateFolder

    holds = Holding(target, store, SystemClock())
    trouble = StateFolder(state, SystemClock(), holds).eval_trouble(upgrade)
    if trouble:
        say(f"⚠ {visible(trouble, 1000)}")


def change_candidate(
    target: Target,
    workload: str,
    to: str,
    who: str,
    why: str,
    allow_floating: str | None = None,
    approve_data: str | None = None,
) -> int:
    """Go on with another candidate: back to the eval, with its waivers and approvals gone."""
    definition, candidate = defined(target, workload), candidate_of(target, to)
    with target.open_store() as store:
        egress = approved(definition, applied(store), candidate, approve_data)
        incumbent = store.variant(_active(store, workload).incumbent)
        floats = _floats(target, incumbent, candidate, allow_floating)
        what, reason = ("", why) if floats is None else (FLOATING, f"{why}; {floats}")
        store.put_variant(candidate)
        after = say_to(
            store, workload, lambda at, _: Event(Kind.CANDIDATE_CHANGED, at, who, reason, what, candidate.id)
        )
        if egress is not None:
            approval = waiver_of(candidate)
            say_to(store, workload, lambda at, _: Event(Kind.WAIVED, at, who, egress, approval))
            say(f"⚠ the data goes to {visible(candidate.provider)}, approved by {visible(who)}: {visible(egress, 400)}")
        say(f"{after.id}: the candidate is now {visible(named(store, candidate.id))}; back to the eval")
    say(f"Type next: midshift upgrade eval {workload}")
    return 0


def require_applied(store: SqlStore, definition: config.Definition) -> None:
    """What is judged must be what was recorded.

    Raises:
        ConfigError: if the files define another workload than the one that was applied.
    """
    stored = applied_one(store, definition.name)
    if stored.definition_hash != definition.definition_hash:
        raise ConfigError(
            f"{definition.place()}: found another definition of {definition.name!r} than the one that was applied, "
            "expected the same. Type next: midshift apply"
        )


def _floats(target: Target, incumbent: Variant, candidate: Variant, reason: str | None) -> str | None:
    """Why the upgrade goes on with a model that may change under it; None if neither does."""
    from midshift.cli.pinning import override, side, vendors_of
    from midshift.providers.pins import PinClass

    vendor = vendors_of(target.definitions())
    both = ("incumbent", incumbent), ("candidate", candidate)
    sides = [side(role, found, vendor(found.provider)) for role, found in both]
    if any(item.pin.cls is PinClass.OPAQUE for item in sides):
        sides = asyncio.run(_behind(target, sides))
    return override(sides, reason)


async def _behind(target: Target, sides: Sequence[Side]) -> list[Side]:
    from midshift.cli.pinning import asked, control_planes
    from midshift.providers.http.client import HttpClient

    providers = [item.variant.provider for item in sides]
    access = control_planes(target.definitions(), providers, os.environ, target.main.parent)
    async with HttpClient(os.environ) as http:
        return await asked(sides, access, http, SystemClock())


def _named_person(who: str) -> str:
    if not who.strip():
        raise UsageError(f"--who {who!r} is empty, expected who. Type next: --who NAME")
    return who


def next_id(store: SqlStore, workload: str) -> str:
    """An id that people can say aloud."""
    taken = {upgrade.id for upgrade in store.upgrades()}
    number = 1 + sum(upgrade.workload == workload for upgrade in store.upgrades())
    while f"{workload}-{number}" in taken:
        number += 1
    return f"{workload}-{number}"


# What a person says


def waive(target: Target, workload: str, what: str, who: str, why: str, state: Path) -> int:
    """Open a gate by name and reason."""
    with target.open_store() as store:
        upgrade = _active(store, workload)
        _require_waivable(store, upgrade, what, state)
        say_to(store, workload, lambda at, _: Event(Kind.WAIVED, at, who, why, what))
    say(f"{upgrade.id}: {visible(what)} is waived by {visible(who)}: {visible(why)}")
    if what == SHADOW:
        say(
            "Not waited for: the shadow's clock, its coverage, budgets that nobody knows. Still by name: slices that "
            "the eval left open, flagged drift, budgets that are broken, pins:canary"
        )
    say(f"Type next: midshift upgrade status {workload}")
    return 0


def approve(target: Target, workload: str, what: str, who: str, state: Path) -> int:
    """Say the yes that a step waits for."""
    with target.open_store() as store:
        upgrade = _active(store, workload)
        asked = {f"{item.role}@{item.share:.0%}": item for item in upgrade.plan.approvals}
        name = what if what in asked else f"{what}%"
        if name not in asked:
            listed = ", ".join(asked) or "none, for its plan asks for no approval"
            raise UsageError(
                f"{what!r} is no approval that {upgrade.id} waits for, expected {listed}. "
                f"Type next: midshift upgrade status {workload}"
            )
        about = asked[name].slice or "all slices"
        say_to(store, workload, lambda at, _: Event(Kind.APPROVED, at, who, f"looked at {about}", name))
        _say_eval_trouble(target, store, upgrade, state)
    say(f"{upgrade.id}: {visible(name)} is approved by {visible(who)} (outputs of {visible(about)})")
    say(f"Type next: midshift upgrade status {workload}")
    return 0


def pause(target: Target, workload: str, who: str) -> int:
    """Let nothing advance; proven harm still stops it."""
    with target.open_store() as store:
        if _active(store, workload).paused:
            say(f"{workload}: is paused already")
            return 0
        after = say_to(store, workload, lambda at, _: Event(Kind.PAUSED, at, who, "paused"))
    say(f"{after.id}: paused by {visible(who)}; users keep what they have, and proven harm still stops it")
    say(f"Type next: midshift upgrade resume {workload} --who {visible(who)}")
    return 0


def resume(target: Target, workload: str, who: str) -> int:
    """Go on: with what was paused, and with a canary that was halted."""
    with target.open_store() as store:
        upgrade = _active(store, workload)
        if not upgrade.paused and upgrade.stage is not Stage.HALTED:
            raise UsageError(
                f"{upgrade.id} is neither paused nor halted, found it in stage {upgrade.stage.value}, expected one of "
                f"them. Type next: midshift upgrade status {workload}"
            )
        if upgrade.paused:
            upgrade = say_to(store, workload, lambda at, _: Event(Kind.UNPAUSED, at, who, "resumed"))
        if upgrade.stage is Stage.HALTED:
            upgrade = say_to(store, workload, lambda at, _: Event(Kind.RESUMED, at, who, "resumed"))
    say(
        f"{upgrade.id}: resumed by {visible(who)}, in stage {upgrade.stage.value} "
        f"with {100 * upgrade.share:.4g} % of units on the candidate"
    )
    say(f"Type next: midshift upgrade status {workload}")
    return 0


def halt(target: Target, workload: str, who: str, why: str) -> int:
    """Take the candidate away from users and keep everything else, so that it can be resumed."""
    with target.open_store() as store:
        upgrade = _active(store, workload)
        if upgrade.stage is not Stage.CANARY:
            raise UsageError(
                f"{upgrade.id} is in stage {upgrade.stage.value}, expected a canary: only that can be halted. "
                f"Type next: midshift rollback {workload}   (ends it), or midshift upgrade pause {workload}"
            )
        after = say_to(store, workload, lambda at, _: Event(Kind.HALTED, at, who, why))
        route = store.route(workload)
        home = "the incumbent" if after.home == after.incumbent else visible(named(store, after.home))
    epoch = "" if route is None else f" (epoch {route.epoch})"
    say(f"{after.id}: halted by {visible(who)}; {home} serves everybody{epoch}, and the evidence is kept")
    say(f"Type next: midshift upgrade resume {workload} --who NAME, or midshift rollback {workload}")
    return 0


def _active(store: SqlStore, workload: str) -> Upgrade:
    upgrade = store.active_upgrade(workload)
    if upgrade is not None:
        return upgrade
    known = {item.workload: item.id for item in store.upgrades() if not item.stage.is_final}
    listed = ", ".join(f"{name} ({found})" for name, found in known.items()) or "none at all"
    raise UsageError(
        f"workload {workload!r} has no open upgrade, expected one; open are: {listed}. "
        f"Type next: midshift upgrade start {workload} --to VARIANT_FILE"
    )


def say_to(store: SqlStore, workload: str, event_of: Callable[[Any, Upgrade], Event]) -> Upgrade:
    """Write a person's word. A controller may write at the same moment: then it is said to what stands afterwards."""
    from midshift.controller.loop import EXPOSURE_LEASE

    clock = SystemClock()
    for attempt in range(_TRIES):
        standing, before = store.standing(workload), _active(store, workload)
        event = event_of(max(clock.now(), before.entered), before)
        require_who(event)
        after = apply(before, event)
        moved = None
        if after.stage is not before.stage and standing.route is not None:
            epoch = standing.route.epoch + 1
            lease = clock.machine_now() + EXPOSURE_LEASE
            moved = settled(after, epoch) if after.stage.is_final else route_of(after, epoch, lease)
        try:
            store.commit(before, after, event, {}, _PEOPLE, moved, None)
        except Fenced:
            if attempt + 1 == _TRIES:
                raise
        else:
            return after
    raise AssertionError("unreachable: the last attempt returns or raises")


def require_who(event: Event) -> None:
    """Refuse what a person says without a name or a reason.

    Raises:
        UsageError: naming the option.
    """
    for name, value in (("who", event.who), ("why", event.why)):
        if not value.strip():
            raise UsageError(f"--{name} {value!r} is empty, expected {name}. Type next: --{name} {name.upper()}")


def _require_waivable(store: SqlStore, upgrade: Upgrade, what: str, state: Path) -> None:
    """A misspelt waiver would open nothing, and nobody would know why the upgrade still waits."""
    from midshift.cli.state_folder import StateFolder
    from midshift.shadow.drift import Kind as DriftKind

    found = StateFolder(state, SystemClock()).eval_of(upgrade)
    names = {part.name for part in applied_one(store, upgrade.workload).workload.slices}
    names |= {*found.unproven, *found.regressed} if found is not None else set()
    kind = what.split(":")[1] if what.startswith("drift:") else ""
    others = ["coverage", SHADOW, *OVERRIDABLE, *_budgets(upgrade)]
    others += [CANARY_PINS] if upgrade.is_waived(FLOATING) else []
    others += sorted(set(found.to_waive) - names) if found is not None and upgrade.forced is not None else []
    if what not in {*others, *names} and kind not in tuple(DriftKind):
        slices = ", ".join(sorted(names)) or "there is none"
        raise UsageError(
            f"{what!r} is nothing that can be waived, expected a slice ({slices}), "
            f"one of {', '.join(dict.fromkeys(others))}, or drift:KIND[:METRIC] with a kind of {', '.join(DriftKind)}. "
            f"Type next: midshift upgrade status {upgrade.workload}"
        )


def _budgets(upgrade: Upgrade) -> list[str]:
    """The waivers of what was promised, by the names of its gates."""
    from midshift.controller.evidence import gather

    in_shadow = replace(upgrade, stage=Stage.SHADOW)
    return [f"budget:{promise.name}" for promise in gather(in_shadow, {}, None, ()).promises]


# The eval


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """The command line of `midshift upgrade eval`, as typed."""

    workload: str
    grader: str | None
    state: Path
    html: Path | None = None
    as_json: bool = False
    override: tuple[str, str] | None = None
    who: str | None = None
    terms: Mapping[str, Any] = field(default_factory=dict)
    """Further options of `midshift eval`, by name."""


def evaluate(target: Target, options: EvalOptions, environment: Mapping[str, str] = os.environ) -> int:
    """Run the suite on incumbent and candidate, as `midshift eval` does, and keep the result for the controller."""
    from midshift.cli import eval as command
    from midshift.cli.eval_options import Named, Options, Subject

    with target.open_store() as store:
        upgrade = _overridden(store, options)
        definition, definitions = applied_one(store, options.workload), applied(store)
        incumbent, candidate = (
            Named(named(store, one), store.variant(one)) for one in (upgrade.incumbent, upgrade.candidate)
        )
        require_approved(definition, definitions, upgrade, candidate.variant)
    subject = Subject(definition, definitions, incumbent, (candidate,))
    asked = Options(
        options.state,
        grader=options.grader,
        html=options.html,
        as_json=options.as_json,
        overrides={one.what: f"{one.who}: {one.why}" for one in upgrade.waivers if one.what in OVERRIDABLE},
        is_upgrade=True,
        taken_on=_taken_on(upgrade),
        approved=frozenset(one.what.removeprefix("data:") for one in upgrade.waivers if one.what.startswith("data:")),
    )
    return command.carried_out(target, subject, replace(asked, **options.terms), environment)


def _taken_on(upgrade: Upgrade) -> tuple[str, ...]:
    """The force and the waivers, for whoever reads the report and not the log."""
    forced = upgrade.forced
    if forced is None:
        return ()
    said = f"FORCED by {forced.who}: {forced.why} (the incumbent retires on {forced.retires_on}: {forced.stated_by})"
    return (said, *(f"waived {one.what} by {one.who}: {one.why}" for one in upgrade.waivers))


def _overridden(store: SqlStore, options: EvalOptions) -> Upgrade:
    """The upgrade, with the guard that a person steps over now on its record."""
    if store.active_upgrade(options.workload) is None:
        raise UsageError(
            f"workload {options.workload!r} has no open upgrade, expected one: this is stage one of an upgrade. "
            f"Type next: midshift upgrade start {options.workload} --to VARIANT_FILE, or to compare files without one: "
            f"midshift eval {options.workload} --to VARIANT_FILE"
        )
    upgrade = _active(store, options.workload)
    if options.override is None:
        return upgrade
    code, why = options.override
    if code not in OVERRIDABLE:
        raise UsageError(
            f"--override {code!r}: expected a guard of the eval, {' or '.join(OVERRIDABLE)}. "
            f"Type next: --override {OVERRIDABLE[0]} 'WHY' --who NAME"
        )
    require_who(Event(Kind.WAIVED, upgrade.entered, options.who or "", why, code))
    return say_to(store, options.workload, lambda at, _: Event(Kind.WAIVED, at, options.who or "", why, code))
