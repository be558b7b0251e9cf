"""The rings that get a candidate before everybody else, in a routing row."""

import sqlalchemy as sa
from alembic import op

from midshift.store.schema import Instant

revision = "0004"
down_revision = "0003"

_NONE = sa.text("'[]'")
_ZERO = sa.text("0")


def upgrade() -> None:
    """Add them to every row as what it has meant so far: none."""
    with op.batch_alter_table("routes", copy_from=_routes()) as batch:
        batch.add_column(sa.Column("rings", sa.Text, nullable=False, server_default=_NONE))
        batch.create_check_constraint("rings", "candidate IS NOT NULL OR rings = '[]'")


def _routes() -> sa.Table:
    """The table of version 0003: SQLite makes a table with new rules anew, and forgets rules that it is not told."""
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
        *(sa.Column(f"{name}_share", sa.Double, nullable=False, server_default=_ZERO) for name in _UNSEEN),
        sa.Column("others", sa.Text, nullable=False, server_default=_NONE),
        sa.CheckConstraint("share BETWEEN 0 AND 1 AND shadow_share BETWEEN 0 AND 1", name="ck_routes_shares"),
        sa.CheckConstraint(
            "noise_share BETWEEN 0 AND 1 AND pair_share BETWEEN 0 AND 1 AND reverse_share BETWEEN 0 AND 1",
            name="ck_routes_unseen_shares",
        ),
        sa.CheckConstraint("candidate IS NOT NULL OR (share = 0 AND shadow_share = 0)", name="ck_routes_candidate"),
        sa.CheckConstraint(
            "candidate IS NOT NULL OR (noise_share = 0 AND pair_share = 0 AND reverse_share = 0)",
            name="ck_routes_unseen_candidate",
        ),
        sa.ForeignKeyConstraint(["incumbent"], ["variants.id"], name="fk_routes_incumbent"),
        sa.ForeignKeyConstraint(["candidate"], ["variants.id"], name="fk_routes_candidate"),
        sa.PrimaryKeyConstraint("workload", name="pk_routes"),
    )


_UNSEEN = ("noise", "pair", "reverse")
