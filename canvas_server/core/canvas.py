"""A canvas joins a document with its history: operations go in, outcomes come out.

It is synchronous and knows no listeners: what an outcome means to the world is the room's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.decide import HINTS, Accepted, Conflicted, Repeated, decide
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, Conflict, ConflictReason, Failure, Kind
from canvas_server.core.event import Outcome as OutcomeEvent
from canvas_server.core.history import Applied, History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, Unit
from canvas_server.core.ports import CanvasKey, SavedOp, SavedText
from canvas_server.core.target import Miss
from canvas_server.core.text import Text
from canvas_server.core.version import Version, parse_etag

_encode = msgspec.json.Encoder().encode


class Author(msgspec.Struct, frozen=True, gc=False):
    """Who asks; never told by the body of a request."""

    actor: str
    kind: Kind
    client_id: str | None


class Outcome(msgspec.Struct, frozen=True, gc=False):
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
        self.access: Access = NOBODYS
        """The rights to it; whoever opens it sets them."""

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
            text.undo(applied.spans, applied.removed)
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
        applied = Applied(ack, step.version, step.spans, step.wide_spans, step.removed, operation)
        self.history.append(applied)
        return Outcome(ack, applied)
