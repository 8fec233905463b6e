"""A store on which a server dies at a chosen step of a save: chance alone seldom finds a narrow moment."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Literal, NoReturn

from canvas_server.core.ports import CheckpointRequest
from canvas_server.storage import canvas_writes
from canvas_server.storage.canvases import SqliteCanvasStore
from canvas_server.storage.database import Database

Point = Literal["before the write", "within a group", "before the commit", "before the ack"]


class DeadlyStore(SqliteCanvasStore):
    """Kills its own process.

    Args:
        database: open.
        point: at which step.
        at_save: of which save, from 1.
    """

    def __init__(self, database: Database, point: Point, at_save: int) -> None:
        super().__init__(database)
        self._point = point
        self._saves_left = at_save
        self._or_die = self._write_or_die

    async def save(self, request: CheckpointRequest) -> None:
        """Make a checkpoint durable, or die over it."""
        self._saves_left -= 1
        if self._point == "within a group":
            await self._database.write_among(request, self._or_die)
            return
        if self._saves_left:
            await super().save(request)
            return
        if self._point == "before the commit":
            await self._database.write(partial(self._write_and_die, request=request))
        elif self._point == "before the ack":
            await super().save(request)
        self._die()

    def _write_or_die(self, connection: sqlite3.Connection, requests: Sequence[CheckpointRequest]) -> None:
        """Write; die if enough saves were asked for and this transaction has written to several canvases."""
        canvas_writes.save(connection, requests, history_ops_max=0)
        if self._saves_left <= 0 and len(requests) > 1:
            self._die()

    def _write_and_die(self, connection: sqlite3.Connection, request: CheckpointRequest) -> None:
        canvas_writes.save(connection, [request], history_ops_max=0)
        self._die()

    def _die(self) -> NoReturn:
        os.write(1, f"\ndied {self._point}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("alive")
