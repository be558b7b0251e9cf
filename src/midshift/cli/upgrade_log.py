"""`midshift upgrade log`: what happened to an upgrade, who said so and why.

Elsewhere: the words (reports.upgrade_log), the events (store).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from midshift.cli.project import Target, named, say
from midshift.errors import UsageError
from midshift.reports import upgrade_log as report

if TYPE_CHECKING:
    from midshift.domain.upgrade import Upgrade
    from midshift.store.sql import SqlStore


def log(target: Target, workload: str, upgrade_id: str | None, as_json: bool) -> int:
    """Print the events of an upgrade in their order; of the workload's newest, unless one is named."""
    with target.open_store() as store:
        upgrade = _meant(store, workload, upgrade_id)
        start, listed = started(store, upgrade), entries(store, upgrade)
        if as_json:
            say(json.dumps(report.document(start, listed), indent=2))
        else:
            say(*report.lines(start, listed, named(store, upgrade.incumbent), named(store, upgrade.candidate)))
    return 0


def entries(store: SqlStore, upgrade: Upgrade) -> list[report.Entry]:
    """The events of an upgrade, with what each of them changed."""
    return report.entries(store.began(upgrade.id), store.events(upgrade.id))


def started(store: SqlStore, upgrade: Upgrade) -> report.Start:
    """How an upgrade began: who and why stand with the first routing row that was written for it."""
    began = store.began(upgrade.id)
    changes = (change for change in store.route_changes(upgrade.workload) if change.route.upgrade == upgrade.id)
    first = min(changes, key=lambda change: change.route.epoch, default=None)
    return report.Start(began, first.who if first else "", first.why if first else "", began.entered)


def _meant(store: SqlStore, workload: str, upgrade_id: str | None) -> Upgrade:
    known = [item for item in store.upgrades() if item.workload == workload]
    wanted = [item for item in known if upgrade_id in (None, item.id)]
    if wanted:
        return wanted[-1]
    if known:
        listed = ", ".join(item.id for item in known)
        raise UsageError(
            f"--upgrade {upgrade_id!r} is none of {workload!r}, expected one of {listed}. "
            f"Type next: --upgrade {known[-1].id}"
        )
    listed = ", ".join(sorted({repr(item.workload) for item in store.upgrades()})) or "none at all"
    raise UsageError(
        f"workload {workload!r} has had no upgrade, expected one that has; those are: {listed}. "
        "Type next: midshift status"
    )
