"""Canvases kept in memory only: what `--ephemeral` runs, and what a restart forgets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.errors import StorageCorruptError, no_canvas
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import (
    CanvasKey,
    CanvasPage,
    CheckpointRequest,
    LoadedCanvas,
    SavedCanvas,
    SavedOp,
    SavedText,
)
from canvas_server.storage.checkpoint import check_request, kept_texts, ops_to_append
from canvas_server.storage.failures import DamageError
from canvas_server.storage.refusals import canvas_deleted, canvas_exists, not_in_history


class _Kept:
    """One canvas: `ops` without a gap up to its version, `texts` by their seq, oldest first."""

    def __init__(self, canvas: SavedCanvas, text: SavedText) -> None:
        self.canvas = canvas
        self.texts = {text.version.seq: text}
        self.ops: list[SavedOp] = []
        self.op_ids: set[str] = set()

    def between(self, after_seq: int, to_seq: int) -> list[SavedOp]:
        """Return the operations after one version up to another, as far as they are held."""
        floor_seq = self.canvas.version.seq - len(self.ops)
        return self.ops[max(0, after_seq - floor_seq) : max(0, to_seq - floor_seq)]

    def text_at(self, seq: int) -> SavedText | None:
        """Return the newest full text not after `seq`."""
        return next((text for at, text in reversed(self.texts.items()) if at <= seq), None)


class MemoryCanvasStore:
    """The `CanvasStore` that forgets; its methods wait for nothing and are async because the port is.

    Args:
        history_ops_max: how many operations of a canvas are kept at least; 0 keeps all. The history is cut only where
            a full text stands, so it may hold more.
    """

    def __init__(self, history_ops_max: int = 0) -> None:
        self._history_ops_max = history_ops_max
        self._keys = count(1)
        self._by_key: dict[CanvasKey, _Kept] = {}
        self._key_of: dict[CanvasRef, CanvasKey] = {}

    async def create(
        self, ref: CanvasRef, title: str, text: SavedText, now_unix_ms: int, access: Access = NOBODYS
    ) -> SavedCanvas:
        """Store a new canvas with its first text and the rights to it."""
        if ref in self._key_of:
            raise canvas_exists(ref)
        canvas = SavedCanvas(
            key=CanvasKey(next(self._keys)),
            ref=ref,
            title=title,
            version=text.version,
            size_bytes=len(text.content.encode()),
            created_unix_ms=now_unix_ms,
            updated_unix_ms=now_unix_ms,
            access=access,
        )
        self._key_of[ref] = canvas.key
        self._by_key[canvas.key] = _Kept(canvas, text)
        return canvas

    async def load(self, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
        """Read a canvas and up to `ops_max` of its newest operations."""
        kept = self._by_key[self._named(ref)]
        newest_seq = kept.canvas.version.seq
        text = kept.text_at(newest_seq)
        assert text is not None
        start_seq = max(0, min(text.version.seq, newest_seq - ops_max))
        return LoadedCanvas(
            canvas=kept.canvas,
            text=text,
            recent=kept.between(start_seq, newest_seq),
            older_op_ids=tuple(op.op_id for op in kept.between(0, start_seq)),
        )

    async def save(self, request: CheckpointRequest) -> None:
        """Take in a checkpoint, all or nothing."""
        check_request(request)
        kept = self._living(request.key)
        try:
            ops = _fitting(kept, request)
        except DamageError as error:
            raise StorageCorruptError(f"canvas {kept.canvas.ref}: {error}") from error
        if not ops:
            return
        kept.canvas = msgspec.structs.replace(
            kept.canvas,
            version=request.version,
            size_bytes=request.size_bytes,
            updated_unix_ms=request.now_unix_ms,
        )
        kept.ops.extend(ops)
        kept.op_ids.update(op.op_id for op in ops)
        if request.text is not None:
            kept.texts[request.version.seq] = request.text
        self._forget(kept)

    async def get(self, ref: CanvasRef) -> SavedCanvas:
        """Read what is known of a canvas."""
        return self._by_key[self._named(ref)].canvas

    async def set_title(self, key: CanvasKey, title: str, now_unix_ms: int) -> None:
        """Change the title."""
        kept = self._living(key)
        kept.canvas = msgspec.structs.replace(kept.canvas, title=title, updated_unix_ms=now_unix_ms)

    async def set_access(self, key: CanvasKey, access: Access) -> None:
        """Change the rights."""
        kept = self._living(key)
        kept.canvas = msgspec.structs.replace(kept.canvas, access=access)

    async def delete(self, key: CanvasKey) -> None:
        """Remove a canvas with its history."""
        if kept := self._by_key.pop(key, None):
            del self._key_of[kept.canvas.ref]

    async def list(self, limit: int, before_key: CanvasKey | None, user: str | None = None) -> CanvasPage:
        """Read a page of canvases, newest first; with `user` only those in the list of that user."""
        older = [
            key
            for key, kept in reversed(self._by_key.items())
            if (before_key is None or key < before_key) and (user is None or kept.canvas.access.lists_for(user))
        ]
        canvases = tuple(self._by_key[key].canvas for key in older[:limit])
        return CanvasPage(canvases, canvases[-1].key if len(older) > limit else None)

    async def read_ops(self, key: CanvasKey, after_seq: int, limit: int) -> Sequence[SavedOp]:
        """Read at most `limit` operations after `after_seq`, oldest first."""
        kept = self._by_key.get(key)
        return kept.between(after_seq, kept.canvas.version.seq)[:limit] if kept else ()

    async def find_ops(self, key: CanvasKey, op_ids: Sequence[str]) -> Sequence[SavedOp]:
        """Read the operations of those names that the history holds."""
        kept = self._by_key.get(key)
        wanted = kept.op_ids.intersection(op_ids) if kept else set()
        return [op for op in kept.ops if op.op_id in wanted] if kept and wanted else ()

    async def read_text(self, key: CanvasKey, seq: int) -> tuple[SavedText, Sequence[SavedOp]]:
        """Read the newest full text not after `seq`, and the operations from there up to `seq`."""
        kept = self._living(key)
        text = kept.text_at(seq) if seq <= kept.canvas.version.seq else None
        if text is None:
            raise not_in_history(seq)
        return text, kept.between(text.version.seq, seq)

    async def check(self) -> None:
        """Return: memory can always be written to."""

    def _named(self, ref: CanvasRef) -> CanvasKey:
        key = self._key_of.get(ref)
        if key is None:
            raise no_canvas(ref)
        return key

    def _living(self, key: CanvasKey) -> _Kept:
        kept = self._by_key.get(key)
        if kept is None:
            raise canvas_deleted()
        return kept

    def _forget(self, kept: _Kept) -> None:
        text_seqs = kept_texts(list(kept.texts), kept.canvas.version.seq, self._history_ops_max)
        kept.texts = {seq: kept.texts[seq] for seq in text_seqs}
        forgotten = len(kept.between(0, text_seqs[0])) if self._history_ops_max else 0
        kept.op_ids.difference_update(op.op_id for op in kept.ops[:forgotten])
        del kept.ops[:forgotten]


def _fitting(kept: _Kept, request: CheckpointRequest) -> Sequence[SavedOp]:
    ops = ops_to_append(request, kept.canvas.version)
    if not kept.op_ids.isdisjoint(op.op_id for op in ops):
        raise DamageError("it has an operation already that is to be appended")
    return ops
