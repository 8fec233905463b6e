"""What changes canvases in SQLite: plain functions, each run whole in one transaction of the thread that writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from canvas_server.core.access import Access
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, CheckpointRequest, SavedCanvas, SavedOp, SavedText
from canvas_server.core.version import Version
from canvas_server.storage.canvas_rows import CanvasValues, access_value, op_values, read_canvas, text_values
from canvas_server.storage.checkpoint import kept_texts, ops_to_append
from canvas_server.storage.failures import DamageError
from canvas_server.storage.refusals import canvas_deleted, canvas_exists
from canvas_server.storage.row_groups import RowGroups, Value

FORGOTTEN_OPS_MAX: Final = 5_000
"""How many operations one checkpoint removes at most, so that none takes long when a long history is cut."""

_INSERT_CANVAS: Final = """
    INSERT INTO canvas (ref, title, seq, etag, size_bytes, created_unix_ms, updated_unix_ms, access)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ref) DO NOTHING
"""
_INSERT_TEXT: Final = """
    INSERT INTO canvas_text (canvas_id, seq, etag, content, sections_changed, crc32) VALUES (?, ?, ?, ?, ?, ?)
"""
_OPS: Final = RowGroups.inserting(
    "canvas_op", ("canvas_id", "seq", "op_id", "etag", "event", "digest", "removed", "crc32")
)
_ADVANCE: Final = RowGroups(
    "UPDATE canvas SET seq = column1, etag = column2, size_bytes = column3, updated_unix_ms = column4 FROM (",
    6,
    ") WHERE canvas.id = column5 AND canvas.seq = column6",
)
_FORGET_OPS: Final = """
    DELETE FROM canvas_op WHERE canvas_id = ?1 AND seq <= ?2
    AND seq < (SELECT min(seq) FROM canvas_op WHERE canvas_id = ?1) + ?3
"""


class UnevenError(Exception):
    """Several checkpoints cannot be saved in one go."""


def create(
    connection: sqlite3.Connection, ref: CanvasRef, title: str, text: SavedText, now_unix_ms: int, access: Access
) -> SavedCanvas:
    """Insert a canvas with its first text and the rights to it."""
    size_bytes = len(text.content.encode())
    version = text.version
    values = (ref, title, version.seq, version.etag, size_bytes, now_unix_ms, now_unix_ms, access_value(access))
    inserted = connection.execute(_INSERT_CANVAS, values)
    if inserted.rowcount == 0 or inserted.lastrowid is None:
        raise canvas_exists(ref)
    key = CanvasKey(inserted.lastrowid)
    connection.execute(_INSERT_TEXT, text_values(key, text))
    return read_canvas(CanvasValues(key, *values))


def save(connection: sqlite3.Connection, requests: Sequence[CheckpointRequest], history_ops_max: int) -> None:
    """Append what is new in checkpoints, and let go what the histories need not hold any more.

    Raises:
        UnevenError: one of several does not start from what is durable; each is to be saved alone.
    """
    # What is durable is what they start from, as a rule: then one statement finds that out and goes on.
    appended = [request.ops for request in requests]
    begun = [_advance_values(request, request.base_seq) for request in requests if request.ops]
    if len(begun) < len(requests) or _ADVANCE.run(connection, begun) < len(requests):
        if len(requests) > 1:
            raise UnevenError
        appended = [_advance_rest(connection, requests[0])]
    _insert_ops(connection, requests, appended)
    for request, ops in zip(requests, appended, strict=True):
        if not ops:
            continue
        if request.text is not None:
            connection.execute(_INSERT_TEXT, text_values(request.key, request.text))
        if request.text is not None or history_ops_max:
            _forget(connection, request.key, request.version.seq, history_ops_max)


def set_title(connection: sqlite3.Connection, key: CanvasKey, title: str, now_unix_ms: int) -> None:
    """Change a title."""
    changed = connection.execute(
        "UPDATE canvas SET title = ?, updated_unix_ms = ? WHERE id = ?", (title, now_unix_ms, key)
    )
    if changed.rowcount == 0:
        raise canvas_deleted()


def set_access(connection: sqlite3.Connection, key: CanvasKey, access: Access) -> None:
    """Change the rights to a canvas."""
    changed = connection.execute("UPDATE canvas SET access = ? WHERE id = ?", (access_value(access), key))
    if changed.rowcount == 0:
        raise canvas_deleted()


def delete(connection: sqlite3.Connection, key: CanvasKey) -> None:
    """Remove a canvas; its texts and operations go with it."""
    connection.execute("DELETE FROM canvas WHERE id = ?", (key,))


def touch(connection: sqlite3.Connection) -> None:
    """Write as little as can be written: a number in the header that nobody reads."""
    connection.execute("PRAGMA user_version = 1")


def _advance_values(request: CheckpointRequest, from_seq: int) -> Sequence[Value]:
    """Return what moves a canvas to the version of a request, if it is at `from_seq`."""
    version = request.version
    return version.seq, version.etag, request.size_bytes, request.now_unix_ms, request.key, from_seq


def _advance_rest(connection: sqlite3.Connection, request: CheckpointRequest) -> Sequence[SavedOp]:
    """Move a canvas to the version of a request from whatever is durable; return the operations that are new."""
    durable = _durable_version(connection, request.key)
    ops = ops_to_append(request, durable)
    if ops:
        advanced = _ADVANCE.run(connection, [_advance_values(request, durable.seq)])
        assert advanced
    return ops


def _durable_version(connection: sqlite3.Connection, key: CanvasKey) -> Version:
    row = connection.execute("SELECT seq, etag FROM canvas WHERE id = ?", (key,)).fetchone()
    if row is None:
        raise canvas_deleted()
    return Version(*row)


def _insert_ops(
    connection: sqlite3.Connection, requests: Sequence[CheckpointRequest], appended: Sequence[Sequence[SavedOp]]
) -> None:
    rows = [op_values(request.key, op) for request, ops in zip(requests, appended, strict=True) for op in ops]
    try:
        _OPS.run(connection, rows)
    except sqlite3.IntegrityError as error:
        keys = ", ".join(str(request.key) for request in requests)
        raise DamageError(f"canvas {keys} has an operation already that is to be appended") from error


def _forget(connection: sqlite3.Connection, key: CanvasKey, newest_seq: int, history_ops_max: int) -> None:
    rows = connection.execute("SELECT seq FROM canvas_text WHERE canvas_id = ? ORDER BY seq", (key,))
    text_seqs = [seq for (seq,) in rows]
    kept = kept_texts(text_seqs, newest_seq, history_ops_max)
    dropped = [(key, seq) for seq in text_seqs if seq not in kept]
    connection.executemany("DELETE FROM canvas_text WHERE canvas_id = ? AND seq = ?", dropped)
    if history_ops_max:
        connection.execute(_FORGET_OPS, (key, kept[0], FORGOTTEN_OPS_MAX))
