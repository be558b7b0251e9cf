"""The right to decide, with an epoch that fences whoever had it before: statements in an open transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from midshift.errors import Fenced
from midshift.ports import CONTROLLER, Lease
from midshift.store import schema


def take(connection: Connection, owner: str, now: datetime, ttl: timedelta) -> Lease | None:
    """A new lease, unless another owner's still runs."""
    held = read(connection)
    if held is not None and held.owner != owner and held.until > now:
        return None
    lease = Lease(owner, 1 if held is None else held.epoch + 1, now + ttl, looked_at=now)
    row = {"owner": lease.owner, "epoch": lease.epoch, "until": lease.until, "looked_at": now}
    if held is None:
        connection.execute(insert(schema.leases), {"name": CONTROLLER, **row})
    else:
        connection.execute(update(schema.leases).where(schema.leases.c.name == CONTROLLER), row)
    return lease


def check(connection: Connection, epoch: int) -> None:
    """Nothing, if the lease of that epoch is the last one that was taken.

    Raises:
        Fenced: if it is not.
    """
    held = read(connection)
    if held is None or held.epoch != epoch:
        found = "no lease was ever taken" if held is None else f"{held.owner!r} has epoch {held.epoch}"
        raise Fenced(f"controller lease: {found}, expected epoch {epoch}; take the lease again before deciding")


def set_until(connection: Connection, until: datetime, now: datetime) -> None:
    """Move the end of the lease."""
    row = {"until": until, "looked_at": now}
    connection.execute(update(schema.leases).where(schema.leases.c.name == CONTROLLER), row)


def read(connection: Connection, hold: bool = True) -> Lease | None:
    """The last lease that was taken; `hold` lets nobody else change it until the transaction ends."""
    found = select(schema.leases).where(schema.leases.c.name == CONTROLLER)
    row = connection.execute(found.with_for_update() if hold else found).one_or_none()
    return None if row is None else Lease(row.owner, row.epoch, row.until, row.name, row.looked_at)
