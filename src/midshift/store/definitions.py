"""Variants and definitions: statements, for whoever has a transaction open."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from midshift.domain.variant import Variant
from midshift.errors import StoreError
from midshift.ports import Definition
from midshift.store import documents, schema
from midshift.store.database import Database


def put_variant(connection: Connection, database: Database, variant: Variant) -> str:
    """Store a variant under its hash."""
    row = {"id": variant.id, "content": documents.encode_variant(variant)}
    connection.execute(database.upsert(schema.variants), row)
    return variant.id


def variant(connection: Connection, variant_id: str) -> Variant:
    """A variant by its hash.

    Raises:
        StoreError: if it is not there.
    """
    text = connection.scalar(select(schema.variants.c.content).where(schema.variants.c.id == variant_id))
    if text is None:
        raise StoreError(
            f"no variant {variant_id!r} in the store, expected one that was applied. Type next: midshift apply"
        )
    return documents.decode_variant(variant_id, text)


def record(connection: Connection, definition: Definition) -> None:
    """Append a definition, unless it is what the workload has anyway."""
    table = schema.definitions
    newest = select(table.c.hash).where(table.c.workload == definition.workload).order_by(table.c.number.desc())
    if connection.scalar(newest.limit(1)) == definition.hash:
        return
    row = {
        "workload": documents.check_printable("workload", definition.workload),
        "hash": definition.hash,
        "content": documents.encode_plain(definition.content),
        "git_commit": definition.git_commit,
        "applied_at": definition.applied_at,
        "who": documents.check_printable("who", definition.who),
    }
    connection.execute(insert(table), row)


def newest(connection: Connection) -> Sequence[Definition]:
    """The newest of each workload, by name."""
    table = schema.definitions
    last = select(func.max(table.c.number)).group_by(table.c.workload)
    rows = connection.execute(select(table).where(table.c.number.in_(last)).order_by(table.c.workload))
    return [
        Definition(row.workload, row.hash, documents.decode_plain(row.content), row.applied_at, row.who, row.git_commit)
        for row in rows
    ]
