"""One who writes into a canvas, always the same: what is saved at a version can be told from the version alone."""

from __future__ import annotations

import json

from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, CanvasStore, CheckpointRequest, SavedOp, SavedText
from canvas_server.core.splice import Splice
from canvas_server.core.version import genesis, next_version

REF = CanvasRef("notes")
CHAIN = "0123456789abcdef"
CREATED = 1_000


class Author:
    """Appends a line by each operation.

    Args:
        name: begins the op ids; authors of other names write other histories.
    """

    def __init__(self, name: str = "op") -> None:
        self.version = genesis(CHAIN)
        self.content = ""
        self._name = name

    def write(self, count: int) -> list[SavedOp]:
        """Append some lines and return the operations that did it."""
        return [self._append() for _ in range(count)]

    def text(self) -> SavedText:
        """Return the text as it is now."""
        return SavedText(self.version, self.content, (self.version.etag,))

    def checkpoint(self, key: CanvasKey, count: int, *, full: bool = False) -> CheckpointRequest:
        """Append some lines and return the checkpoint that saves them, with the full text if asked."""
        base_seq = self.version.seq
        ops = self.write(count)
        return CheckpointRequest(
            key=key,
            base_seq=base_seq,
            version=self.version,
            ops=ops,
            text=self.text() if full else None,
            size_bytes=len(self.content),
            now_unix_ms=CREATED + self.version.seq,
        )

    def _append(self) -> SavedOp:
        seq = self.version.seq + 1
        op_id, insert = f"{self._name}-{seq}", f"line {seq}\n"
        changes = (Splice(len(self.content), len(self.content), insert),)
        self.version = next_version(self.version, op_id, changes)
        self.content += insert
        event = json.dumps({"type": "ack", "op_id": op_id, "insert": insert}).encode()
        return SavedOp(seq, op_id, self.version.etag, event, f"digest-{seq}", ("",))


async def create(store: CanvasStore, ref: CanvasRef = REF) -> CanvasKey:
    """Store a canvas as an author starts it."""
    return (await store.create(ref, "Notes", Author().text(), CREATED)).key


def inserted(ops: list[SavedOp]) -> str:
    """Return what operations of an author append."""
    return "".join(json.loads(op.event)["insert"] for op in ops)
