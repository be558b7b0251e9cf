"""`midshift upgrade drift`: what the shadow pairs of an upgrade show."""

from __future__ import annotations

import json
from pathlib import Path

from midshift.cli.project import Target, named, say
from midshift.cli.state_folder import StateFolder
from midshift.cli.system import SystemClock
from midshift.domain.upgrade import Upgrade
from midshift.errors import UsageError
from midshift.store.sql import SqlStore

NO_DATA = 3


def drift(target: Target, workload: str, state: Path, as_json: bool) -> int:
    """Show the drift and the divergence of the newest upgrade of a workload; 3 if it has no pair."""
    from rich.console import Console

    from midshift.reports import shadow

    with target.open_store() as store:
        upgrade = _newest(store, workload)
        sources = StateFolder(state, SystemClock())
        incumbent, candidate = named(store, upgrade.incumbent), named(store, upgrade.candidate)
        findings, divergences = sources.findings(upgrade), sources.divergence(upgrade)
        noise_pairs = None if divergences else sources.noise_pairs(upgrade)
        report = shadow.ShadowReport(workload, upgrade.id, incumbent, candidate, findings, divergences, noise_pairs)
        if as_json:
            say(json.dumps(shadow.document(report), indent=2))
        elif not findings:
            say(
                f"upgrade {upgrade.id} has no shadow pair in {str(state)!r} yet, expected those that a gateway on this "
                f"host writes in stage shadow. Type next: midshift upgrade status {workload}"
            )
        else:
            Console(highlight=False).print(shadow.render(report))
        return 0 if findings else NO_DATA


def _newest(store: SqlStore, workload: str) -> Upgrade:
    found = [upgrade for upgrade in store.upgrades() if upgrade.workload == workload]
    if not found:
        known = ", ".join(sorted({upgrade.workload for upgrade in store.upgrades()})) or "none at all"
        raise UsageError(
            f"workload {workload!r} has had no upgrade; those that have: {known}. "
            f"Type next: midshift upgrade start {workload} --to VARIANT_FILE"
        )
    return found[-1]
