"""The least that plain statements need of a connection, and moments as they stand in columns.

Statements that a gateway runs are texts, so that it needs no SQL toolkit; `?` is where a parameter goes. They keep to
what SQLite and PostgreSQL spell alike. All others are SQLAlchemy's.
Elsewhere: what was applied and what serves (followed), what gateways write (tallies), the tables (schema).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol


class Found(Protocol):
    """What came of a statement. `rowcount` is how many rows it wrote."""

    @property
    def rowcount(self) -> int:
        """How many rows were written."""
        ...

    def fetchone(self) -> Any:
        """The next row, None if there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows."""
        ...


class Plain(Protocol):
    """A connection that takes texts: `sqlite3.Connection` is one."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Found:
        """Run one statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> Found:
        """Run one statement for each row."""
        ...


def stored(moment: datetime) -> str:
    """A moment as text that sorts by time: UTC, to the microsecond.

    Raises:
        ValueError: for a time without a zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a moment needs a zone, got {moment!r}")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment(found: str | datetime) -> datetime:
    """The reverse; a database that keeps zones gives the moment itself."""
    return datetime.fromisoformat(found) if isinstance(found, str) else found
