"""Who said of a silent gateway that it is dead."""

import sqlalchemy as sa
from alembic import op

from midshift.store.schema import Instant

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "gateway_deaths",
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("heard_at", Instant, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "instance", name="pk_gateway_deaths"),
    )
