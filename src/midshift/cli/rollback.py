"""`midshift rollback` and `midshift halt`: the two ways to take the candidate away.

A rollback is one write and asks nobody: no controller, no lease, no definition. It loads neither numerics nor reports.
Elsewhere: what the write is (store), how gateways follow it (gateway.route).
"""

from __future__ import annotations

import getpass
from datetime import timedelta
from threading import Event as Waiting

from midshift.cli.project import Target, named, say
from midshift.cli.system import SystemClock
from midshift.domain.routing import Route
from midshift.errors import MidshiftError, UsageError
from midshift.reports.text import visible
from midshift.store.sql import SqlStore

HEARD_OF_WITHIN = timedelta(seconds=30)
"""A gateway that has not reported for so long is not waited for."""

_POLL_S = 0.02


def rollback(target: Target, workload: str, who: str, why: str, patience_s: float) -> int:
    """Put the incumbent back everywhere, and wait a moment for the gateways to say so."""
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with target.open_store() as store:
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
        _wait_for_gateways(store, route, clock, started_s, patience_s)
    say(f"Type next: midshift status {workload}")
    return 0


def _wait_for_gateways(store: SqlStore, route: Route, clock: SystemClock, started_s: float, patience_s: float) -> None:
    waiting = Waiting()
    while True:
        since = clock.machine_now() - HEARD_OF_WITHIN
        reports = [item for item in store.reports() if item.workload == route.workload and item.at > since]
        late = sorted(item.gateway for item in reports if item.epoch < route.epoch)
        spent_s = clock.monotonic_s() - started_s
        if not late or spent_s > patience_s:
            break
        waiting.wait(_POLL_S)
    if not reports:
        say("No gateway has reported in the last 30 s, so none is known to follow")
    elif not late:
        say(f"{len(reports)} of {len(reports)} gateways serve it, after {spent_s * 1000:.0f} ms")
    else:
        say(
            f"{len(reports) - len(late)} of {len(reports)} gateways serve it after {spent_s:.1f} s; not yet: "
            f"{visible(', '.join(late))}. There: the admin port (POST /-/force-incumbent), or touch its force file"
        )


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
