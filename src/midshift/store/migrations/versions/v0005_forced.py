"""The record of a forced upgrade, in the event that forced it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add it to every event as what it has been so far: none."""
    op.add_column("events", sa.Column("forced", sa.Text))
