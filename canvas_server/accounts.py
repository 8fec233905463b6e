"""Users and tokens for the command line: changed in the database itself, with or without a server beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from canvas_server.bootstrap import settled
from canvas_server.config import Settings
from canvas_server.core.ports import Clock
from canvas_server.state.identity import Identity
from canvas_server.storage.database import open_database
from canvas_server.storage.identity import SqliteIdentityStore
from canvas_server.system import SystemClock

Result = TypeVar("Result")


def change_identity(settings: Settings, work: Callable[[Identity, Clock], Awaitable[Result]]) -> Result:
    """Run `work` on the users and tokens in the data folder; a server that runs there hears of it within a second.

    Raises:
        StorageUnavailableError, StorageCorruptError: the database cannot be used.
    """
    return asyncio.run(_change_identity(settings, work))


async def _change_identity(settings: Settings, work: Callable[[Identity, Clock], Awaitable[Result]]) -> Result:
    clock = SystemClock()
    async with open_database(Path(settings.storage.data_dir), shared=True) as database:
        identity = Identity(SqliteIdentityStore(database), clock, settled(settings))
        await identity.reload()
        return await work(identity, clock)
