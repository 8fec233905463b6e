"""What durable storage holds of a canvas, made living again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from canvas_server.core.canvas import Canvas
from canvas_server.core.document import Document
from canvas_server.core.errors import StorageCorruptError
from canvas_server.core.event import Ack, in_utf16
from canvas_server.core.history import Applied, History
from canvas_server.core.ports import LoadedCanvas, SavedOp, SavedText
from canvas_server.core.splice import Span, splice_span, utf16_length
from canvas_server.core.text import Text, widened_span
from canvas_server.core.version import Version, parse_etag

_decode_ack = msgspec.json.Decoder(Ack).decode


def open_canvas(loaded: LoadedCanvas, retained_ops_max: int) -> Canvas:
    """Build a canvas from what durable storage holds.

    Raises:
        StorageCorruptError: the operations do not lead to the version that the store names.
    """
    saved = loaded.canvas
    document = _open_document(loaded)
    recent = [applied_from_saved(op) for op in loaded.recent]
    _widen_spans(Text(str(document.text)), recent)
    history = History(_floor_of(loaded), retained_ops_max, loaded.older_op_ids)
    for applied in recent:
        history.append(applied)
    history.trim()
    canvas = Canvas(saved.key, saved.ref, saved.title, document, history)
    canvas.access = saved.access
    return canvas


def text_from(text: SavedText, ops: Sequence[SavedOp]) -> str:
    """Return the text that saved operations make of a saved text."""
    changed = Text(text.content)
    for op in ops:
        for splice in _decode_ack(op.event).changes:
            changed.splice(splice.start, splice.end, splice.insert)
    return str(changed)


def applied_from_saved(op: SavedOp) -> Applied:
    """Return a saved operation as the history holds it; spans in UTF-16 are those in code points until widened."""
    ack = _decode_ack(op.event)
    version = parse_etag(op.etag)
    assert version is not None
    spans = tuple(map(splice_span, ack.changes))
    return Applied(ack, version, spans, spans, tuple(op.removed), op.digest)


def acks_in_utf16(text: SavedText, ops: Sequence[SavedOp]) -> list[Ack]:
    """Return the acks of saved operations for a reader that counts UTF-16 code units.

    Args:
        text: at the version before the first operation.
        ops: in order.
    """
    changed = Text(text.content)
    acks = []
    for op in ops:
        ack = _decode_ack(op.event)
        wide = []
        for splice in ack.changes:
            wide.append(Span(changed.to_utf16(splice.start), changed.to_utf16(splice.end), 0))
            changed.splice(splice.start, splice.end, splice.insert)
        acks.append(in_utf16(ack, wide))
    return acks


def _open_document(loaded: LoadedCanvas) -> Document:
    document = Document(loaded.text.content, loaded.text.version, loaded.text.sections_changed)
    for op in loaded.recent:
        if op.seq > loaded.text.version.seq:
            document.apply(op.op_id, tuple(_decode_ack(op.event).changes))
            if document.version.etag != op.etag:
                raise StorageCorruptError(
                    f"the history of canvas {loaded.canvas.ref!r} does not lead to version {op.etag}",
                    hint="Run canvas-server doctor, and restore the canvas from a backup.",
                )
    if document.version != loaded.canvas.version:
        raise StorageCorruptError(
            f"the text of canvas {loaded.canvas.ref!r} is not at version {loaded.canvas.version}",
            hint="Run canvas-server doctor, and restore the canvas from a backup.",
        )
    return document


def _floor_of(loaded: LoadedCanvas) -> Version:
    """Return the version before the first operation that was loaded."""
    if not loaded.recent:
        return loaded.canvas.version
    base = parse_etag(_decode_ack(loaded.recent[0].event).base_version)
    assert base is not None
    return base


def _widen_spans(text: Text, newest_last: Sequence[Applied]) -> None:
    """Say in UTF-16 where operations acted, by undoing them one after the other from `text` backwards."""
    if not any(_is_wide(part) for part in _parts(text, newest_last)):
        return
    for applied in reversed(newest_last):
        wide: list[Span] = []
        for span, splice, gone in reversed(list(zip(applied.spans, applied.changes, applied.removed, strict=True))):
            text.undo((span,), (gone,))
            wide.append(widened_span(text, splice))
        applied.wide_spans = tuple(reversed(wide))


def _is_wide(part: str) -> bool:
    return not part.isascii() and utf16_length(part) != len(part)


def _parts(text: Text, operations: Sequence[Applied]) -> Iterator[str]:
    yield str(text)
    for applied in operations:
        yield from applied.removed
        for splice in applied.changes:
            yield splice.insert
