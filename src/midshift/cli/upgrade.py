"""`midshift upgrade …`, `midshift halt` and `midshift status`: begin, see where it stands, and say what people say.

Reading is read-only: `status` asks `controller.decide` what it would do on the present evidence, and does nothing.
Elsewhere: the decisions themselves (controller), applying them (serve), the ways back (rollback).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Waiting
from typing import TYPE_CHECKING, Any

from midshift import config
from midshift.cli.project import Target, applied_one, named, say
from midshift.cli.system import SystemClock
from midshift.domain import rendering
from midshift.domain.suite import SliceRole
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, apply, begin, route_of, settled
from midshift.errors import ConfigError, Fenced, UsageError
from midshift.reports.text import visible
from midshift.store.sql import SqlStore

if TYPE_CHECKING:
    from midshift.cli.evaluating import Suite
    from midshift.cli.serve import StateFolder
    from midshift.domain.variant import Variant
    from midshift.evals.rows import Answer
    from midshift.evals.suite_file import EvalCase
    from midshift.reports.comparison import Comparison
    from midshift.reports.status import Position

_PEOPLE = "person"
_TRIES = 5
_REDRAW_S = 1.0


# Beginning


def start(target: Target, workload: str, to: str, who: str) -> int:
    """Begin the upgrade of a workload to the variant of a file."""
    definition = _defined(target, workload)
    _require_suite(definition)
    candidate = _candidate(target, to)
    with target.open_store() as store:
        _require_applied(store, definition)
        _require_admitted(definition, candidate)
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
        name = _next_id(store, workload)
        upgrade = begin(name, workload, route.incumbent, candidate.id, definition.plan, SystemClock().now(), name)
        store.put_variant(candidate)
        store.start_upgrade(upgrade, route_of(upgrade, route.epoch + 1, None), who, f"started with {to}")
        say(
            f"{name}: {visible(named(store, route.incumbent))} → {visible(named(store, candidate.id))}, "
            f"begun by {visible(who)}. Users see no change before the canary"
        )
    say(f"Type next: midshift upgrade eval {workload} --grader exact")
    return 0


def change_candidate(target: Target, workload: str, to: str, who: str, why: str) -> int:
    """Go on with another candidate: back to the eval, with its waivers and approvals gone."""
    definition, candidate = _defined(target, workload), _candidate(target, to)
    with target.open_store() as store:
        _require_admitted(definition, candidate)
        store.put_variant(candidate)
        after = _say_to(
            store, workload, lambda at, _: Event(Kind.CANDIDATE_CHANGED, at, who, why, candidate=candidate.id)
        )
        say(f"{after.id}: the candidate is now {visible(named(store, candidate.id))}; back to the eval")
    say(f"Type next: midshift upgrade eval {workload} --grader exact")
    return 0


def _defined(target: Target, workload: str) -> config.Definition:
    definitions = target.definitions().workloads
    if workload not in definitions:
        raise UsageError(
            f"{target.main} has no workload {workload!r}, expected one of: {', '.join(map(repr, definitions))}. "
            "Type next: midshift check"
        )
    return definitions[workload]


def _require_suite(definition: config.Definition) -> None:
    """No suite, no upgrade: without one nobody would see that the candidate is worse."""
    suite, path = definition.suite, definition.suite_path
    if suite is not None and not suite.trouble and suite.slices:
        return
    if path is None:
        found = "no suite"
    elif suite is None:
        found = f"no file {path!r}"
    else:
        found = suite.trouble or f"{suite.cases:,} cases without a slice in {path!r}"
    line = '{"id": "t-1", "slice": "NAME", "messages": [{"role": "user", "content": "..."}], "reference": "..."}'
    raise ConfigError(
        f"{definition.place('suite')}: found {found}, expected a suite with slices: no suite, no upgrade. Type next: "
        f"write {path or f'suites/{definition.name}.jsonl'}, one case a line like {line}, and: midshift check"
    )


def _require_applied(store: SqlStore, definition: config.Definition) -> None:
    stored = applied_one(store, definition.name)
    if stored.definition_hash != definition.definition_hash:
        raise ConfigError(
            f"{definition.place()}: found another definition of {definition.name!r} than the one that was applied, "
            "expected the same. Type next: midshift apply"
        )


def _require_admitted(definition: config.Definition, candidate: Variant) -> None:
    workload = definition.workload
    if not workload.admits(candidate.provider):
        vendors = ", ".join((*(workload.data.vendors or (workload.incumbent.provider,)), candidate.provider))
        raise ConfigError(
            f"{definition.place('data.vendors')}: found a candidate at {candidate.provider!r}, which may not see the "
            f"data of {definition.name!r}, expected one of its vendors. "
            f"Type next: vendors: [{vendors}], and: midshift apply"
        )


def _candidate(target: Target, to: str) -> Variant:
    """The variant of a file that is named from here, or from the folder of the main file."""
    folder = target.main.parent
    if not (folder / to).exists() and Path(to).exists() and Path(to).resolve().is_relative_to(folder.resolve()):
        to = Path(to).resolve().relative_to(folder.resolve()).as_posix()
    found = config.load_variant(target.main, os.path.normpath(to))
    try:
        rendering.check(found.variant)
    except ValueError as error:
        raise ConfigError(f"{found.path}: {error}. Type next: mend the prompt of {found.path}") from None
    return found.variant


def _next_id(store: SqlStore, workload: str) -> str:
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
        _say_to(store, workload, lambda at, _: Event(Kind.WAIVED, at, who, why, what))
    say(f"{upgrade.id}: {visible(what)} is waived by {visible(who)}: {visible(why)}")
    say(f"Type next: midshift upgrade status {workload}")
    return 0


def approve(target: Target, workload: str, what: str, who: str) -> int:
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
        _say_to(store, workload, lambda at, _: Event(Kind.APPROVED, at, who, f"looked at {about}", name))
    say(f"{upgrade.id}: {visible(name)} is approved by {visible(who)} (outputs of {visible(about)})")
    say(f"Type next: midshift upgrade status {workload}")
    return 0


def pause(target: Target, workload: str, who: str) -> int:
    """Let nothing advance; proven harm still stops it."""
    with target.open_store() as store:
        if _active(store, workload).paused:
            say(f"{workload}: is paused already")
            return 0
        after = _say_to(store, workload, lambda at, _: Event(Kind.PAUSED, at, who, "paused"))
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
            upgrade = _say_to(store, workload, lambda at, _: Event(Kind.UNPAUSED, at, who, "resumed"))
        if upgrade.stage is Stage.HALTED:
            upgrade = _say_to(store, workload, lambda at, _: Event(Kind.RESUMED, at, who, "resumed"))
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
        after = _say_to(store, workload, lambda at, _: Event(Kind.HALTED, at, who, why))
        route = store.route(workload)
    epoch = "" if route is None else f" (epoch {route.epoch})"
    say(f"{after.id}: halted by {visible(who)}; the incumbent serves everybody{epoch}, and the evidence is kept")
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


def _say_to(store: SqlStore, workload: str, event_of: Callable[[Any, Upgrade], Event]) -> Upgrade:
    """Write a person's word. A controller may write at the same moment: then it is said to what stands afterwards."""
    from midshift.controller.loop import EXPOSURE_LEASE

    clock = SystemClock()
    for attempt in range(_TRIES):
        standing, before = store.standing(workload), _active(store, workload)
        event = event_of(max(clock.now(), before.entered), before)
        _require_who(event)
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


def _require_who(event: Event) -> None:
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
    if what not in {"shadow", "coverage", *names} and kind not in tuple(DriftKind):
        raise UsageError(
            f"{what!r} is nothing that can be waived, expected a slice ({', '.join(sorted(names))}), coverage, shadow, "
            f"or drift:KIND[:METRIC] with a kind of {', '.join(DriftKind)}. "
            f"Type next: midshift upgrade status {upgrade.workload}"
        )


# Where it stands


def status(
    target: Target, workload: str | None, state: Path, *, watch: bool, as_json: bool, with_routes: bool = False
) -> int:
    """Where upgrades stand, and what they wait for; with `with_routes`, also what each workload is served with."""
    from rich.console import Console, Group

    from midshift.cli.serve import StateFolder
    from midshift.reports import status as report

    with target.open_store() as store:
        sources = StateFolder(state, SystemClock())
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
    grader: str
    state: Path
    html: Path | None = None
    as_json: bool = False


def evaluate(target: Target, options: EvalOptions, environment: Mapping[str, str] = os.environ) -> int:
    """Run the suite on incumbent and candidate, judge it, and keep the result for the controller."""
    from rich.console import Console

    from midshift.cli import evaluating
    from midshift.cli.compare import EXIT_CODES, require_folder, write_whole
    from midshift.cli.serve import StateFolder
    from midshift.reports import html, terminal
    from midshift.reports.comparison import document

    if options.html is not None:
        require_folder(options.html)
    clock = SystemClock()
    with target.open_store() as store:
        upgrade = _active(store, options.workload)
        suite = _suite(target, applied_one(store, options.workload), options.grader)
        variants = store.variant(upgrade.incumbent), store.variant(upgrade.candidate)
        names = named(store, upgrade.incumbent), named(store, upgrade.candidate)
    comparison = _run(suite, variants, names, environment)
    path = StateFolder(options.state, clock).write_eval(evaluating.evidence_of(comparison, variants[1]))
    if options.html is not None:
        write_whole(options.html, html.render(comparison))
    if options.as_json:
        say(json.dumps(document(comparison), indent=2))
    else:
        terminal.show(comparison, Console(highlight=False))
        pages = "" if options.html is None else f"; page: {visible(str(options.html))}"
        say(f"\nkept for the controller: {visible(str(path))}{pages}")
        say(f"Type next: midshift upgrade status {options.workload}")
    return EXIT_CODES[comparison.ruling.decision]


def _run(
    suite: Suite, variants: tuple[Variant, Variant], names: tuple[str, str], environment: Mapping[str, str]
) -> Comparison:
    from midshift.cli.evaluating import evaluate as ask_both
    from midshift.cli.serve import no_address, upstream
    from midshift.providers.http.pool import Pool

    upstreams = {variant.provider: upstream(variant.provider, environment) for variant in variants}
    for provider, found in upstreams.items():
        if found is None:
            raise ConfigError(no_address(provider))

    async def ask() -> Comparison:
        with ExitStack() as stack:
            pools = {name: Pool(found, found.api_key) for name, found in upstreams.items() if found is not None}
            for pool in pools.values():
                stack.callback(pool.close)
            return await ask_both(suite, *variants, pools, SystemClock(), names)

    return asyncio.run(ask())


def _suite(target: Target, definition: config.Definition, grader: str) -> Suite:
    from midshift.cli.evaluating import Suite
    from midshift.evals import suite_file
    from midshift.evals.graders import BY_NAME
    from midshift.evals.rows import Side

    grade = BY_NAME.get(grader)
    if grade is None:
        raise UsageError(
            f"--grader {grader!r} is none, expected one of: {', '.join(BY_NAME)}. Type next: --grader exact"
        )

    def graded(case: EvalCase, answer: Answer, _: Variant) -> Mapping[str, float]:
        return grade(case, answer, Side.CANDIDATE)  # these graders look at the case and the answer only

    path = _suite_lines(target, definition)
    with path.open("rb") as lines:
        cases = suite_file.read(lines, str(path))
    watched = frozenset(part.name for part in definition.workload.slices if part.role is SliceRole.WATCH)
    return Suite(path, definition.workload.claims[0], cases, graded, definition.workload.margin, watched)


def _suite_lines(target: Target, definition: config.Definition) -> Path:
    """The file of JSON lines that holds the cases: the suite itself, or the one that its YAML names."""
    if definition.suite_path is None:
        raise ConfigError(
            f"workload {definition.name!r} has no suite, expected one. Type next: "
            f"suite: suites/{definition.name}.jsonl, in midshift.yaml"
        )
    path = target.main.parent / definition.suite_path
    if path.suffix not in (".yaml", ".yml"):
        return path
    from midshift.config import tree
    from midshift.config.problems import Report
    from midshift.config.tree import Fields, Scalar

    root = tree.read(definition.suite_path, path.read_text(encoding="utf-8-sig"), Report())
    cases = root.get("cases") if isinstance(root, Fields) else None
    if not isinstance(cases, Scalar):
        raise ConfigError(
            f"{definition.suite_path}: found cases that are written in it, expected the name of a file of JSON lines. "
            "Type next: cases: NAME.jsonl"
        )
    return path.parent / cases.text
