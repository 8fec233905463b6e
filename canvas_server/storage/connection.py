"""One SQLite connection and the one thread that may touch it.

Rule: work is a plain function that is run whole in the thread, so nothing comes between its statements: no other
work, and no cancellation of whoever waits for it. What is to be written and waits is committed together.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.failures import translating
from canvas_server.storage.group_commit import GroupCommit

Result = TypeVar("Result")
Item = TypeVar("Item")

BUSY_TIMEOUT_S: Final = 2.0
"""How long a statement waits for a lock that another program holds."""

PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}",
    "PRAGMA foreign_keys = ON",
    # Refuses pages whose cells cannot be right, instead of following them.
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)
"""What every connection gets, however it is opened."""

WRITER_PRAGMAS: Final = (
    # A commit is on disk when it returns; NORMAL would sync only now and then.
    "PRAGMA synchronous = FULL",
    # macOS: fsync alone stops at the disk's own cache. Elsewhere these do nothing.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    # 1,000 pages of 4 KiB: the commit that passes it copies the log back, in the thread, in some ms.
    "PRAGMA wal_autocheckpoint = 1000",
    # Some builds overwrite every page that is let go, which doubles what a checkpoint with text writes; this one
    # overwrites only where the page is written anyway.
    "PRAGMA secure_delete = FAST",
    # What a burst made of the log is given back to the disk once it was copied.
    "PRAGMA journal_size_limit = 16777216",
)


def uri(path: Path, mode: Literal["ro", "rw"]) -> str:
    """Return the name under which SQLite opens an existing file, given its absolute path; it never makes one."""
    return f"{path.as_uri()}?mode={mode}"


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """Open an existing database with all pragmas set; statements commit one by one unless they say BEGIN.

    Raises:
        StorageUnavailableError: its file system cannot hold a shared log.
        sqlite3.Error: as the database told it.
    """
    connection = sqlite3.connect(uri(path, "ro" if readonly else "rw"), uri=True, isolation_level=None)
    try:
        for pragma in PRAGMAS if readonly else PRAGMAS + WRITER_PRAGMAS:
            connection.execute(pragma)
        if not readonly:
            _keep_log(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_log(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StorageUnavailableError(
            f"{path} cannot have a write-ahead log (its journal mode stays {mode})",
            hint="Choose a folder on a local disk.",
        )


def run_transaction(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
    """Run `work` in a transaction that the statement `begin` begins; with an error nothing has happened."""
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # After some failures SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


class FileId(NamedTuple):
    """What a file is, whatever its name."""

    device: int
    inode: int


class ConnectionThread:
    """Runs work on a connection of its own, one piece after the other, in the order it was asked; see `open`."""

    def __init__(self, path: Path, executor: ThreadPoolExecutor, connection: sqlite3.Connection, file: FileId) -> None:
        self._path = path
        self._executor = executor
        self._connection = connection
        self._file = file
        self._writes = GroupCommit(executor, partial(self._run, "BEGIN IMMEDIATE"))

    @classmethod
    async def open(cls, path: Path, *, readonly: bool, name: str) -> ConnectionThread:
        """Connect to a database file that exists, in a thread called `name`.

        Raises:
            StorageUnavailableError: the file cannot be opened.
            StorageCorruptError: it is not a database.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        try:
            work = partial(_connect, path, readonly=readonly)
            connection, file = await asyncio.get_running_loop().run_in_executor(executor, work)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(path, executor, connection, file)

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction that nobody can write beside; durable when this returns.

        What waits is committed together, so `work` may be run twice and must change nothing but the database.
        Cancelling the caller changes nothing: the transaction runs to its end.
        """
        return await self._writes.put(work)

    async def write_among(self, item: Item, work: Callable[[sqlite3.Connection, Sequence[Item]], None]) -> None:
        """Run `work` on an item as `write` does, together with others that wait for the same work."""
        await self._writes.put_among(item, work)

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` on the database as it is at one moment."""
        return await self._in_thread(lambda: self._run("BEGIN", work))

    async def close(self) -> None:
        """Wait for the work that was asked for, then close."""
        closed = self._in_thread(self._connection.close)
        self._executor.shutdown(wait=False)
        await asyncio.shield(closed)

    def _in_thread(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _run(self, begin: str, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with translating(self._path):
            self._check_file()
            return run_transaction(self._connection, begin, work)

    def _check_file(self) -> None:
        """Refuse to work on a file that has lost its name: what is written there is lost with the process."""
        if _identify(self._path) != self._file:
            raise StorageUnavailableError(
                f"{self._path} was moved or replaced while it was open",
                hint="Put the file back, or start the server again.",
            )


def _connect(path: Path, *, readonly: bool) -> tuple[sqlite3.Connection, FileId]:
    with translating(path):
        return connect(path, readonly=readonly), _identify(path)


def _identify(path: Path) -> FileId:
    try:
        status = path.stat()
    except OSError:
        return FileId(0, 0)
    return FileId(status.st_dev, status.st_ino)
