"""Examples that are true: two authors saw the same version, and the rules themselves say what became of that."""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec

from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation
from canvas_server.core.ports import CanvasKey
from canvas_server.core.submission import Submission
from canvas_server.core.version import genesis

REF: Final = "notes"
TITLE: Final = "Notes"
CONTENT: Final = "# Notes\n\n## Ideas\n\nOne.\n"
FIRST: Final = genesis("88245802f6ce941f")
_NOW_MS: Final = 1_795_268_880_668

OPERATION: Final[dict[str, object]] = {
    "op_id": "ada-1",
    "client_version": FIRST.etag,
    "action": "insert",
    "target": {"type": "heading", "heading": {"path": ["Ideas"]}},
    "content": "From ada.",
}
OPS: Final[dict[str, object]] = {"ops": [OPERATION]}
RIVAL: Final[dict[str, object]] = {**OPERATION, "op_id": "bob-1", "content": "From bob."}
LOST: Final[dict[str, object]] = {
    "op_id": "ada-2",
    "client_version": FIRST.etag,
    "scope": "range",
    "action": "replace",
    "target": {"type": "text", "text": {"match": "Onne"}},
    "content": "1",
}
LINE: Final[dict[str, object]] = {**OPERATION, "op_id": "answer", "scope": "range", "content": "The first words"}
CREATE: Final[dict[str, object]] = {"title": TITLE, "content": CONTENT}
PRESENCE: Final[dict[str, object]] = {"section": "ideas", "cursor": 23, "name": "Ada", "ttl_ms": 30_000}


@cache
def outcomes() -> tuple[Ack, Conflict, Failure]:
    """Return what becomes of `OPERATION`, `RIVAL` and `LOST`, sent in this order."""
    document = Document(CONTENT, FIRST)
    canvas = Canvas(CanvasKey(1), CanvasRef(REF), TITLE, document, History(FIRST, 100))
    ack, conflict, failure = (_outcome(canvas, told) for told in (OPERATION, RIVAL, LOST))
    assert isinstance(ack, Ack)
    assert isinstance(conflict, Conflict)
    assert isinstance(failure, Failure)
    return ack, conflict, failure


def _outcome(canvas: Canvas, told: dict[str, object]) -> Ack | Conflict | Failure:
    submission = Submission(canvas, Author("local", "human", None), "utf16", Limits())
    return submission.step(msgspec.convert(told, Operation), _NOW_MS).event
