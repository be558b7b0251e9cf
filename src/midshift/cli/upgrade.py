"""`midshift upgrade …`, `midshift halt` and `midshift status`: begin, see where it stands, and say what people say.

Reading is read-only: `status` asks `controller.decide` what it would do on the present evidence, and does nothing.
Elsewhere: the decisions themselves (controller), applying them (serve), the ways back (rollback).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Waiting
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
    from midshift.cli.serve import StateFolder
    from midshift.domain.variant import Variant
    from midshift.reports.status import Position
    from midshift.store.sql import SqlStore

OVERRIDABLE = (G7, G8)
_PEOPLE = "person"
_TRIES = 5
_REDRAW_S = 1.0


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
    from midshift.cli.serve import StateFolder

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
    from midshift.cli.serve import StateFolder
    from midshift.shadow.drift import Kind as DriftKind

    found = StateFolder(state, SystemClock()).eval_of(upgrade)
    names = {part.name for part in applied_one(store, upgrade.workload).workload.slices}
    names |= {*found.unproven, *found.regressed} if found is not None else set()
    kind = what.split(":")[1] if what.startswith("drift:") else ""
    names |= {CANARY_PINS} if upgrade.is_waived(FLOATING) else set()
    names |= set(found.to_waive) if found is not None and upgrade.forced is not None else set()
    if what not in {"shadow", "coverage", *OVERRIDABLE, *names} and kind not in tuple(DriftKind):
        raise UsageError(
            f"{what!r} is nothing that can be waived, expected a slice ({', '.join(sorted(names))}), coverage, shadow, "
            f"{', '.join(OVERRIDABLE)}, or drift:KIND[:METRIC] with a kind of {', '.join(DriftKind)}. "
            f"Type next: midshift upgrade status {upgrade.workload}"
        )


# Where it stands


def status(
    target: Target, workload: str | None, state: Path, *, watch: bool, as_json: bool, with_routes: bool = False
) -> int:
    """Where upgrades stand, and what they wait for; with `with_routes`, also what each workload is served with."""
    from rich.console import Console, Group

    from midshift.cli.basis import Holding
    from midshift.cli.serve import StateFolder
    from midshift.reports import status as report

    with target.open_store() as store:
        sources = StateFolder(state, SystemClock(), Holding(target, store, SystemClock()))
        _require_known(store, workload)
        if as_json:
            content = report.document(_positions(store, sources, workload))
            if with_routes:
                content["routes"] = _routes(store, workload)
            say(json.dumps(content, indent=2))
            return 0
        console = Console(highlight=False)

        def picture() -> Group:
            routes = [*_route_lines(store, workload), ""] if with_routes else []
            return Group(*routes, report.render(_positions(store, sources, workload)))

        if watch and console.is_terminal:
            _redraw(console, picture)
        else:
            console.print(picture())
    return 0


def _redraw(console: Any, picture: Callable[[], Any]) -> None:
    from rich.live import Live

    waiting = Waiting()
    try:
        with Live(picture(), console=console, auto_refresh=False) as live:
            while not waiting.wait(_REDRAW_S):
                live.update(picture(), refresh=True)
    except KeyboardInterrupt:
        return


def _require_known(store: SqlStore, workload: str | None) -> None:
    known = {route.workload for route in store.routes()}
    if workload is not None and workload not in known:
        listed = ", ".join(map(repr, sorted(known))) or "one that was applied"
        raise UsageError(f"workload {workload!r} is not in the store, expected {listed}. Type next: midshift status")


def _positions(store: SqlStore, sources: StateFolder, workload: str | None) -> list[Position]:
    """The newest upgrade of each workload, over or not."""
    from midshift.controller.decide import decide
    from midshift.controller.loop import Controller
    from midshift.reports.status import Position

    clock = SystemClock()
    looking = Controller(store, sources, clock, "status")
    newest = {item.workload: item for item in store.upgrades() if workload in (None, item.workload)}
    positions = []
    for upgrade in newest.values():
        now = clock.now()
        positions.append(
            Position(
                upgrade,
                store.route(upgrade.workload),
                decide(upgrade, looking.evidence(upgrade), now),
                named(store, upgrade.incumbent),
                named(store, upgrade.candidate),
                now,
                named(store, upgrade.home_at(now)),
                None if upgrade.forced is None else named(store, upgrade.forced.safe_harbour),
            )
        )
    return positions


def _routes(store: SqlStore, workload: str | None) -> list[dict[str, Any]]:
    now = SystemClock().machine_now()
    reports = store.reports()
    return [
        {
            "workload": route.workload,
            "epoch": route.epoch,
            "incumbent": {"id": route.incumbent, "name": named(store, route.incumbent)},
            "candidate": route.candidate and {"id": route.candidate, "name": named(store, route.candidate)},
            "share": route.share,
            "shadow_share": route.shadow_share,
            "noise_share": route.noise_share,
            "pair_share": route.pair_share,
            "reverse_share": route.reverse_share,
            "lease_until": route.lease_until and route.lease_until.isoformat(),
            "gateways": [
                {
                    "name": item.gateway,
                    "epoch": item.epoch,
                    "is_current": item.epoch == route.epoch,
                    "seconds_ago": round((now - item.at).total_seconds(), 1),
                }
                for item in reports
                if item.workload == route.workload
            ],
        }
        for route in store.routes()
        if workload in (None, route.workload)
    ]


def _route_lines(store: SqlStore, workload: str | None) -> list[str]:
    from rich.markup import escape

    lines = []
    for route in _routes(store, workload):
        served = f"{100 - 100 * route['share']:.4g} % of units to {visible(route['incumbent']['name'])}"
        if route["candidate"] is not None:
            shadow = ", every other request shadowed" if route["shadow_share"] else ""
            pairs = route["pair_share"] or route["reverse_share"]
            shadow += f", {100 * pairs:.4g} % of requests answered by both" if pairs else ""
            served += f", {100 * route['share']:.4g} % to {visible(route['candidate']['name'])}{shadow}"
        lines.append(escape(f"{route['workload']}: {served} (epoch {route['epoch']})"))
        for item in route["gateways"]:
            sign, words = ("✔", "") if item["is_current"] else ("◌", ", which is not the present one")
            heard = f"heard {item['seconds_ago']:g} s ago"
            lines.append(escape(f"  {sign} {visible(item['name'])} serves epoch {item['epoch']}{words}; {heard}"))
        if not route["gateways"]:
            lines.append("  ◌ no gateway has reported")
    return lines or ["no workload. Type next: midshift apply"]


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
