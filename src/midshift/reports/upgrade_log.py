"""The log of one upgrade: what happened, when, who said so and why, in its order.

Contract: nothing is left out and no reason is cut; where an event led from one stage to another, both are named.
Elsewhere: where an upgrade stands (status), what may follow what (domain.upgrade).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, apply
from midshift.errors import InvalidTransition
from midshift.ports import LoggedEvent
from midshift.reports.text import visible

FORMAT = "midshift.upgrade-log/1"
ENDINGS = frozenset({Kind.HALTED, Kind.STOPPED, Kind.ROLLED_BACK})
"""What takes a candidate away."""

_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class Start:
    """How an upgrade began."""

    upgrade: Upgrade
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, and the state of the upgrade before and after it."""

    logged: LoggedEvent
    before: Upgrade
    after: Upgrade


def entries(began: Upgrade, events: Iterable[LoggedEvent]) -> list[Entry]:
    """Each event with what it changed; one that no longer fits (of another midshift) changes nothing."""
    found, state = [], began
    for logged in events:
        try:
            after = apply(state, logged.event)
        except InvalidTransition:
            after = state
        found.append(Entry(logged, state, after))
        state = after
    return found


def ending(listed: Sequence[Entry]) -> Entry | None:
    """What took the candidate away, if that is how the upgrade stands."""
    taken = [entry for entry in listed if entry.logged.event.kind in ENDINGS]
    return taken[-1] if taken and listed[-1].after.stage is taken[-1].after.stage else None


def lines(start: Start, listed: Sequence[Entry], incumbent: str, candidate: str) -> list[str]:
    """The log as text, a line an event. Reasons are whole."""
    rows = [(start.at, start.who, "started", start.why)]
    rows += [_row(entry) for entry in listed]
    people = max(len(visible(who)) for _, who, _, _ in rows)
    words = max(len(said) for _, _, said, _ in rows)
    title = f"{start.upgrade.id}: {visible(incumbent)} → {visible(candidate)}"
    return [
        title,
        *(
            f"{at:%Y-%m-%d %H:%M:%S}  {visible(who):{people}}  {said:{words}}  {visible(why, _LONGEST)}".rstrip()
            for at, who, said, why in rows
        ),
    ]


def document(start: Start, listed: Sequence[Entry]) -> dict[str, Any]:
    """The same as plain values. `at` is the upgrade's own time, `written_at` the machine's."""
    begun = {"version": 0, "at": start.at.isoformat(), "kind": "started", "who": start.who, "why": start.why}
    return {
        "format": FORMAT,
        "id": start.upgrade.id,
        "workload": start.upgrade.workload,
        "incumbent": start.upgrade.incumbent,
        "candidate": (listed[-1].after if listed else start.upgrade).candidate,
        "events": [begun, *map(_record, listed)],
    }


def _row(entry: Entry) -> tuple[datetime, str, str, str]:
    event = entry.logged.event
    said = event.kind.value.replace("_", " ")
    if event.what:
        said += f" {visible(event.what)}"
    if (place := _moved(entry)) is not None:
        said += f": {place}"
    return event.at, event.who, said, event.why


def _moved(entry: Entry) -> str | None:
    before, after = entry.before, entry.after
    if (before.stage, before.step) == (after.stage, after.step):
        return None
    return f"{_place(before)} → {_place(after)}"


def _place(upgrade: Upgrade) -> str:
    share = f" {upgrade.share:.0%}" if upgrade.stage is Stage.CANARY else ""
    return upgrade.stage.value.replace("_", " ") + share


def _record(entry: Entry) -> dict[str, Any]:
    event: Event = entry.logged.event
    return {
        "version": entry.logged.version,
        "at": event.at.isoformat(),
        "written_at": entry.logged.machine_at.isoformat(),
        "kind": event.kind.value,
        "who": event.who,
        "why": event.why,
        "what": event.what or None,
        "candidate": event.candidate,
        "from": {"stage": entry.before.stage.value, "step": entry.before.step},
        "to": {"stage": entry.after.stage.value, "step": entry.after.step},
    }
