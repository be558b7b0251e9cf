"""Routing rows and their changes: statements, for whoever has a transaction open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Row, insert, select, update

from midshift.domain.routing import Route
from midshift.errors import Fenced, StoreError, UsageError
from midshift.ports import RouteChange
from midshift.store import documents, schema


def read(connection: Connection, workload: str, hold: bool = False) -> Route | None:
    """The row of a workload; `hold` lets nobody else change it until the transaction ends."""
    found = select(schema.routes).where(schema.routes.c.workload == workload)
    row = connection.execute(found.with_for_update() if hold else found).one_or_none()
    return None if row is None else _route(row)


def replace(connection: Connection, route: Route, expected_epoch: int, who: str, why: str, at: datetime) -> None:
    """Put `route` in the place of the row of `expected_epoch`; 0 is the epoch of a row that is not there.

    Raises:
        Fenced: if the row has another epoch.
        UsageError: unless `route` has the next one.
        StoreError: if it names a variant that is not stored.
    """
    if route.epoch != expected_epoch + 1:
        raise UsageError(f"workload {route.workload!r}: found route epoch {route.epoch}, expected {expected_epoch + 1}")
    stored = read(connection, route.workload, hold=True)
    epoch = 0 if stored is None else stored.epoch
    if epoch != expected_epoch:
        raise Fenced(
            f"workload {route.workload!r}: its route is at epoch {epoch}, expected {expected_epoch}: "
            "somebody else has changed it; read it again"
        )
    _check_variants(connection, route)
    row = {
        **asdict(route),
        "others": documents.encode_others(route.others),
        "rings": documents.encode_names(route.rings),
    }
    if stored is None:
        connection.execute(insert(schema.routes), row)
    else:
        connection.execute(update(schema.routes).where(schema.routes.c.workload == route.workload), row)
    connection.execute(
        insert(schema.route_changes),
        {
            "workload": documents.check_printable("workload", route.workload),
            "epoch": route.epoch,
            "route": documents.encode(route),
            "who": documents.check_printable("who", who),
            "why": documents.check_printable("why", why),
            "machine_at": at,
        },
    )


def extend(connection: Connection, until: datetime) -> None:
    """Move `lease_until` of every row with a candidate; it is the same routing, so the epoch stays."""
    connection.execute(update(schema.routes).where(schema.routes.c.candidate.is_not(None)), {"lease_until": until})


def changes(connection: Connection, workload: str) -> Sequence[RouteChange]:
    """The changes of one row, oldest first."""
    table = schema.route_changes
    rows = connection.execute(select(table).where(table.c.workload == workload).order_by(table.c.epoch))
    return [RouteChange(documents.decode(Route, row.route), row.who, row.why, row.machine_at) for row in rows]


def _check_variants(connection: Connection, route: Route) -> None:
    others = (other.variant for other in route.others)
    named = {variant for variant in (route.incumbent, route.candidate, *others) if variant is not None}
    found = connection.scalars(select(schema.variants.c.id).where(schema.variants.c.id.in_(named)))
    if missing := sorted(named.difference(found)):
        raise StoreError(
            f"workload {route.workload!r}: the route names {', '.join(map(repr, missing))}, expected variants that are "
            "stored, so that a flip never reads a file; store them first (put_variant, or midshift apply)"
        )


def _route(row: Row[tuple[object, ...]]) -> Route:
    fields = row._asdict()
    others, rings = documents.decode_others(fields["others"]), documents.decode_names(fields["rings"])
    return Route(**{**fields, "others": others, "rings": rings})
