"""The schema's history, one revision after the other, run by Alembic from inside the program.

Rule: a revision is written by hand, in explicit operations, and never changed once it was released: it must do the
same for ever, whatever the tables look like by then.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, StaticPool, create_engine, event
from sqlalchemy.engine import Connection, Engine

CONNECTION: Final = "connection"
"""Under this name `env.py` finds the connection to work on."""


def newest_revision() -> str:
    """Return the revision that this program was written for."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def is_known(revision: str) -> bool:
    """Tell whether this program knows a revision; one that it does not know is newer than the program."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def read_revision(connection: sqlite3.Connection) -> str | None:
    """Return the revision of a database, None if it was never migrated."""
    row = connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = row and connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def upgrade(path: Path, revision: str = "head") -> None:
    """Bring an existing database file to a revision in one transaction; all of it happens or nothing.

    Raises:
        sqlalchemy.exc.DBAPIError: as the database told it.
    """
    # Python's sqlite3 would begin a transaction only before the first row is written, after tables were changed.
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path, isolation_level=None), poolclass=NullPool)
    _upgrade(engine, revision)


def upgrade_connection(connection: sqlite3.Connection) -> None:
    """Bring what an open connection leads to, a database in memory, to the newest revision."""
    _upgrade(create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool), "head")


def _upgrade(engine: Engine, revision: str) -> None:
    event.listen(engine, "begin", _begin)
    config = _config()
    with engine.begin() as connection:
        config.attributes[CONNECTION] = connection
        command.upgrade(config, revision)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "canvas_server.storage:migrations")
    return config
