"""Writing variants and definitions: statements, for whoever has a transaction open. Elsewhere: reading (followed)."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from midshift.domain.variant import Variant
from midshift.ports import Definition
from midshift.store import documents, schema
from midshift.store.database import Database


def put_variant(connection: Connection, database: Database, variant: Variant) -> str:
    """Store a variant under its hash."""
    row = {"id": variant.id, "content": documents.encode_variant(variant)}
    connection.execute(database.upsert(schema.variants), row)
    return variant.id


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
