"""Bring a store's tables to the version that this midshift knows, or refuse to touch them.

The version is read first: Alembic takes half a second to import, and a store is hardly ever behind.
"""

from __future__ import annotations

import importlib

from sqlalchemy import Connection, column, inspect, select, table

from midshift.errors import StoreError
from midshift.store.database import Database
from midshift.store.versions import HEAD, KNOWN, VERSION_TABLE

_RUNNER = "midshift.store.migrations.run"


def bring_up_to_date(database: Database) -> None:
    """Run what is missing, in one transaction; another process that wants the same waits, and finds it done.

    Raises:
        StoreError: if the database belongs to something else, or to a newer midshift; it is not touched then.
    """
    with database.reading() as connection:
        found = version(connection)
    if found == HEAD:
        return
    runner = importlib.import_module(_RUNNER)
    with database.migrating() as connection:
        version(connection)  # another process may have been faster, and newer
        runner.upgrade(connection)


def version(connection: Connection) -> str | None:
    """The version of the tables that are there; None for an empty database.

    Raises:
        StoreError: for tables that this midshift must not touch.
    """
    names = inspect(connection).get_table_names()
    if not names:
        return None
    if VERSION_TABLE not in names:
        raise StoreError(
            f"this database is no midshift store: it has tables ({', '.join(sorted(names)[:5])}) "
            f"but no {VERSION_TABLE!r}. Name another file or database"
        )
    found = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    if found is not None and found not in KNOWN:
        raise StoreError(
            f"this store has schema {found!r}, expected at most {HEAD!r}: a newer midshift has written it. "
            "Type next: pip install --upgrade midshift"
        )
    return None if found is None else str(found)
