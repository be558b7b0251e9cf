"""Upgrades and their events: statements, for whoever has a transaction open.

The state of an upgrade is always the replay of its events on how it began: `append` is the only way to change it,
and writes both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Column, Connection, insert, select, update

from midshift.domain.upgrade import Event, Kind, Stage, Upgrade
from midshift.errors import Fenced, StoreError, UsageError
from midshift.ports import LoggedEvent
from midshift.store import documents, schema


def start(connection: Connection, upgrade: Upgrade) -> None:
    """Add an upgrade at its beginning.

    Raises:
        StoreError: if its workload has an active one, or its id is taken.
        UsageError: if it is past its beginning.
    """
    if upgrade.version != 0 or upgrade.stage is not Stage.EVAL:
        raise UsageError(
            f"upgrade {upgrade.id!r}: found stage {upgrade.stage} at version {upgrade.version}, "
            "expected one that begins, at its eval (domain.upgrade.begin)"
        )
    table = schema.upgrades
    if other := active(connection, upgrade.workload):
        raise StoreError(
            f"workload {upgrade.workload!r}: upgrade {other.id!r} is in stage {other.stage}, and one workload has one "
            "upgrade at a time. Wait for it, or end it: midshift rollback"
        )
    if connection.scalar(select(table.c.id).where(table.c.id == upgrade.id)) is not None:
        raise StoreError(f"upgrade {upgrade.id!r} is there already; expected an id of its own")
    text = documents.encode(upgrade)
    row = {
        "id": documents.check_printable("id", upgrade.id),
        "workload": documents.check_printable("workload", upgrade.workload),
        "active": True,
        "version": 0,
        "began": text,
        "state": text,
    }
    connection.execute(insert(table), row)


def read(connection: Connection, upgrade_id: str, hold: bool = False) -> Upgrade:
    """The state of one; `hold` lets nobody else change it until the transaction ends.

    Raises:
        StoreError: if there is none of that id.
    """
    return documents.decode(Upgrade, _text(connection, upgrade_id, schema.upgrades.c.state, hold))


def began(connection: Connection, upgrade_id: str) -> Upgrade:
    """One as it began.

    Raises:
        StoreError: if there is none of that id.
    """
    return documents.decode(Upgrade, _text(connection, upgrade_id, schema.upgrades.c.began, hold=False))


def active(connection: Connection, workload: str, hold: bool = False) -> Upgrade | None:
    """The one of a workload that is not over; `hold` lets nobody else change it until the transaction ends."""
    table = schema.upgrades
    found = select(table.c.state).where(table.c.workload == workload, table.c.active)
    text = connection.scalar(found.with_for_update() if hold else found)
    return None if text is None else documents.decode(Upgrade, text)


def append(
    connection: Connection,
    before: Upgrade,
    after: Upgrade,
    event: Event,
    evidence: Mapping[str, object],
    policy: str,
    machine_at: datetime,
) -> None:
    """Write an event and the state that it leads to.

    Raises:
        Fenced: if `before` is not what is stored.
    """
    stored = read(connection, before.id, hold=True)
    if stored != documents.in_utc(before):
        raise Fenced(
            f"upgrade {before.id!r}: found version {stored.version} in stage {stored.stage}, expected version "
            f"{before.version} in stage {before.stage}: somebody else has written it; read it again"
        )
    row = {
        "upgrade": after.id,
        "version": after.version,
        "at": event.at,
        "kind": event.kind.value,
        "who": documents.check_printable("who", event.who),
        "why": documents.check_printable("why", event.why),
        "what": documents.check_printable("what", event.what),
        "candidate": event.candidate,
        "forced": documents.encode_forced(event.forced),
        "evidence": documents.encode_plain(evidence),
        "policy": documents.check_printable("policy", policy),
        "machine_at": machine_at,
    }
    connection.execute(insert(schema.events), row)
    connection.execute(
        update(schema.upgrades).where(schema.upgrades.c.id == after.id),
        {"state": documents.encode(after), "version": after.version, "active": not after.stage.is_final},
    )


def events(connection: Connection, upgrade_id: str) -> Sequence[LoggedEvent]:
    """The events of one, oldest first."""
    table = schema.events
    rows = connection.execute(select(table).where(table.c.upgrade == upgrade_id).order_by(table.c.version))
    return [
        LoggedEvent(
            row.version,
            Event(
                Kind(row.kind), row.at, row.who, row.why, row.what, row.candidate, documents.decode_forced(row.forced)
            ),
            documents.decode_plain(row.evidence),
            row.policy,
            row.machine_at,
        )
        for row in rows
    ]


def _text(connection: Connection, upgrade_id: str, column: Column[str], hold: bool) -> str:
    table = schema.upgrades
    found = select(column).where(table.c.id == upgrade_id)
    text = connection.scalar(found.with_for_update() if hold else found)
    if text is None:
        known = connection.scalars(select(table.c.id).order_by(table.c.number.desc()).limit(5)).all()
        raise StoreError(
            f"no upgrade {upgrade_id!r} in the store; the newest are: {', '.join(map(repr, known)) or 'none'}"
        )
    return text
