"""Rows of the canvas tables, and the values that they hold.

Rule: the row of a text or of an operation ends in a checksum of all that stands before it, and one that does not fit
its checksum is never handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import msgspec

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, SavedCanvas, SavedOp, SavedText
from canvas_server.core.version import Version
from canvas_server.storage.failures import DamageError

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_access = msgspec.json.Decoder(Access).decode


class CanvasValues(NamedTuple):
    """A row of `canvas`, in the order of its columns."""

    id: int
    ref: str
    title: str
    seq: int
    etag: str
    size_bytes: int
    created_unix_ms: int
    updated_unix_ms: int
    access: str | None


class TextValues(NamedTuple):
    """A row of `canvas_text`, in the order of its columns."""

    canvas_id: int
    seq: int
    etag: str
    content: str
    sections_changed: bytes
    crc32: int


class OpValues(NamedTuple):
    """A row of `canvas_op`, in the order of its columns."""

    canvas_id: int
    seq: int
    op_id: str
    etag: str
    event: bytes
    digest: str
    removed: bytes
    crc32: int


def text_values(key: CanvasKey, text: SavedText) -> TextValues:
    """Return a text as a row."""
    values = (key, text.version.seq, text.version.etag, text.content, _encode(text.sections_changed))
    return TextValues(*values, _checksum(values))


def op_values(key: CanvasKey, op: SavedOp) -> OpValues:
    """Return an operation as a row."""
    values = (key, op.seq, op.op_id, op.etag, op.event, op.digest, _encode(op.removed))
    return OpValues(*values, _checksum(values))


def read_canvas(row: CanvasValues) -> SavedCanvas:
    """Return the canvas in a row.

    Raises:
        DamageError: its rights cannot be read.
    """
    return SavedCanvas(
        key=CanvasKey(row.id),
        ref=CanvasRef(row.ref),
        title=row.title,
        version=Version(row.seq, row.etag),
        size_bytes=row.size_bytes,
        created_unix_ms=row.created_unix_ms,
        updated_unix_ms=row.updated_unix_ms,
        access=_read_access(row),
    )


def access_value(access: Access) -> str | None:
    """Return rights as the column holds them."""
    return None if access == NOBODYS else _encode(access).decode()


def read_text(row: TextValues) -> SavedText:
    """Return the text in a row.

    Raises:
        DamageError: the row is not as it was written.
    """
    if _checksum(row[:-1]) != row.crc32:
        raise DamageError(f"a text of canvas {row.canvas_id!r} does not fit its checksum")
    return SavedText(Version(row.seq, row.etag), row.content, _decode_texts(row.sections_changed))


def read_op(row: OpValues) -> SavedOp:
    """Return the operation in a row.

    Raises:
        DamageError: the row is not as it was written.
    """
    if _checksum(row[:-1]) != row.crc32:
        raise DamageError(f"an operation of canvas {row.canvas_id!r} does not fit its checksum")
    return SavedOp(row.seq, row.op_id, row.etag, row.event, row.digest, _decode_texts(row.removed))


def read_ops(rows: Iterable[OpValues]) -> Sequence[SavedOp]:
    """Return the operations in rows that follow each other without a gap.

    Raises:
        DamageError: a row is not as it was written, or one is missing.
    """
    ops = [read_op(row) for row in rows]
    for before, op in pairwise(ops):
        if op.seq != before.seq + 1:
            raise DamageError(f"operations between {before.seq} and {op.seq} are missing")
    return ops


def _read_access(row: CanvasValues) -> Access:
    if row.access is None:
        return NOBODYS
    try:
        return _decode_access(row.access)
    except msgspec.MsgspecError as error:
        raise DamageError(f"the rights to canvas {row.id} cannot be read") from error


def _checksum(values: Sequence[object]) -> int:
    """Return the CRC-32 of the values of a row as MessagePack, in which their types stand too.

    One flipped bit can make bytes of a text, or the reverse, with every byte of it the same.
    """
    return crc32(_pack(values))
