"""All of a database checked that can be: its pages, its rows by their checksums, and its histories.

Rule: it only reads, and goes on after the first damage, so that whoever must mend it is told of all of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from canvas_server.core.errors import StorageCorruptError
from canvas_server.core.version import Version
from canvas_server.storage import migrations
from canvas_server.storage.canvas_rows import OpValues, TextValues, read_op, read_text
from canvas_server.storage.connection import PRAGMAS
from canvas_server.storage.database import APPLICATION_ID
from canvas_server.storage.failures import DamageError, corrupt, translating

Row = TypeVar("Row")
Value = TypeVar("Value")

DAMAGES_MAX: Final = 20
"""More are not told."""
_COUNTED: Final = {"canvases": "canvas", "operations": "canvas_op", "users": "user"}
_SELECT_TEXTS: Final = """
    SELECT canvas_id, seq, etag, content, sections_changed, crc32 FROM canvas_text WHERE canvas_id = ? ORDER BY seq
"""
_SELECT_OPS: Final = """
    SELECT canvas_id, seq, op_id, etag, event, digest, removed, crc32 FROM canvas_op WHERE canvas_id = ? ORDER BY seq
"""


class Checked(NamedTuple):
    """What is in a database in which everything fits.

    Attributes:
        schema: its revision.
        counts: rows by what they are.
    """

    schema: str
    counts: dict[str, int]


def check_database(path: Path) -> Checked:
    """Check a database file that nobody writes to and that has no log beside it.

    Raises:
        StorageCorruptError: something does not fit; the message says what, as far as there is room.
        StorageUnavailableError: it cannot be read.
    """
    with translating(path), closing(_connect(path)) as connection:
        schema = _schema(connection)
        damages = list(islice(_damages(connection), DAMAGES_MAX + 1))
        if damages:
            raise damaged(path, damages)
        return Checked(schema, _counts(connection))


def damaged(path: Path, damages: list[str]) -> StorageCorruptError:
    """Return the error that tells of some damages."""
    more = "; and more" if len(damages) > DAMAGES_MAX else ""
    return corrupt(path, "; ".join(damages[:DAMAGES_MAX]) + more)


def _connect(path: Path) -> sqlite3.Connection:
    # Immutable: neither locks nor a log are looked for, and nothing is left beside the file.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection


def _schema(connection: sqlite3.Connection) -> str:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    schema = migrations.read_revision(connection)
    if application_id != APPLICATION_ID or schema is None:
        raise DamageError("it is not a database of canvas-server")
    return schema


def _damages(connection: sqlite3.Connection) -> Iterator[str]:
    found = [str(text) for (text,) in connection.execute(f"PRAGMA integrity_check({DAMAGES_MAX})")]
    if found != ["ok"]:
        yield from found
        # Statements on pages that are wrong could tell anything.
        return
    for table, *_ in connection.execute("PRAGMA foreign_key_check"):
        yield f"a row of {table} belongs to nothing"
    for key, ref, seq, etag in connection.execute("SELECT id, ref, seq, etag FROM canvas"):
        yield from _canvas_damages(connection, key, ref, Version(seq, etag))


def _canvas_damages(connection: sqlite3.Connection, key: int, ref: str, version: Version) -> Iterator[str]:
    """Yield what is wrong with a canvas; its texts and operations are held one at a time."""
    etags: dict[int, str] = {}
    damages: list[str] = []
    for row in connection.execute(_SELECT_TEXTS, (key,)):
        if (text := _told(read_text, TextValues._make(row), damages)) is not None:
            etags[text.version.seq] = text.version.etag
    ops = (_told(read_op, OpValues._make(row), damages) for row in connection.execute(_SELECT_OPS, (key,)))
    end = Version(max(etags), etags[max(etags)]) if etags else None
    before = None
    for op in ops:
        if op is None:
            continue
        if before is None and etags and op.seq > min(etags) + 1:
            damages.append(f"operations before {op.seq} are missing")
        if before is not None and op.seq != before + 1:
            damages.append(f"operations between {before} and {op.seq} are missing")
        if etags.get(op.seq, op.etag) != op.etag:
            damages.append(f"the text at {op.seq} is of another version")
        before, end = op.seq, Version(op.seq, op.etag)
    if not etags:
        damages.append("it has no text")
    if end != version:
        damages.append(f"its history ends at {end} and not at {version}")
    yield from (f"canvas {ref}: {damage}" for damage in damages)


def _told(read: Callable[[Row], Value], row: Row, damages: list[str]) -> Value | None:
    try:
        return read(row)
    except DamageError as error:
        damages.append(str(error))
        return None


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables: Iterable[tuple[str]] = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    names = {name for (name,) in tables}
    # The names are those of a constant.
    return {
        what: int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608
        for what, table in _COUNTED.items()
        if table in names
    }
