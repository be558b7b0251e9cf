"""What gateways write: sums, histograms, feedback and reports, in plain SQL, for whoever has a transaction open.

Elsewhere: reading it (measurements), who is the one writer (writer).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from midshift.domain.cells import NUMBERS
from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.gateways import ERASED_AFTER, FORGOTTEN_AFTER, Death, GatewayProcess, Told
from midshift.domain.histogram import SPAN, Histogram
from midshift.domain.sums import CellRow, Row, cell_rows, rows
from midshift.errors import UsageError
from midshift.store.plain import Plain, moment, stored

REMEMBERED_BATCHES = 4096
"""How far behind its newest batch a gateway can still deliver one: more than an hour, at one a second."""

FEEDBACK_REMEMBERED = timedelta(days=90)
"""How long it is known that a request has had its feedback. A gateway takes none that is older than half of it."""


def _adding(table: str, key: str, numbers: Iterable[str]) -> str:
    """The statement that adds a row to the one of the same key, number by number."""
    names = list(numbers)
    columns = [*key.split(", "), *names]
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {added}"
    )


_ADD_CELL = _adding("cells", "upgrade, step, arm, slice, block, workload", NUMBERS)
_ADD = _adding("sums", "upgrade, step, arm, slice, metric, block, workload", ("n", "total", "squares"))
_ADD_SPAN = _adding(
    "spans", "upgrade, step, arm, slice, metric, workload, span", (f"n{place}" for place in range(SPAN))
)
_TAKE_BATCH = "INSERT INTO sum_batches (gateway, sequence) VALUES (?, ?) ON CONFLICT DO NOTHING"
_FORGET_BATCHES = "DELETE FROM sum_batches WHERE gateway = ? AND sequence <= ?"
_LAST_BATCH = "SELECT max(sequence) FROM sum_batches WHERE gateway = ?"
_TAKE_FEEDBACK = "INSERT INTO feedback (request, workload, given_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET_FEEDBACK = "DELETE FROM feedback WHERE given_at < ?"
_REPORT = """
INSERT INTO gateway_lives (gateway, instance, workload, epoch, home, stopped, at) VALUES (?, ?, ?, ?, ?, 0, ?)
ON CONFLICT (gateway, instance, workload)
DO UPDATE SET epoch = excluded.epoch, home = excluded.home, stopped = 0, at = excluded.at
"""
_LEAVE = "UPDATE gateway_lives SET stopped = 1, at = ? WHERE gateway = ? AND instance = ?"
_NEWEST = "SELECT max(at) FROM gateway_lives WHERE NOT (gateway = ? AND instance = ?)"
_OVER = """
SELECT gateway, instance FROM gateway_lives GROUP BY gateway, instance
HAVING max(at) < ? OR (min(stopped) = 1 AND max(at) < ?)
"""
_FORGET_LIFE = "DELETE FROM gateway_lives WHERE gateway = ? AND instance = ?"
_SAY_DEAD = """
INSERT INTO gateway_deaths (gateway, instance, heard_at, at, who, why) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (gateway, instance)
DO UPDATE SET heard_at = excluded.heard_at, at = excluded.at, who = excluded.who, why = excluded.why
"""
_FORGET_DEATH = "DELETE FROM gateway_deaths WHERE gateway = ? AND instance = ?"
_FORGET_BATCHES_OF = "DELETE FROM sum_batches WHERE gateway = ?"
_FORGET_REPORTS = "DELETE FROM gateway_reports WHERE at < ?"


def merge(
    connection: Plain,
    gateway: str,
    sequence: int,
    sums: Mapping[SumKey, Sum],
    histograms: Mapping[HistogramKey, Histogram],
) -> bool:
    """Add a batch unless it was added before; whether it was added now.

    Raises:
        UsageError: for a number that is not finite, which would spoil its sum for good.
    """
    if not _is_new(connection, gateway, sequence):
        return False
    _add(connection, sums)
    connection.executemany(_ADD_SPAN, _spans(histograms))
    return True


def take_feedback(connection: Plain, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
    """Add what the first feedback on a request says; False, and nothing added, for any other.

    Raises:
        UsageError: for a number that is not finite.
    """
    if connection.execute(_TAKE_FEEDBACK, (request, workload, stored(at))).rowcount == 0:
        return False
    connection.execute(_FORGET_FEEDBACK, (stored(at - FEEDBACK_REMEMBERED),))
    _add(connection, sums)
    return True


def last_sequence(connection: Plain, gateway: str) -> int | None:
    """The newest batch of a gateway."""
    newest: int | None = connection.execute(_LAST_BATCH, (gateway,)).fetchone()[0]
    return newest


def enter(connection: Plain, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
    """Forget the dead of that name, and whoever is long over, with the numbers of their batches.

    A process that lives would have the batch counted twice that it sends again, so silence alone forgets nobody for
    weeks, and never by the starter's clock alone: what another process said last has to be as much later.
    """
    over = [*_long_over(connection, process, at), *(GatewayProcess(process.name, one) for one in sorted(dead))]
    for statement in (_FORGET_LIFE, _FORGET_DEATH):
        connection.executemany(statement, [(one.name, one.instance) for one in over])
    connection.executemany(_FORGET_BATCHES_OF, [(one.key,) for one in over if one.instance])


def _long_over(connection: Plain, process: GatewayProcess, at: datetime) -> list[GatewayProcess]:
    newest = connection.execute(_NEWEST, (process.name, process.instance)).fetchone()[0]
    if newest is None:
        return []
    now = min(at, moment(newest))
    erased, stopped = stored(now - ERASED_AFTER), stored(now - FORGOTTEN_AFTER)
    connection.execute(_FORGET_REPORTS, (erased,))
    return [GatewayProcess(*found) for found in connection.execute(_OVER, (erased, stopped)).fetchall()]


def report(connection: Plain, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
    """Put down what a gateway serves, in the place of what it said before."""
    who = process.name, process.instance
    lines = [(*who, name, told[name].epoch, told[name].home, stored(at)) for name in sorted(told)]
    connection.executemany(_REPORT, lines)


def leave(connection: Plain, process: GatewayProcess, at: datetime) -> None:
    """Put down that a gateway has ended."""
    connection.execute(_LEAVE, (stored(at), process.name, process.instance))


def say_dead(connection: Plain, process: GatewayProcess, heard_at: datetime, death: Death) -> None:
    """Put down that somebody says of a process that it is dead, knowing nothing of it that is later than `heard_at`."""
    said = stored(heard_at), stored(death.at), death.who, death.why
    connection.execute(_SAY_DEAD, (process.name, process.instance, *said))


def _is_new(connection: Plain, gateway: str, sequence: int) -> bool:
    newest = last_sequence(connection, gateway)
    if newest is not None and sequence <= newest - REMEMBERED_BATCHES:
        return False
    if connection.execute(_TAKE_BATCH, (gateway, sequence)).rowcount == 0:
        return False
    if newest is not None and sequence > newest:
        connection.execute(_FORGET_BATCHES, (gateway, sequence - REMEMBERED_BATCHES))
    return True


def _add(connection: Plain, sums: Mapping[SumKey, Sum]) -> None:
    """In the order of the tables, in which two gateways never wait for each other's rows.

    A row at a time: between two of them the thread that serves requests has its turn.
    """
    connection.executemany(_ADD_CELL, map(_finite_cell, cell_rows(sums)))
    connection.executemany(_ADD, map(_finite, rows(sums)))


def _spans(histograms: Mapping[HistogramKey, Histogram]) -> Iterator[tuple[str | int, ...]]:
    return (
        (key.upgrade, key.step, key.arm.value, key.slice, key.metric, key.workload, span, *counts)
        for key in sorted(histograms)
        for span, counts in histograms[key].spans().items()
    )


def _finite_cell(row: CellRow) -> CellRow:
    """All at once: a number that is not finite leaves no sum that is."""
    if not math.isfinite(sum(row[6:])):
        raise _no_number(row[:6], row[6:])
    return row


def _finite(row: Row) -> Row:
    if not (math.isfinite(row[8]) and math.isfinite(row[9])):
        raise _no_number(row[:7], row[7:])
    return row


def _no_number(key: tuple[object, ...], found: tuple[object, ...]) -> UsageError:
    return UsageError(f"sum of {key}: found {found}, expected finite numbers; leave unknown values out")
