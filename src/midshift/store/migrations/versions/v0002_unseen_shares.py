"""Shares of unseen second answers beside the shadow's, and more candidates than one, in a routing row."""

import sqlalchemy as sa
from alembic import op

from midshift.store.schema import Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them to every row as what it has meant so far: none."""
    with op.batch_alter_table("routes", copy_from=_routes()) as batch:
        for name in ("noise_share", "pair_share", "reverse_share"):
            batch.add_column(sa.Column(name, sa.Double, nullable=False, server_default=sa.text("0")))
        batch.add_column(sa.Column("others", sa.Text, nullable=False, server_default=sa.text("'[]'")))
        batch.create_check_constraint(
            "unseen_shares",
            "noise_share BETWEEN 0 AND 1 AND pair_share BETWEEN 0 AND 1 AND reverse_share BETWEEN 0 AND 1",
        )
        batch.create_check_constraint(
            "unseen_candidate",
            "candidate IS NOT NULL OR (noise_share = 0 AND pair_share = 0 AND reverse_share = 0)",
        )


def _routes() -> sa.Table:
    """The table of version 0001: SQLite makes a table with new rules anew, and forgets rules that it is not told."""
    return sa.Table(
        "routes",
        sa.MetaData(),
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
        sa.CheckConstraint("share BETWEEN 0 AND 1 AND shadow_share BETWEEN 0 AND 1", name="ck_routes_shares"),
        sa.CheckConstraint("candidate IS NOT NULL OR (share = 0 AND shadow_share = 0)", name="ck_routes_candidate"),
        sa.ForeignKeyConstraint(["incumbent"], ["variants.id"], name="fk_routes_incumbent"),
        sa.ForeignKeyConstraint(["candidate"], ["variants.id"], name="fk_routes_candidate"),
        sa.PrimaryKeyConstraint("workload", name="pk_routes"),
    )
