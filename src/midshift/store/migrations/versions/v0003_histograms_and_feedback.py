"""Counts in buckets, for the quantiles of latencies, and which requests have had their feedback."""

import sqlalchemy as sa
from alembic import op

from midshift.store.schema import Instant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "histograms",
        sa.Column("upgrade", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("arm", sa.String(16), nullable=False),
        sa.Column("slice", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("bucket", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "upgrade", "step", "arm", "slice", "metric", "workload", "bucket", name="pk_histograms"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feedback",
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("given_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("request", name="pk_feedback"),
    )
    op.create_index("ix_feedback_given_at", "feedback", ["given_at"])
