"""The past of an open canvas: what its room holds no longer is fetched from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from canvas_server.core.errors import NotFoundError
from canvas_server.core.event import Ack
from canvas_server.core.operation import Unit
from canvas_server.core.ports import CanvasStore, SavedOp, SavedText
from canvas_server.core.saved import acks_in_utf16, applied_from_saved, text_from
from canvas_server.core.version import Version
from canvas_server.state.room import Room


class Past:
    """Reads what was.

    Args:
        store: holds all of it that the settings keep.
    """

    def __init__(self, store: CanvasStore) -> None:
        self._store = store

    async def recall(self, room: Room, op_ids: Sequence[str]) -> None:
        """Fetch from the store what a room may have forgotten of operations that are sent again.

        It is known until the caller next waits, and then for as long as the operations wait for their turn.
        """
        history = room.canvas.history
        asked: set[str] = set()
        found: list[SavedOp] = []
        room.uploads += 1
        try:
            # While the store is asked, others may push out of memory what was held there yet.
            while forgotten := [op_id for op_id in op_ids if op_id not in asked and history.may_have_forgotten(op_id)]:
                found += await self._store.find_ops(room.canvas.key, forgotten)
                asked.update(forgotten)
        finally:
            room.uploads -= 1
        history.recall(map(applied_from_saved, found))

    async def text_at(self, room: Room, at: int | Version) -> tuple[Version, str]:
        """Return a past version and its text.

        Raises:
            NotFoundError: the history does not hold it.
        """
        seq = at if isinstance(at, int) else at.seq
        etag = room.canvas.history.etag_at(seq)
        text = room.canvas.text_at(seq)
        if text is None or etag is None:
            saved, ops = await self._store.read_text(room.canvas.key, seq)
            etag = ops[-1].etag if ops else saved.version.etag
            text = await asyncio.to_thread(text_from, saved, ops)
        if isinstance(at, Version) and at.etag != etag:
            raise NotFoundError(
                f"version {at} is not in the history of canvas {room.canvas.ref!r}",
                hint="Use a version of its history.",
            )
        return Version(seq, etag), text

    async def history(self, room: Room, after_seq: int, limit: int, unit: Unit) -> list[Ack]:
        """Return at most `limit` acks after version `after_seq`, oldest first.

        Raises:
            NotFoundError: the history does not reach back that far.
        """
        held = room.canvas.history
        if after_seq >= held.floor.seq:
            outcomes = [room.outcome_of(applied.ack.op_id, unit) for applied in list(held.since(after_seq))[:limit]]
            return [event for event in outcomes if isinstance(event, Ack)]
        before, _ops = await self._store.read_text(room.canvas.key, after_seq)
        missing = await self._store.read_ops(
            room.canvas.key, before.version.seq, after_seq - before.version.seq + limit
        )
        acks = await asyncio.to_thread(_acks, before, missing, unit)
        return acks[after_seq - before.version.seq :]

    async def find_outcome(self, room: Room, op_id: str, unit: Unit) -> Ack | None:
        """Return the ack of an operation from before what is held in memory, or None."""
        found = await self._store.find_ops(room.canvas.key, [op_id])
        if not found:
            return None
        acks = await self.history(room, found[0].seq - 1, 1, unit)
        return acks[0] if acks else None


def _acks(before: SavedText, ops: Sequence[SavedOp], unit: Unit) -> list[Ack]:
    if unit == "utf16":
        return acks_in_utf16(before, ops)
    return [applied_from_saved(op).ack for op in ops]
