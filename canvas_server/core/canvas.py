"""A canvas joins a document with its history: operations go in, outcomes come out.

It is synchronous and knows no listeners: what an outcome means to the world is the room's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, assert_never

import msgspec

from canvas_server.core.decide import HINTS, Accepted, Conflicted, Repeated, decide
from canvas_server.core.document import Document, Step
from canvas_server.core.errors import StorageCorruptError
from canvas_server.core.event import Ack, Conflict, ConflictReason, Failure, Kind
from canvas_server.core.event import Outcome as OutcomeEvent
from canvas_server.core.history import Applied, History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Continuation, Operation, Unit, continue_operation
from canvas_server.core.ports import CanvasKey, LoadedCanvas, SavedOp, SavedText
from canvas_server.core.splice import Span, Splice, utf16_length
from canvas_server.core.target import Miss
from canvas_server.core.text import Text
from canvas_server.core.version import Version, parse_etag

_decode_ack = msgspec.json.Decoder(Ack).decode
_encode = msgspec.json.Encoder().encode


class Author(NamedTuple):
    """Who asks; never told by the body of a request."""

    actor: str
    kind: Kind
    client_id: str | None


class Outcome(NamedTuple):
    """What became of an operation."""

    event: OutcomeEvent
    applied: Applied | None = None
    """Of an ack: the operation as the history holds it."""

    @property
    def changed(self) -> bool:
        """Whether the text changed: false for what was applied already."""
        return self.applied is not None and self.applied.ack is self.event


class Canvas:
    """A canvas at its newest version."""

    def __init__(self, key: CanvasKey, ref: CanvasRef, title: str, document: Document, history: History) -> None:
        self.key = key
        self.ref = ref
        self.title = title
        self.document = document
        self.history = history

    @property
    def version(self) -> Version:
        """The newest version."""
        return self.document.version

    def copy(self) -> Canvas:
        """Return a canvas that goes its own way from here."""
        return Canvas(self.key, self.ref, self.title, self.document.copy(), self.history.copy())

    def submit(
        self, operation: Operation, base: str, unit: Unit, author: Author, limits: Limits, now_ms: int
    ) -> Outcome:
        """Decide an operation and, if it is accepted, apply it."""
        decision = decide(self.document, self.history, operation, base, unit, limits)
        match decision:
            case Accepted():
                return self._apply(operation, decision, author, now_ms)
            case Repeated(applied=applied):
                return Outcome(msgspec.structs.replace(applied.ack, duplicate=True), applied)
            case Conflicted(reason=reason, missed=missed):
                return Outcome(self.conflict(operation.op_id, reason, base, author, missed))
            case Miss():
                return Outcome(self.failure(operation.op_id, decision, author))
            case _:
                assert_never(decision)

    def conflict(
        self, op_id: str, reason: ConflictReason, base: str | None, author: Author, missed: int | None = None
    ) -> Conflict:
        """Return the event that tells of a lost race."""
        return Conflict(
            canvas=self.ref,
            op_id=op_id,
            reason=reason,
            client_version=base,
            expected_version=self.version.etag,
            hint=HINTS[reason],
            client_id=author.client_id,
            missed=msgspec.UNSET if missed is None else missed,
        )

    def failure(self, op_id: str, miss: Miss, author: Author) -> Failure:
        """Return the event that tells why an operation cannot be carried out."""
        return Failure(
            canvas=self.ref,
            op_id=op_id,
            code=miss.code,
            message=miss.message,
            hint=miss.hint,
            client_id=author.client_id,
            candidates=miss.candidates,
        )

    def take_back(self, count: int, sections_changed: Sequence[Version]) -> None:
        """Undo the operations applied last, as if they had never been.

        Args:
            count: how many.
            sections_changed: what `document.outline.changed` was before them.
        """
        for _ in range(count):
            applied = self.history.pop()
            previous = self.history.etag_at(applied.version.seq - 1)
            version = parse_etag(previous) if previous else None
            assert version is not None
            self.document.undo(applied.changes, applied.removed, version)
        self.document.outline.changed = list(sections_changed)

    def saved_ops_since(self, seq: int) -> list[SavedOp]:
        """Return the operations after version `seq` as the history keeps them."""
        return [
            SavedOp(
                applied.version.seq,
                applied.ack.op_id,
                applied.version.etag,
                _encode(applied.ack),
                applied.digest(),
                applied.removed,
            )
            for applied in self.history.since(seq)
        ]

    def saved_text(self) -> SavedText:
        """Return the text as durable storage keeps it."""
        return SavedText(self.version, str(self.document.text), self.document.sections_changed())

    def text_at(self, seq: int) -> str | None:
        """Return the text after `seq` operations by undoing what came later; None where that is not held."""
        if not self.history.floor.seq <= seq <= self.version.seq:
            return None
        text = Text(str(self.document.text))
        for applied in self.history.newest_first():
            if applied.version.seq <= seq:
                break
            undo_changes(text, applied.spans, applied.removed)
        return str(text)

    def _apply(self, operation: Operation, accepted: Accepted, author: Author, now_ms: int) -> Outcome:
        base = self.document.version
        step = self.document.apply(operation.op_id, accepted.changes)
        ack = Ack(
            canvas=self.ref,
            op_id=operation.op_id,
            server_version=step.version.etag,
            base_version=base.etag,
            changes=accepted.changes,
            action=operation.action,
            actor=author.actor,
            client_id=author.client_id,
            kind=author.kind,
            timestamp=now_ms,
            rebased=accepted.base_seq != base.seq,
            reverts=accepted.reverts or msgspec.UNSET,
            client_timestamp=msgspec.UNSET if operation.timestamp is None else operation.timestamp,
            meta=operation.meta or msgspec.UNSET,
        )
        applied = _applied(ack, step, operation)
        self.history.append(applied)
        return Outcome(ack, applied)


class Submission:
    """The operations of one request, in order (PROTOCOL section 3).

    After the first conflict or error the rest are not run. An operation without a version stands on the one before.
    """

    def __init__(self, canvas: Canvas, author: Author, unit: Unit, limits: Limits) -> None:
        self._canvas = canvas
        self._author = author
        self._unit = unit
        self._limits = limits
        self._base: str | None = None
        self._failed = False
        self._line_op_id = ""
        self._last_op_id = ""
        self._continued = 0

    @property
    def canvas(self) -> Canvas:
        """The canvas that the operations go to."""
        return self._canvas

    @property
    def author(self) -> Author:
        """Who sends them."""
        return self._author

    @property
    def has_base(self) -> bool:
        """Whether an operation without a version has one to stand on."""
        return self._base is not None

    def op_id_of(self, operation: Operation | Continuation) -> str:
        """Return the name of the operation to be run next."""
        if isinstance(operation, Operation):
            return operation.op_id
        return f"{self._line_op_id}.{self._continued + 1}"

    def step(self, operation: Operation | Continuation, now_ms: int) -> Outcome:
        """Run the next operation, or say that it is not run."""
        base = self._canvas.version.etag
        if isinstance(operation, Continuation):
            operation = self._named(operation)
        else:
            self._line_op_id, self._continued = operation.op_id, 0
            if operation.client_version is not None:
                base = operation.client_version
            elif self._base is not None:
                base = self._base
        self._last_op_id = operation.op_id
        if self._failed:
            return Outcome(self._canvas.conflict(operation.op_id, "not_executed", base, self._author))
        outcome = self._canvas.submit(operation, base, self._unit, self._author, self._limits, now_ms)
        if isinstance(outcome.event, Ack):
            self._base = outcome.event.server_version
        else:
            self._failed = True
        return outcome

    def fail(self) -> None:
        """Run nothing more of this request."""
        self._failed = True

    def _named(self, continuation: Continuation) -> Operation:
        """Return the operation that a continuation line stands for."""
        op_id = self.op_id_of(continuation)
        self._continued += 1
        return continue_operation(op_id, self._last_op_id, continuation.content)


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
    return Canvas(saved.key, saved.ref, saved.title, document, history)


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
    spans = tuple(Span(splice.start, splice.end, len(splice.insert)) for splice in ack.changes)
    return Applied(
        ack=ack, version=version, spans=spans, wide_spans=spans, removed=tuple(op.removed), payload=op.digest
    )


def in_utf16(ack: Ack, wide_spans: Sequence[Span]) -> Ack:
    """Return an ack as a reader that counts UTF-16 code units hears it; the same one where nothing differs."""
    if all(
        span.start == splice.start and span.end == splice.end
        for span, splice in zip(wide_spans, ack.changes, strict=True)
    ):
        return ack
    changes = tuple(
        Splice(span.start, span.end, splice.insert) for span, splice in zip(wide_spans, ack.changes, strict=True)
    )
    return msgspec.structs.replace(ack, changes=changes)


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


def undo_changes(text: Text, spans: Sequence[Span], removed: Sequence[str]) -> None:
    """Take changes back out of a text that they were the last to change."""
    for span, gone in zip(reversed(spans), reversed(removed), strict=True):
        text.splice(span.start, span.start + span.length, gone)


def _applied(ack: Ack, step: Step, operation: Operation) -> Applied:
    return Applied(
        ack=ack,
        version=step.version,
        spans=step.spans,
        wide_spans=step.wide_spans,
        removed=step.removed,
        payload=operation,
    )


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
            undo_changes(text, (span,), (gone,))
            wide.append(Span(text.to_utf16(span.start), text.to_utf16(span.end), utf16_length(splice.insert)))
        applied.wide_spans = tuple(reversed(wide))


def _is_wide(part: str) -> bool:
    return not part.isascii() and utf16_length(part) != len(part)


def _parts(text: Text, operations: Sequence[Applied]) -> Iterator[str]:
    yield str(text)
    for applied in operations:
        yield from applied.removed
        for splice in applied.changes:
            yield splice.insert
