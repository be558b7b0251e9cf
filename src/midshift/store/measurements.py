"""Sums that gateways merge, feedback, and what gateways report: statements, for whoever has a transaction open."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from sqlalchemy import Connection, Insert, delete, func, select

from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Arm
from midshift.errors import UsageError
from midshift.ports import GatewayReport
from midshift.store import schema
from midshift.store.database import Database

_PLACE = attrgetter("upgrade", "step", "arm", "slice", "metric", "block", "workload")
"""The order of the table, in which two gateways never wait for each other's rows."""

REMEMBERED_BATCHES = 4096
"""How far behind its newest batch a gateway can still deliver one: more than an hour, at one a second."""

FEEDBACK_REMEMBERED = timedelta(days=90)
"""How long it is known that a request has had its feedback. A gateway takes none that is older than half of it."""


def merge(
    connection: Connection,
    database: Database,
    gateway: str,
    sequence: int,
    sums: Mapping[SumKey, Sum],
    histograms: Mapping[HistogramKey, Histogram],
) -> bool:
    """Add a batch unless it was added before; whether it was added now.

    Raises:
        UsageError: for a number that is not finite, which would spoil its sum for good.
    """
    _check_finite(sums)
    if not _is_new(connection, database, gateway, sequence):
        return False
    _add(connection, database, sums)
    rows = [row for key in sorted(histograms) for row in _bucket_rows(key, histograms[key])]
    if rows:
        table = schema.histograms
        connection.execute(database.upsert(table, lambda new: {"n": table.c.n + new["n"]}), rows)
    return True


def take_feedback(
    connection: Connection,
    database: Database,
    request: str,
    workload: str,
    at: datetime,
    sums: Mapping[SumKey, Sum],
) -> bool:
    """Add what the first feedback on a request says; False, and nothing added, for any other.

    Raises:
        UsageError: for a number that is not finite.
    """
    _check_finite(sums)
    table = schema.feedback
    written = connection.execute(database.upsert(table), {"request": request, "workload": workload, "given_at": at})
    if written.rowcount == 0:
        return False
    connection.execute(delete(table).where(table.c.given_at < at - FEEDBACK_REMEMBERED))
    _add(connection, database, sums)
    return True


def read_histograms(
    connection: Connection, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
) -> dict[HistogramKey, Histogram]:
    """The histograms of one upgrade: of these metrics and slices, or of all where none is named."""
    table = schema.histograms
    found = select(table).where(table.c.upgrade == upgrade_id)
    if metrics:
        found = found.where(table.c.metric.in_(list(metrics)))
    if slices:
        found = found.where(table.c.slice.in_(list(slices)))
    read: dict[HistogramKey, Histogram] = {}
    for row in connection.execute(found):
        key = HistogramKey(row.workload, row.upgrade, row.step, Arm(row.arm), row.slice, row.metric)
        read.setdefault(key, Histogram()).buckets[row.bucket] = row.n
    return read


def last_sequence(connection: Connection, gateway: str) -> int | None:
    """The newest batch of a gateway."""
    table = schema.sum_batches
    newest: int | None = connection.scalar(select(func.max(table.c.sequence)).where(table.c.gateway == gateway))
    return newest


def read(
    connection: Connection, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
) -> dict[SumKey, Sum]:
    """The sums of one upgrade: of these metrics and slices, or of all where none is named."""
    found = select(schema.sums).where(schema.sums.c.upgrade == upgrade_id)
    if metrics:
        found = found.where(schema.sums.c.metric.in_(list(metrics)))
    if slices:
        found = found.where(schema.sums.c.slice.in_(list(slices)))
    return {
        SumKey(workload, upgrade, step, Arm(arm), part, metric, block): Sum(n, total, squares)
        for upgrade, step, arm, part, metric, block, workload, n, total, squares in connection.execute(found)
    }


def report(connection: Connection, database: Database, gateway: str, epochs: Mapping[str, int], at: datetime) -> None:
    """Put down what a gateway serves, in the place of what it said before."""
    rows = [{"gateway": gateway, "workload": name, "epoch": epochs[name], "at": at} for name in sorted(epochs)]
    if rows:
        newest = database.upsert(schema.gateway_reports, lambda new: {"epoch": new["epoch"], "at": new["at"]})
        connection.execute(newest, rows)


def reports(connection: Connection) -> Sequence[GatewayReport]:
    """What each gateway said last."""
    table = schema.gateway_reports
    rows = connection.execute(select(table).order_by(table.c.gateway, table.c.workload))
    return [GatewayReport(row.gateway, row.workload, row.epoch, row.at) for row in rows]


def _is_new(connection: Connection, database: Database, gateway: str, sequence: int) -> bool:
    table = schema.sum_batches
    newest = last_sequence(connection, gateway)
    if newest is not None and sequence <= newest - REMEMBERED_BATCHES:
        return False
    written = connection.execute(database.upsert(table), {"gateway": gateway, "sequence": sequence})
    if written.rowcount == 0:
        return False
    if newest is not None and sequence > newest:
        forgotten = delete(table).where(table.c.gateway == gateway, table.c.sequence <= sequence - REMEMBERED_BATCHES)
        connection.execute(forgotten)
    return True


def _add(connection: Connection, database: Database, sums: Mapping[SumKey, Sum]) -> None:
    if sums:
        _execute_many(connection, _merging(database), [_row(key, sums[key]) for key in sorted(sums, key=_PLACE)])


def _execute_many(connection: Connection, statement: Insert, rows: Sequence[dict[str, object]]) -> None:
    """As `connection.execute`, whose look at each value cost a gateway more than the write: none here needs it."""
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    order = getattr(compiled, "positiontup", None)
    given = [tuple(row[name] for name in order) for row in rows] if order else list(rows)
    connection.exec_driver_sql(str(compiled), given)


def _bucket_rows(key: HistogramKey, histogram: Histogram) -> Iterator[dict[str, object]]:
    about = {
        "upgrade": key.upgrade,
        "step": key.step,
        "arm": key.arm.value,
        "slice": key.slice,
        "metric": key.metric,
        "workload": key.workload,
    }
    return ({**about, "bucket": bucket, "n": n} for bucket, n in sorted(histogram.buckets.items()))


def _merging(database: Database) -> Insert:
    table = schema.sums
    return database.upsert(table, lambda new: {name: table.c[name] + new[name] for name in ("n", "total", "squares")})


def _row(key: SumKey, value: Sum) -> dict[str, object]:
    return {
        "upgrade": key.upgrade,
        "step": key.step,
        "arm": key.arm.value,
        "slice": key.slice,
        "metric": key.metric,
        "block": key.block,
        "workload": key.workload,
        "n": value.n,
        "total": value.total,
        "squares": value.squares,
    }


def _check_finite(sums: Mapping[SumKey, Sum]) -> None:
    for key, value in sums.items():
        if not (math.isfinite(value.total) and math.isfinite(value.squares)):
            raise UsageError(f"sum of {key}: found {value}, expected finite numbers; leave unknown values out")
