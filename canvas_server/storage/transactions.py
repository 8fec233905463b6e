"""What jobs and accounts need of a database: whole transactions, one after the other.

`Database` is one; `open_memory` gives one that forgets, so that `--ephemeral` runs the same statements.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

from canvas_server.storage import migrations
from canvas_server.storage.connection import run_transaction
from canvas_server.storage.failures import translating

Result = TypeVar("Result")

_MEMORY: Final = Path("memory")


class Transactions(Protocol):
    """Runs work in transactions; the errors are those of `Database`."""

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one durable transaction, after those asked for before; cancelling does not stop it."""
        ...

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the database as it is at one moment."""
        ...


class MemoryTransactions:
    """A database that is nowhere but in memory.

    Args:
        executor: its one thread.
        connection: made in that thread.
    """

    def __init__(self, executor: ThreadPoolExecutor, connection: sqlite3.Connection) -> None:
        self._executor = executor
        self._connection = connection

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one transaction."""
        return await asyncio.shield(self._run(work))

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the database as it is at one moment."""
        return await self._run(work)

    def _run(self, work: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        def run() -> Result:
            with translating(_MEMORY):
                return run_transaction(self._connection, "BEGIN IMMEDIATE", work)

        return asyncio.get_running_loop().run_in_executor(self._executor, run)


@asynccontextmanager
async def open_memory() -> AsyncIterator[MemoryTransactions]:
    """Open an empty database in memory, with the newest schema."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="canvas-memory")
    try:
        connection = await loop.run_in_executor(executor, _create)
        yield MemoryTransactions(executor, connection)
        await loop.run_in_executor(executor, connection.close)
    finally:
        executor.shutdown(wait=False)


def _create() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.upgrade_connection(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
