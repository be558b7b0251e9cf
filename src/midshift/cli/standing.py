"""`midshift status` and `midshift upgrade status`: what serves, who decides, and where upgrades stand.

Read-only: it asks `controller.decide` what it would do on the present evidence, and does nothing.
Elsewhere: gateways and the controller (in_force), the trees (reports.status), what people say (upgrade).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event as Waiting
from typing import TYPE_CHECKING, Any

from midshift.cli import in_force
from midshift.cli.project import Target, named, say
from midshift.cli.system import SystemClock
from midshift.cli.upgrade_log import entries
from midshift.errors import UsageError

if TYPE_CHECKING:
    from midshift.cli.state_folder import StateFolder
    from midshift.reports.status import Position
    from midshift.store.sql import SqlStore

_REDRAW_S = 1.0


def status(
    target: Target, workload: str | None, state: Path, *, watch: bool, as_json: bool, with_routes: bool = False
) -> int:
    """Where upgrades stand, what they wait for, and who decides; with `with_routes`, also what serves each workload."""
    from rich.console import Console, Group

    from midshift.cli.basis import Holding
    from midshift.cli.state_folder import StateFolder
    from midshift.reports import status as report

    with target.open_store() as store:
        sources = StateFolder(state, SystemClock(), Holding(target, store, SystemClock()))
        _require_known(store, workload)
        if as_json:
            content = report.document(_positions(store, sources, workload))
            content["controller"] = in_force.controller_record(store)
            if with_routes:
                content["routes"] = in_force.records(store, workload)
            say(json.dumps(content, indent=2))
            return 0
        console = Console(highlight=False)

        def picture() -> Group:
            routes = [*in_force.lines(store, workload), ""] if with_routes else []
            return Group(in_force.controller_line(store), *routes, report.render(_positions(store, sources, workload)))

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
    from midshift.reports.upgrade_log import ending

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
                ending(entries(store, upgrade)),
            )
        )
    return positions
