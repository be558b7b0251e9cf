"""What each process of a gateway says, and when the holder of a lease looked last.

What is there stays where it is: a gateway that runs on the version before goes on reporting to the old table.
"""

import sqlalchemy as sa
from alembic import op

from midshift.store.schema import Instant

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table, and the column as what is known of it so far: nothing."""
    op.create_table(
        "gateway_lives",
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("home", sa.Text, nullable=False),
        sa.Column("stopped", sa.Integer, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "instance", "workload", name="pk_gateway_lives"),
    )
    op.add_column("leases", sa.Column("looked_at", Instant))
