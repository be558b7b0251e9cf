"""What the store holds, as tables.

Promises that do not depend on any code being right: a routing row names variants that are stored, sends no traffic to
a candidate that is not there, and has one change a epoch; a workload has at most one active upgrade; an upgrade has
one event a version. Texts that only midshift reads are JSON in a text column (`documents`).

A sum is what two tables say together: `cells` has the metrics of requests, side by side as they are added up, and
`sums` any other by its name (feedback, and what another version may know). So is a histogram: `spans` has 16
neighbouring buckets a row, and `histograms` what gateways before version 0006 wrote, of which some may still run. What
gateways say is in `gateway_lives`, process by process, and of those before version 0007 in `gateway_reports`, by name.
Who was said to be dead is in `gateway_deaths`, which holds as long as nothing was heard after `heard_at`.
Elsewhere: how an existing store gets here (migrations; a test holds the two together), its versions (versions).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.types import TypeEngine

from midshift.domain.cells import COUNTS, SQUARES, SUMS
from midshift.domain.histogram import SPAN
from midshift.store.plain import moment, stored


class Instant(TypeDecorator[datetime]):
    """A moment, exact to the microsecond, in UTC: where a database forgets zones, a text that sorts by time."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        """A type of its own where there is one that keeps the zone."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | datetime | None:
        """To UTC.

        Raises:
            ValueError: for a time without a zone.
        """
        if value is None:
            return None
        return stored(value) if dialect.name == "sqlite" else moment(stored(value))

    def process_result_value(self, value: str | datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        return None if value is None else moment(value)


METADATA = MetaData(
    naming_convention={  # a migration can only change a constraint that has a name
        "ix": "ix_%(column_0_label)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

variants = Table(
    "variants",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("content", Text, nullable=False),
)

definitions = Table(
    "definitions",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("workload", Text, nullable=False, index=True),
    Column("hash", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("git_commit", Text),
    Column("applied_at", Instant, nullable=False),
    Column("who", Text, nullable=False),
)

routes = Table(
    "routes",
    METADATA,
    Column("workload", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("incumbent", ForeignKey("variants.id"), nullable=False),
    Column("candidate", ForeignKey("variants.id")),
    Column("share", Double, nullable=False),
    Column("shadow_share", Double, nullable=False),
    Column("salt", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("upgrade", Text),
    Column("lease_until", Instant),
    Column("noise_share", Double, nullable=False, server_default=text("0")),
    Column("pair_share", Double, nullable=False, server_default=text("0")),
    Column("reverse_share", Double, nullable=False, server_default=text("0")),
    Column("others", Text, nullable=False, server_default=text("'[]'")),
    Column("rings", Text, nullable=False, server_default=text("'[]'")),
    CheckConstraint("share BETWEEN 0 AND 1 AND shadow_share BETWEEN 0 AND 1", name="shares"),
    CheckConstraint(
        "noise_share BETWEEN 0 AND 1 AND pair_share BETWEEN 0 AND 1 AND reverse_share BETWEEN 0 AND 1",
        name="unseen_shares",
    ),
    CheckConstraint("candidate IS NOT NULL OR (share = 0 AND shadow_share = 0)", name="candidate"),
    CheckConstraint(
        "candidate IS NOT NULL OR (noise_share = 0 AND pair_share = 0 AND reverse_share = 0)", name="unseen_candidate"
    ),
    CheckConstraint("candidate IS NOT NULL OR rings = '[]'", name="rings"),
)

route_changes = Table(
    "route_changes",
    METADATA,
    Column("workload", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("route", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("machine_at", Instant, nullable=False),
)

upgrades = Table(
    "upgrades",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("began", Text, nullable=False),
    Column("state", Text, nullable=False),
    Index("ix_upgrades_id", "id", unique=True),
    Index(
        "ix_upgrades_one_active",
        "workload",
        unique=True,
        sqlite_where=text("active"),
        postgresql_where=text("active"),
    ),
)

events = Table(
    "events",
    METADATA,
    Column("upgrade", Text, ForeignKey("upgrades.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("candidate", String(64)),
    Column("forced", Text),
    Column("evidence", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("machine_at", Instant, nullable=False),
)

sums = Table(
    "sums",
    METADATA,
    Column("upgrade", Text, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("arm", String(16), primary_key=True),
    Column("slice", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("workload", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("total", Double, nullable=False),
    Column("squares", Double, nullable=False),
    sqlite_with_rowid=False,  # found and updated by its key alone, so the key is the table
)

cells = Table(
    "cells",
    METADATA,
    Column("upgrade", Text, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("arm", String(16), primary_key=True),
    Column("slice", Text, primary_key=True),
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("workload", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in COUNTS),
    *(Column(name, Double, nullable=False) for name in (*SUMS, *SQUARES)),
    sqlite_with_rowid=False,
)

histograms = Table(
    "histograms",
    METADATA,
    Column("upgrade", Text, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("arm", String(16), primary_key=True),
    Column("slice", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("workload", Text, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

spans = Table(
    "spans",
    METADATA,
    Column("upgrade", Text, primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("arm", String(16), primary_key=True),
    Column("slice", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("workload", Text, primary_key=True),
    Column("span", Integer, primary_key=True, autoincrement=False),
    *(Column(f"n{place}", BigInteger, nullable=False) for place in range(SPAN)),
    sqlite_with_rowid=False,
)

feedback = Table(
    "feedback",
    METADATA,
    Column("request", String(64), primary_key=True),
    Column("workload", Text, nullable=False),
    Column("given_at", Instant, nullable=False, index=True),
)

sum_batches = Table(
    "sum_batches",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Instant, nullable=False),
    Column("looked_at", Instant),
)

gateway_lives = Table(
    "gateway_lives",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("workload", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("home", Text, nullable=False),
    Column("stopped", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)

gateway_deaths = Table(
    "gateway_deaths",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("heard_at", Instant, nullable=False),
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
)

gateway_reports = Table(
    "gateway_reports",
    METADATA,
    Column("gateway", Text, primary_key=True),
    Column("workload", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)
