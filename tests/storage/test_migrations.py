from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel

from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey
from canvas_server.storage import migrations, tables
from canvas_server.storage.canvas_rows import op_values, text_values
from canvas_server.storage.canvases import open_store
from canvas_server.storage.database import APPLICATION_ID
from tests.storage.author import Author

METADATA = tables.CanvasRow.metadata


def schema(path: Path) -> dict[str, str]:
    """Return the statements that made the tables, but Alembic's own, white space and quotes left out."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"[\s\"]+", "", sql) for name, sql in rows if name != "alembic_version"}


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def test_the_migrated_schema_is_the_one_that_the_tables_describe(tmp_path: Path) -> None:
    migrated, described = empty(tmp_path / "migrated"), empty(tmp_path / "described")
    migrations.upgrade(migrated)
    engine = create_engine(f"sqlite:///{described}")
    SQLModel.metadata.create_all(engine)
    engine.dispose()
    assert schema(migrated) == schema(described)


def test_alembic_finds_nothing_left_to_migrate(tmp_path: Path) -> None:
    migrations.upgrade(empty(tmp_path / "db"))
    engine = create_engine(f"sqlite:///{tmp_path / 'db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_a_database_that_was_migrated_says_so(tmp_path: Path) -> None:
    path = empty(tmp_path / "db")
    with closing(sqlite3.connect(path)) as connection:
        assert migrations.read_revision(connection) is None
    migrations.upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        assert migrations.read_revision(connection) == migrations.newest_revision()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = empty(tmp_path / "db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE canvas_op (id)")
    before = schema(path)
    with pytest.raises(OperationalError, match="canvas_op"):
        migrations.upgrade(path)
    assert schema(path) == before


@pytest.fixture
def of_the_first_schema(tmp_path: Path) -> Path:
    """A folder with a database of revision 0001 that holds one canvas with two operations."""
    path, author, key = empty(tmp_path / "canvas.db"), Author(), CanvasKey(7)
    migrations.upgrade(path, "0001")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        text = text_values(key, author.text())
        ops = [op_values(key, op) for op in author.write(2)]
        connection.execute(
            "INSERT INTO canvas VALUES (?, 'old', 'Old', ?, ?, 14, 1, 2)",
            (key, author.version.seq, author.version.etag),
        )
        connection.execute("INSERT INTO canvas_text VALUES (?, ?, ?, ?, ?, ?)", text)
        connection.executemany("INSERT INTO canvas_op VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ops)
    return tmp_path


async def test_a_database_of_the_first_schema_keeps_its_canvases(of_the_first_schema: Path) -> None:
    author = Author()
    first_text, ops = author.text(), author.write(2)
    async with open_store(of_the_first_schema) as store:
        loaded = await store.load(CanvasRef("old"), 10)
    assert (loaded.canvas.key, loaded.canvas.title, loaded.canvas.version) == (7, "Old", author.version)
    assert (loaded.text, list(loaded.recent)) == (first_text, ops)
