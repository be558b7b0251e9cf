"""The first tables."""

import sqlalchemy as sa
from alembic import op

from midshift.store.schema import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of version 0001."""
    op.create_table(
        "variants",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_variants"),
    )
    op.create_table(
        "definitions",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("git_commit", sa.Text),
        sa.Column("applied_at", Instant, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_definitions"),
    )
    op.create_index("ix_definitions_workload", "definitions", ["workload"])
    _routes()
    _upgrades()
    _measurements()
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def _routes() -> None:
    op.create_table(
        "routes",
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("incumbent", sa.String(64), nullable=False),
        sa.Column("candidate", sa.String(64)),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("shadow_share", sa.Double, nullable=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("upgrade", sa.Text),
        sa.Column("lease_until", Instant),
        sa.CheckConstraint("share BETWEEN 0 AND 1 AND shadow_share BETWEEN 0 AND 1", name="shares"),
        sa.CheckConstraint("candidate IS NOT NULL OR (share = 0 AND shadow_share = 0)", name="candidate"),
        sa.ForeignKeyConstraint(["incumbent"], ["variants.id"], name="fk_routes_incumbent"),
        sa.ForeignKeyConstraint(["candidate"], ["variants.id"], name="fk_routes_candidate"),
        sa.PrimaryKeyConstraint("workload", name="pk_routes"),
    )
    op.create_table(
        "route_changes",
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("machine_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("workload", "epoch", name="pk_route_changes"),
    )


def _upgrades() -> None:
    op.create_table(
        "upgrades",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("began", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_upgrades"),
    )
    op.create_index("ix_upgrades_id", "upgrades", ["id"], unique=True)
    op.create_index(
        "ix_upgrades_one_active",
        "upgrades",
        ["workload"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "events",
        sa.Column("upgrade", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("candidate", sa.String(64)),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("machine_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["upgrade"], ["upgrades.id"], name="fk_events_upgrade"),
        sa.PrimaryKeyConstraint("upgrade", "version", name="pk_events"),
    )


def _measurements() -> None:
    op.create_table(
        "sums",
        sa.Column("upgrade", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("arm", sa.String(16), nullable=False),
        sa.Column("slice", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("block", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("total", sa.Double, nullable=False),
        sa.Column("squares", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("upgrade", "step", "arm", "slice", "metric", "block", "workload", name="pk_sums"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sum_batches",
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "sequence", name="pk_sum_batches"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gateway_reports",
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "workload", name="pk_gateway_reports"),
    )
