"""Reading what gateways wrote: sums and histograms. Statements, for whoever has a transaction open.

Elsewhere: writing it (tallies), reading what they say of themselves (followed).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from midshift.domain.cells import cell_of
from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Arm
from midshift.store import schema


def read_histograms(
    connection: Connection, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
) -> dict[HistogramKey, Histogram]:
    """The histograms of one upgrade: of these metrics and slices, or of all where none is named."""
    added: dict[HistogramKey, Histogram] = {}
    for upgrade, step, arm, part, metric, workload, span, *counts in connection.execute(
        _chosen(schema.spans, upgrade_id, metrics, slices)
    ):
        about = HistogramKey(workload, upgrade, step, Arm(arm), part, metric)
        added.setdefault(about, Histogram()).merge_span(span, counts)
    for upgrade, step, arm, part, metric, workload, bucket, n in connection.execute(
        _chosen(schema.histograms, upgrade_id, metrics, slices)
    ):
        about = HistogramKey(workload, upgrade, step, Arm(arm), part, metric)
        added.setdefault(about, Histogram()).merge({bucket: n})
    return added


def read(
    connection: Connection, upgrade_id: str, metrics: Collection[str] = (), slices: Collection[str] = ()
) -> dict[SumKey, Sum]:
    """The sums of one upgrade: of these metrics and slices, or of all where none is named."""
    added: dict[SumKey, Sum] = {}
    for upgrade, step, arm, part, block, workload, *numbers in connection.execute(
        _chosen(schema.cells, upgrade_id, (), slices)
    ):
        for metric, n, total, squares in cell_of(numbers).lines():
            if not metrics or metric in metrics:
                added[SumKey(workload, upgrade, step, Arm(arm), part, metric, block)] = Sum(n, total, squares)
    for upgrade, step, arm, part, metric, block, workload, n, total, squares in connection.execute(
        _chosen(schema.sums, upgrade_id, metrics, slices)
    ):
        key = SumKey(workload, upgrade, step, Arm(arm), part, metric, block)
        added.setdefault(key, Sum()).merge(Sum(n, total, squares))
    return added


def _chosen(table: Table, upgrade_id: str, metrics: Collection[str], slices: Collection[str]) -> Select[Any]:
    """The rows of one upgrade."""
    found = select(table).where(table.c.upgrade == upgrade_id)
    if metrics:
        found = found.where(table.c.metric.in_(list(metrics)))
    if slices:
        found = found.where(table.c.slice.in_(list(slices)))
    return found
