"""Canvases kept in SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import func, or_
from sqlmodel import col, select

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.errors import no_canvas
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
from canvas_server.storage import canvas_reads, canvas_writes
from canvas_server.storage.canvas_rows import CanvasValues, read_canvas
from canvas_server.storage.checkpoint import check_request
from canvas_server.storage.database import Database, open_database
from canvas_server.storage.tables import CanvasRow


class SqliteCanvasStore:
    """The `CanvasStore` that survives.

    Args:
        database: open, and left open.
        history_ops_max: how many operations of a canvas are kept at least; 0 keeps all. The history is cut only where
            a full text stands, so it may hold more.
    """

    def __init__(self, database: Database, history_ops_max: int = 0) -> None:
        self._database = database
        self._save = partial(canvas_writes.save, history_ops_max=history_ops_max)

    async def create(
        self, ref: CanvasRef, title: str, text: SavedText, now_unix_ms: int, access: Access = NOBODYS
    ) -> SavedCanvas:
        """Store a new canvas with its first text and the rights to it."""
        work = partial(canvas_writes.create, ref=ref, title=title, text=text, now_unix_ms=now_unix_ms, access=access)
        return await self._database.write(work)

    async def load(self, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
        """Read a canvas and up to `ops_max` of its newest operations."""
        return await self._database.read(partial(canvas_reads.load, ref=ref, ops_max=ops_max))

    async def save(self, request: CheckpointRequest) -> None:
        """Make a checkpoint durable in one transaction."""
        check_request(request)
        await self._database.write_among(request, self._save)

    async def get(self, ref: CanvasRef) -> SavedCanvas:
        """Read what is known of a canvas."""
        async with self._database.session() as session:
            row = (await session.exec(select(CanvasRow).where(CanvasRow.ref == ref))).one_or_none()
        if row is None:
            raise no_canvas(ref)
        return _saved_canvas(row)

    async def set_title(self, key: CanvasKey, title: str, now_unix_ms: int) -> None:
        """Change the title."""
        await self._database.write(partial(canvas_writes.set_title, key=key, title=title, now_unix_ms=now_unix_ms))

    async def set_access(self, key: CanvasKey, access: Access) -> None:
        """Change the rights."""
        await self._database.write(partial(canvas_writes.set_access, key=key, access=access))

    async def delete(self, key: CanvasKey) -> None:
        """Remove a canvas with its history."""
        await self._database.write(partial(canvas_writes.delete, key=key))

    async def list(self, limit: int, before_key: CanvasKey | None, user: str | None = None) -> CanvasPage:
        """Read a page of canvases, newest first; with `user` only those in the list of that user."""
        query = select(CanvasRow).order_by(col(CanvasRow.id).desc()).limit(limit + 1)
        if before_key is not None:
            query = query.where(col(CanvasRow.id) < before_key)
        if user is not None:
            shared = func.json_each(CanvasRow.access, "$.shared").table_valued("key")
            is_shared = select(shared.c.key).where(shared.c.key == user).exists()
            query = query.where(or_(func.json_extract(CanvasRow.access, "$.owner") == user, is_shared))
        async with self._database.session() as session:
            rows = (await session.exec(query)).all()
        canvases = tuple(map(_saved_canvas, rows[:limit]))
        return CanvasPage(canvases, canvases[-1].key if len(rows) > limit else None)

    async def read_ops(self, key: CanvasKey, after_seq: int, limit: int) -> Sequence[SavedOp]:
        """Read at most `limit` operations after `after_seq`, oldest first."""
        return await self._database.read(partial(canvas_reads.read_ops, key=key, after_seq=after_seq, limit=limit))

    async def find_ops(self, key: CanvasKey, op_ids: Sequence[str]) -> Sequence[SavedOp]:
        """Read the operations of those names that the history holds."""
        return await self._database.read(partial(canvas_reads.find_ops, key=key, op_ids=op_ids))

    async def read_text(self, key: CanvasKey, seq: int) -> tuple[SavedText, Sequence[SavedOp]]:
        """Read the newest full text not after `seq`, and the operations from there up to `seq`."""
        return await self._database.read(partial(canvas_reads.read_text, key=key, seq=seq))

    async def check(self) -> None:
        """Return if the file can be written to now: a page of it is written, synced like any other."""
        await self._database.write(canvas_writes.touch)


@asynccontextmanager
async def open_store(
    data_dir: Path, *, readonly: bool = False, history_ops_max: int = 0
) -> AsyncIterator[SqliteCanvasStore]:
    """Open the canvases in a folder; the errors are those of `open_database`.

    Args:
        data_dir: made when missing.
        readonly: also beside the server that holds the folder; every write fails.
        history_ops_max: as in `SqliteCanvasStore`.
    """
    async with open_database(data_dir, readonly=readonly) as database:
        yield SqliteCanvasStore(database, history_ops_max)


def _saved_canvas(row: CanvasRow) -> SavedCanvas:
    return read_canvas(CanvasValues(**row.model_dump()))
