"""Run the migrations that a connection's database lacks. The only module that imports Alembic."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_ONE_AT_A_TIME = threading.Lock()  # Alembic's context is global to the process


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration: this folder, and the connection to use."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest version, in the transaction that is open."""
    with _ONE_AT_A_TIME:
        command.upgrade(config(connection), "head")
