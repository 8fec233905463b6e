"""What is read of canvases in SQLite: plain functions, each run whole on the database as it is at one moment.

Rule: what is missing or does not fit together is an error, never a shorter answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from canvas_server.core.errors import no_canvas
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, LoadedCanvas, SavedCanvas, SavedOp, SavedText
from canvas_server.core.version import Version
from canvas_server.storage import canvas_rows
from canvas_server.storage.canvas_rows import CanvasValues, OpValues, TextValues
from canvas_server.storage.failures import DamageError
from canvas_server.storage.refusals import canvas_deleted, not_in_history

_SELECT_CANVAS: Final = """
    SELECT id, ref, title, seq, etag, size_bytes, created_unix_ms, updated_unix_ms, access FROM canvas WHERE ref = ?
"""
_SELECT_TEXT: Final = """
    SELECT canvas_id, seq, etag, content, sections_changed, crc32 FROM canvas_text
    WHERE canvas_id = ? AND seq <= ? ORDER BY seq DESC LIMIT 1
"""
_SELECT_OPS: Final = """
    SELECT canvas_id, seq, op_id, etag, event, digest, removed, crc32 FROM canvas_op
    WHERE canvas_id = ? AND seq > ? AND seq <= ? ORDER BY seq
"""
_SELECT_BOUNDS: Final = """
    SELECT seq, (SELECT ifnull(min(seq), -1) FROM canvas_text WHERE canvas_id = id),
    (SELECT min(seq) FROM canvas_op WHERE canvas_id = id AND seq > ?) FROM canvas WHERE id = ?
"""
# Named, because for the sake of the order SQLite would walk the whole history.
_SELECT_OPS_BY_ID: Final = """
    SELECT canvas_id, seq, op_id, etag, event, digest, removed, crc32 FROM canvas_op INDEXED BY canvas_op_by_op_id
    WHERE canvas_id = ? AND op_id IN (SELECT value FROM json_each(?)) ORDER BY seq
"""
# Named, because it holds all that is asked for; the table would be read with its events.
_SELECT_OP_IDS: Final = """
    SELECT op_id FROM canvas_op INDEXED BY canvas_op_by_op_id WHERE canvas_id = ? AND seq <= ?
"""


def load(connection: sqlite3.Connection, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
    """Read a canvas and its newest operations; see `CanvasStore.load`."""
    canvas = _read_canvas(connection, ref)
    newest_seq = canvas.version.seq
    text = _read_text(connection, canvas.key, newest_seq)
    if text is None:
        raise DamageError(f"canvas {ref} has no text")
    start_seq = max(0, min(text.version.seq, newest_seq - ops_max))
    ops = _read_ops(connection, canvas.key, start_seq, newest_seq)
    older_op_ids = connection.execute(_SELECT_OP_IDS, (canvas.key, start_seq)).fetchall()
    loaded = LoadedCanvas(canvas=canvas, text=text, recent=ops, older_op_ids=tuple(op_id for (op_id,) in older_op_ids))
    _check_whole(loaded, max(start_seq, _oldest_text_seq(connection, canvas.key)))
    return loaded


def read_ops(connection: sqlite3.Connection, key: CanvasKey, after_seq: int, limit: int) -> Sequence[SavedOp]:
    """Read some of the history, from its start if it starts later."""
    bounds = connection.execute(_SELECT_BOUNDS, (after_seq, key)).fetchone()
    if bounds is None:
        return ()
    newest_seq, oldest_text_seq, first_seq = bounds
    before_seq = max(newest_seq, after_seq) if first_seq is None else first_seq - 1
    ops = _read_ops(connection, key, before_seq, before_seq + limit)
    # The history is whole from its oldest text on, so only what is older may be missing.
    is_whole = len(ops) == max(0, min(limit, newest_seq - before_seq))
    if not is_whole or before_seq > max(after_seq, oldest_text_seq):
        raise DamageError(f"operations of canvas {key} after {after_seq} are missing")
    return ops


def find_ops(connection: sqlite3.Connection, key: CanvasKey, op_ids: Sequence[str]) -> Sequence[SavedOp]:
    """Read the operations of those names."""
    rows = connection.execute(_SELECT_OPS_BY_ID, (key, msgspec.json.encode(op_ids).decode()))
    return [canvas_rows.read_op(OpValues._make(row)) for row in rows]


def read_text(connection: sqlite3.Connection, key: CanvasKey, seq: int) -> tuple[SavedText, Sequence[SavedOp]]:
    """Read the full text at `seq`, or the nearest before it with the operations from there."""
    newest = connection.execute("SELECT seq FROM canvas WHERE id = ?", (key,)).fetchone()
    if newest is None:
        raise canvas_deleted()
    text = _read_text(connection, key, seq) if seq <= newest[0] else None
    if text is None:
        raise not_in_history(seq)
    ops = _read_ops(connection, key, text.version.seq, seq)
    if len(ops) != seq - text.version.seq:
        raise DamageError(f"operations between {text.version.seq} and {seq} of canvas {key} are missing")
    return text, ops


def _read_canvas(connection: sqlite3.Connection, ref: CanvasRef) -> SavedCanvas:
    row = connection.execute(_SELECT_CANVAS, (ref,)).fetchone()
    if row is None:
        raise no_canvas(ref)
    return canvas_rows.read_canvas(CanvasValues._make(row))


def _read_text(connection: sqlite3.Connection, key: CanvasKey, seq: int) -> SavedText | None:
    row = connection.execute(_SELECT_TEXT, (key, seq)).fetchone()
    return canvas_rows.read_text(TextValues._make(row)) if row else None


def _read_ops(connection: sqlite3.Connection, key: CanvasKey, after_seq: int, to_seq: int) -> Sequence[SavedOp]:
    rows = connection.execute(_SELECT_OPS, (key, after_seq, to_seq))
    return canvas_rows.read_ops(map(OpValues._make, rows))


def _oldest_text_seq(connection: sqlite3.Connection, key: CanvasKey) -> int:
    return int(connection.execute("SELECT min(seq) FROM canvas_text WHERE canvas_id = ?", (key,)).fetchone()[0])


def _check_whole(loaded: LoadedCanvas, start_seq: int) -> None:
    """Refuse operations that do not lead from `start_seq`, over the text, to the version of the canvas."""
    newest, text, ops = loaded.canvas.version, loaded.text.version, loaded.recent
    first_seq = ops[0].seq if ops else newest.seq + 1
    end = Version(ops[-1].seq, ops[-1].etag) if ops else text
    if first_seq > start_seq + 1 or end != newest:
        raise DamageError(f"the operations of canvas {loaded.canvas.ref} do not lead to {newest}")
    if first_seq <= text.seq <= end.seq and ops[text.seq - first_seq].etag != text.etag:
        raise DamageError(f"the text of canvas {loaded.canvas.ref} is not that of {text}")
