"""`midshift rollback`: the candidate away from everybody, and who is known to follow.

A rollback is one write and asks nobody: no controller, no lease, no definition. It loads neither numerics nor reports.
Elsewhere: what the write is (store), how gateways follow it (gateway.route), what they say of it (domain.gateways).
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Waiting

from midshift.cli.in_force import spoken
from midshift.cli.project import Target, named, say
from midshift.cli.system import SystemClock
from midshift.domain.gateways import SILENT_AFTER, GatewayReport, Standing, hidden, present
from midshift.domain.routing import Route
from midshift.errors import MidshiftError, UsageError
from midshift.reports.text import visible
from midshift.store.sql import SqlStore

NOT_ALL = 4
"""Users may still get the candidate somewhere: a gateway does not follow, or nobody knows whether it does."""

NOBODY_SAID = 3
"""No gateway is heard: nobody knows what users get."""

_POLL_S = 0.02
_IN_A_LINE = 5
_THERE = "There: the admin port (POST /-/force-incumbent), or touch its force file"


def rollback(target: Target, workload: str, who: str, why: str, patience_s: float) -> int:
    """Put the incumbent back everywhere, and wait a moment for the gateways to say so.

    The row is written in any case. 0 only if no user can get the candidate any more, as far as reports say; else
    `NOT_ALL` or `NOBODY_SAID`.
    """
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with _opened(target, workload) as store:
        before = store.route(workload)
        if before is None:
            known = ", ".join(repr(route.workload) for route in store.routes()) or "one that was applied"
            raise UsageError(f"workload {workload!r} has no route, expected {known}. Type next: midshift status")
        route = store.roll_back(workload, who, why, clock.now())
        took_s = clock.monotonic_s() - started_s
        say(
            f"{workload}: rolled back by {visible(who)}; {visible(_safely_named(store, route.incumbent))} serves "
            f"everybody (epoch {route.epoch}, written in {took_s * 1000:.0f} ms)"
        )
        harbour = _sheltered(store, before, route)
        if harbour:
            say(harbour)
        if before.candidate is None:
            say("No user had a candidate. To leave a promoted variant, start an upgrade to the one before")
        code = _wait_for_gateways(store, route, clock, started_s, patience_s)
    say(f"Type next: midshift status {workload}")
    return code


def _opened(target: Target, workload: str) -> SqlStore:
    """The store; and without it the two ways back that need none."""
    try:
        return target.open_store()
    except MidshiftError as error:
        raise type(error)(
            f"{error}. Without the store: midshift rollback {workload} --admin-port http://HOST:PORT for each gateway, "
            "or on each host: touch .midshift/force-incumbent (in the state folder)"
        ) from error


def _wait_for_gateways(store: SqlStore, route: Route, clock: SystemClock, started_s: float, patience_s: float) -> int:
    waiting = Waiting()
    while True:
        found = _followers(store, route, clock.machine_now())
        spent_s = clock.monotonic_s() - started_s
        if not found.late or spent_s > patience_s:
            break
        waiting.wait(_POLL_S)
    for line in _said(found, spent_s):
        say(line)
    if found.late or found.unheard:
        return NOT_ALL
    return 0 if found.is_answered else NOBODY_SAID


@dataclass(frozen=True, slots=True)
class _Followers:
    """The gateways of a workload, by what a withdrawn candidate means there.

    `late` live and do not follow; `unheard` are silent, and may be cut off with the candidate in force; `gone` are
    silent and can serve it to nobody, by the row that they knew; `dead` are silent, and somebody says so.
    """

    following: list[str]
    home: list[str]
    late: list[str]
    unheard: list[str]
    gone: list[str]
    dead: list[str]
    stopped: list[str]

    @property
    def is_answered(self) -> bool:
        """Whether any gateway says itself that nobody gets the candidate there."""
        return bool(self.following or self.home or self.stopped)


def _followers(store: SqlStore, route: Route, now: datetime) -> _Followers:
    known = {change.route.epoch: change.route for change in store.route_changes(route.workload)}
    reports = store.reports()
    found = _Followers([], [], [], [], [], [], [])
    for report in present(reports, route.workload, now):
        may_serve = _may_serve(report, route, known.get(report.epoch), now)
        match report.standing(route.epoch, now):
            case Standing.SERVES:
                found.following.append(report.gateway)
            case Standing.HOME if not may_serve:
                found.home.append(f"{report.gateway} ({report.home})")
            case Standing.SILENT:
                (found.unheard if may_serve else found.gone).append(report.gateway)
            case Standing.DEAD:
                found.dead.append(f"{report.gateway} (says {report.death.who})" if report.death else report.gateway)
            case Standing.STOPPED:
                found.stopped.append(report.gateway)
            case _:
                found.late.append(report.gateway)
    for report in hidden(reports, route.workload, now):
        if _may_serve(report, route, known.get(report.epoch), now):
            found.unheard.append(_earlier(report, now))
    return found


def _may_serve(report: GatewayReport, route: Route, known: Route | None, now: datetime) -> bool:
    """Also not where the candidate that a silent one knew has become the incumbent since."""
    is_silent = report.standing(route.epoch, now) is Standing.SILENT
    if is_silent and known is not None and known.candidate == route.incumbent:
        return False
    return report.may_serve_candidate(route.epoch, known, now)


def _earlier(report: GatewayReport, now: datetime) -> str:
    """Its name may be heard as well: it has to be told from that one."""
    return f"{report.gateway} (a process silent for {spoken((now - report.at).total_seconds())})"


def _said(found: _Followers, spent_s: float) -> Iterator[str]:
    count = len(found.following) + len(found.home) + len(found.late)
    safe = count - len(found.late)
    if found.late:
        yield f"{safe} of {count} gateways serve it after {spent_s:.1f} s; not yet:{_whole(found.late)}{_THERE}"
    elif count:
        yield f"{safe} of {count} gateways serve it, after {spent_s * 1000:.0f} ms"
    elif found.stopped:
        yield f"No gateway runs: stopped are {_listed(found.stopped)}"
    else:
        yield f"No gateway has reported in the last {SILENT_AFTER.total_seconds():.0f} s, so none is known to follow"
    if found.home:
        yield f"Home by themselves, with the incumbent for everybody: {_listed(found.home)}"
    if found.unheard:
        yield f"Silent:{_whole(found.unheard)}Dead, or cut off from the store with the candidate in force. {_THERE}"
        yield "One that you have seen to be dead: midshift dead GATEWAY --why REASON"
    if found.gone:
        unsure = "Without the candidate by what they said last, which nobody confirms"
        there = "Nobody gets the candidate there" if found.is_answered else unsure
        yield f"Silent for longer: {_listed(found.gone)}. {there}"
    if found.dead:
        yield f"Dead: {_listed(found.dead)}"


def _whole(names: Sequence[str]) -> str:
    """All of them: somebody has to walk up to each."""
    shown = [visible(name, len(name)) for name in names]
    return f" {', '.join(shown)}. " if len(shown) <= _IN_A_LINE else "\n  " + "\n  ".join(shown) + "\n"


def _listed(names: Sequence[str]) -> str:
    return visible(", ".join(names), 1000)


def _sheltered(store: SqlStore, before: Route, after: Route) -> str:
    """A sentence where a forced upgrade leads to its safe harbour. It is back already: nothing here may fail it."""
    try:
        upgrade = None if before.upgrade is None else store.upgrade(before.upgrade)
    except MidshiftError:
        return ""
    if upgrade is None or upgrade.forced is None or after.incumbent != upgrade.forced.safe_harbour:
        return ""
    gone, day = _safely_named(store, upgrade.incumbent), upgrade.forced.retires_on
    return f"That is the safe harbour of {upgrade.id}: the incumbent {visible(gone)} retired on {day}"


def _safely_named(store: SqlStore, variant_id: str) -> str:
    try:
        return named(store, variant_id)
    except MidshiftError:  # it is back already: a damaged variant must not make that look like a failure
        return variant_id[:12]


def login() -> str:
    """Who is at this terminal, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
