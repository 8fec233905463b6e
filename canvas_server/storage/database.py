"""The database file: opened, brought to the newest schema, and closed again in order.

Rule: there are three ways in, and each has its work. `write` runs a whole transaction in the one thread that writes;
`read` runs in a thread of its own, for histories of thousands of rows; `session` is SQLModel's, for answers of a few
rows.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiosqlite
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel.ext.asyncio.session import AsyncSession

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage import migrations
from canvas_server.storage.connection import PRAGMAS, ConnectionThread, connect, uri
from canvas_server.storage.failures import corrupt, translating
from canvas_server.storage.folder import (
    FolderInUseError,
    database_path,
    lock_folder,
    sync_folder,
    unlock_folder,
    unusable,
)
from canvas_server.storage.switch import finish_switch, refuse_unfinished

Result = TypeVar("Result")
Item = TypeVar("Item")

APPLICATION_ID: Final = 0x43_4E_56_53
"""In the header of the file ("CNVS"), so that a database of another program is never taken for ours."""


class Database:
    """An open database.

    Args:
        path: its file.
        writer: the connection that writes.
        reader: the connection for long reads.
        engine: connections for short reads.
    """

    def __init__(self, path: Path, writer: ConnectionThread, reader: ConnectionThread, engine: AsyncEngine) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._engine = engine

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one durable transaction, after those asked for before; cancelling does not stop it.

        Raises:
            StorageUnavailableError: nothing was changed.
            StorageCorruptError: nothing was changed.
        """
        return await self._writer.write(work)

    async def write_among(self, item: Item, work: Callable[[sqlite3.Connection, Sequence[Item]], None]) -> None:
        """Run `work` on an item as `write` does, together with others that wait for the same work.

        Should `work` fail for several, it is run for each alone.
        """
        await self._writer.write_among(item, work)

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the database as it is at one moment.

        Raises:
            StorageUnavailableError: it cannot be read now.
            StorageCorruptError: what is there cannot be right.
        """
        return await self._reader.read(work)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Give a session for reading; what the database does in it is raised as with `read`."""
        with translating(self.path):
            async with AsyncSession(self._engine) as session:
                yield session


@asynccontextmanager
async def open_database(data_dir: Path, *, readonly: bool = False, shared: bool = False) -> AsyncIterator[Database]:
    """Open the database in a folder; with `readonly` or `shared` also beside the server that holds it.

    The folder and the file are made when missing, for the owner alone, a restore that was cut off is finished, and an
    older schema is brought up to date; with `readonly` nothing is made, the schema must be the newest, no restore may
    be in the midst, and every write fails. With `shared` and beside a server it is so, too, but what no server holds
    in memory may be written.

    Raises:
        StorageUnavailableError: another server uses the folder, or it or the file cannot be used.
        StorageCorruptError: the file is not a database of ours; it is left as it is.
    """
    path = database_path(data_dir)
    async with AsyncExitStack() as stack:
        is_ours = not readonly and await _lock(data_dir, stack, shared=shared)
        await asyncio.to_thread(finish_switch if is_ours else refuse_unfinished, data_dir)
        await asyncio.to_thread(_prepare if is_ours else _check_schema, path)
        # The writer is closed last: with the last connection SQLite copies the log back and removes it.
        writer = await ConnectionThread.open(path, readonly=readonly, name="canvas-writer")
        stack.push_async_callback(writer.close)
        reader = await ConnectionThread.open(path, readonly=True, name="canvas-reader")
        stack.push_async_callback(reader.close)
        engine = _engine(path)
        stack.push_async_callback(engine.dispose)
        yield Database(path, writer, reader, engine)


async def _lock(data_dir: Path, stack: AsyncExitStack, *, shared: bool) -> bool:
    """Take the folder for ourselves; tell whether that was possible, where it need not be."""
    try:
        lock = await asyncio.to_thread(lock_folder, data_dir)
    except FolderInUseError:
        if shared:
            return False
        raise
    stack.push_async_callback(asyncio.to_thread, unlock_folder, lock)
    return True


def _prepare(path: Path) -> None:
    """Make sure that there is a database of ours with the newest schema."""
    if not path.exists():
        _create(path)
    if _revision(path) != migrations.newest_revision():
        with translating(path):
            migrations.upgrade(path)
    _check_refs(path)


def _check_refs(path: Path) -> None:
    """Refuse a database whose index of refs does not fit its canvases: one of them would seem not to be there."""
    with translating(path), closing(connect(path, readonly=True)) as connection:
        found = connection.execute("PRAGMA integrity_check(canvas)").fetchone()[0]
    if found != "ok":
        raise corrupt(path, found)


def _check_schema(path: Path) -> None:
    """Refuse a database whose schema would have to be upgraded."""
    if _revision(path) != migrations.newest_revision():
        raise StorageUnavailableError(
            f"{path} was written by an older canvas-server", hint="Start this version's server on it once."
        )


def _revision(path: Path) -> str:
    """Return the revision of a database of ours that this program can use or upgrade, changing nothing."""
    with translating(path), closing(connect(path, readonly=True)) as connection:
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        revision = migrations.read_revision(connection)
    if application_id != APPLICATION_ID or revision is None:
        raise corrupt(path, "it is not a database of canvas-server")
    if not migrations.is_known(revision):
        raise StorageUnavailableError(
            f"{path} was written by a newer canvas-server (schema {revision})", hint="Install that version."
        )
    return revision


def _create(path: Path) -> None:
    """Make a database under another name and rename it when it is whole: half of one is never found at `path`."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise corrupt(path, "it is missing, but its write-ahead log is there")
    new = path.with_name(f"{path.name}.new")
    try:
        for leftover in (new, new.with_name(f"{new.name}-journal")):
            leftover.unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with translating(new):
            migrations.upgrade(new)
            with closing(sqlite3.connect(new)) as connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        new.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise unusable(path.parent, error) from error


class _Cursor(Protocol):
    def execute(self, statement: str) -> object: ...
    def close(self) -> None: ...


class _Connection(Protocol):
    def cursor(self) -> _Cursor: ...


def _engine(path: Path) -> AsyncEngine:
    # Parameters would show titles in tracebacks. Two connections: short reads wait for each other, not for long ones.
    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=lambda: aiosqlite.connect(uri(path, "ro"), uri=True),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=2,
        max_overflow=0,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: _Connection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
