"""A row for all numbers of a cell, and one for 16 neighbouring buckets of a histogram.

What is there stays where it is: a sum is what both tables say together, and a gateway that runs on the version before
goes on writing the old ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_COUNTS = (
    *("requests", "errors", "said", "usage_unknown", "cost_unknown", "shadowed", "paired"),
    *("latencies", "ttfts", "costs", "ins", "outs"),
)
_SUMS = ("latency_s", "ttft_s", "cost_usd", "tokens_in", "tokens_out")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "cells",
        sa.Column("upgrade", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("arm", sa.String(16), nullable=False),
        sa.Column("slice", sa.Text, nullable=False),
        sa.Column("block", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.Double, nullable=False) for name in (*_SUMS, *(f"{name}2" for name in _SUMS))),
        sa.PrimaryKeyConstraint("upgrade", "step", "arm", "slice", "block", "workload", name="pk_cells"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spans",
        sa.Column("upgrade", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("arm", sa.String(16), nullable=False),
        sa.Column("slice", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("span", sa.Integer, autoincrement=False, nullable=False),
        *(sa.Column(f"n{place}", sa.BigInteger, nullable=False) for place in range(16)),
        sa.PrimaryKeyConstraint("upgrade", "step", "arm", "slice", "metric", "workload", "span", name="pk_spans"),
        sqlite_with_rowid=False,
    )
