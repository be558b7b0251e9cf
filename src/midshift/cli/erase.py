"""`midshift erase`: all records of one unit go, at once where they are closed and within an hour elsewhere.

Sums stay: they hold nobody's records. Suites and files that were made from captured requests are the user's own.
Elsewhere: what is kept of a unit and for how long (store.capturing, store.retention).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from midshift.cli.project import say
from midshift.domain.unit import stored_unit, values_of
from midshift.errors import ConfigError, UsageError
from midshift.gateway import lastknown
from midshift.reports.text import visible
from midshift.store.retention import Cleaned, erase
from midshift.store.segments import Kind

FORMAT = "midshift.erased/1"
FROM_STDIN = "-"


@dataclass(frozen=True, slots=True)
class Whom:
    """The unit as the app names it, and the workload whose records are meant."""

    unit: str
    workload: str


def run(state: Path, whom: Whom, environment: Mapping[str, str], now: datetime, as_json: bool) -> int:
    """Erase, and say how much; exit code 3 if there was nothing."""
    if not state.is_dir():
        raise UsageError(
            f"--state {str(state)!r} is no folder, expected that of the gateways of this host. "
            "Type next: --state DIR, as with midshift serve gateway   (where no gateway has run, nothing is kept)"
        )
    key = environment.get("MIDSHIFT_UNIT_KEY", "")
    if not key:
        raise ConfigError(
            "found no MIDSHIFT_UNIT_KEY, expected the key of the gateways: units are HMACs under it. "
            "Type next: export MIDSHIFT_UNIT_KEY=...   (the one that they were started with; no other finds anything)"
        )
    name = sys.stdin.readline().rstrip("\n") if whom.unit == FROM_STDIN else whom.unit
    if not name:
        raise UsageError(
            "--unit is empty, expected the unit as the app names it, or - for standard input. Type next: --unit VALUE"
        )
    removed: dict[Kind, int] = {}
    growing = 0
    for value in values_of(name):
        done = erase(state, whom.workload, stored_unit(key.encode(), value), now)
        removed = {kind: removed.get(kind, 0) + done.removed.get(kind, 0) for kind in Kind}
        growing = done.growing
    served = _served(state)
    is_known = not served or whom.workload in served or any(removed.values())
    _say(whom.workload, Cleaned(removed, growing=growing), as_json, () if is_known else served)
    return 0 if any(removed.values()) or (growing and is_known) else 3


def _served(state: Path) -> tuple[str, ...]:
    """The workloads that the gateways of this host serve, or served last, by their own files."""
    found: set[str] = set()
    for path in state.glob(f"gateways/*/{lastknown.NAME}"):
        try:
            found.update(one.workload for one in _routes.decode(path.read_bytes()).routes)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return tuple(sorted(found))


class _Route(msgspec.Struct):
    workload: str


class _Routes(msgspec.Struct):
    routes: list[_Route]


_routes = msgspec.json.Decoder(_Routes)


def _say(workload: str, done: Cleaned, as_json: bool, served: Sequence[str]) -> None:
    """`served` names workloads where this is none of them: a name that is typed wrong erases nothing."""
    total = sum(done.removed.values())
    if as_json:
        counts = {kind.value: count for kind, count in done.removed.items()}
        document = {"format": FORMAT, "workload": workload, "removed": counts, "growing_segments": done.growing}
        say(json.dumps({**document, "is_served_here": not served}, indent=2))
        return
    if served:
        names = ", ".join(visible(name) for name in served)
        say(f"{visible(workload)} is served by no gateway of this host, expected one of: {names}")
    counts_said = ", ".join(f"{count} in {kind.value}" for kind, count in done.removed.items())
    say(f"{visible(workload)}: {total} records of this unit removed on this host ({counts_said})")
    if done.growing:
        say(
            f"{done.growing} segments are being written at present: running gateways remove the unit's records from "
            "them when they are closed, within an hour or so"
        )
    say("Run it on every host with gateways. Sums hold nobody's records and stay")
