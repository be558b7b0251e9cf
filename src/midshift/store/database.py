"""The seam between the one SQL body and the databases under it: all that a dialect has to say.

SQLite is `sqlite`. PostgreSQL is a second class like it: transactions at READ COMMITTED (every decision locks the rows
that it is made on, `with_for_update`, which SQLite's single writer makes unnecessary), LISTEN with an epoch poll for
`changed`, its own `insert`, and an advisory lock around `migrating`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from sqlalchemy import ColumnElement, Connection, Insert, Table

from midshift.store.plain import Plain

Incoming: TypeAlias = Mapping[str, ColumnElement[Any]]
"""The row that an insert wanted to write, by column."""


class Database(Protocol):
    """Connections, and the words in which databases differ. Every context raises StoreError for what fails in it."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one moment, and holds up nobody."""
        ...

    def deciding(self) -> AbstractContextManager[Connection]:
        """A transaction of a decision: once left without an error, it survives the loss of power."""
        ...

    def collecting(self) -> AbstractContextManager[Connection]:
        """A transaction of measurements: once left without an error, it survives the death of any process."""
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """A transaction that may change tables, one at a time over all processes."""
        ...

    def changed(self) -> bool:
        """Whether anything may have been committed since the last call, by anyone; True at first."""
        ...

    def plain(self, connection: Connection) -> Plain:
        """The same connection, in the same transaction, for statements that are texts."""
        ...

    def upsert(self, table: Table, change: Callable[[Incoming], Mapping[str, Any]] | None = None) -> Insert:
        """An insert that changes the row of the same key instead, or leaves it as it is."""
        ...

    def close(self) -> None:
        """Let go of every connection."""
        ...
