"""The database copied as it is at one moment, beside a server that writes.

Rule: one read transaction lasts for the whole copy. Without it SQLite begins again whenever another process has
written, and under constant writes comes to no end. With it nobody waits for anybody: the server appends to its log,
which can be used again from its start only when the copy is done, so the copy is made first and looked at later.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.connection import connect
from canvas_server.storage.failures import translating

Tell = Callable[[str, int, int], None]
"""Told of progress: what is being done, and how much is done of how much."""

STEP_PAGES: Final = 256
"""1 MiB is copied at once, and synced: a sync of the whole copy at its end would hold up those of the server. Measured
on a database of 160 MiB with a writer of some 300 durable commits a second, p99 of a commit: 4 to 6 ms without a copy,
5 to 10 ms with these steps, 14 to 25 ms with VACUUM INTO, 4 to 107 ms with all pages in one step."""
_UNWRITTEN: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""What a full disk under the copy is told as, the second where it cuts a write off in the middle."""
REST_S: Final = 0.002
"""Between two steps the disk and the processor are the server's."""


def copy_database(source: Path, target: Path, tell: Tell) -> None:
    """Copy a database with what is in its log, page by page, into a new file that has no log.

    The copy has the pages of the source as they are: what is damaged there stays damaged, and can be found.

    Raises:
        StorageUnavailableError: there is none, it cannot be read, or there is no room for the copy.
        StorageCorruptError: it is no database.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with translating(source), closing(connect(source, readonly=True)) as reader:
            _copy(reader, target, tell)
    except StorageUnavailableError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode & 0xFF not in _UNWRITTEN:
            raise
        raise StorageUnavailableError(
            f"the copy of {source.name} cannot be made: {cause}",
            hint="Choose a file on a disk with room for twice the database; if it has, look at the system's log.",
        ) from error


def _copy(reader: sqlite3.Connection, target: Path, tell: Tell) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as writer:
        # A copy that is not finished is thrown away, so it needs no journal.
        writer.execute("PRAGMA journal_mode = OFF")
        writer.execute("PRAGMA synchronous = OFF")
        descriptor = os.open(target, os.O_RDONLY)
        try:
            reader.execute("BEGIN")
            # The transaction begins when something is read.
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(writer, pages=STEP_PAGES, progress=lambda *step: _after_step(descriptor, step, tell))
            reader.execute("COMMIT")
        finally:
            os.close(descriptor)
        # The header says that there is a log, as in the source.
        writer.execute("PRAGMA journal_mode = DELETE")


def _after_step(descriptor: int, step: tuple[int, int, int], tell: Tell) -> None:
    _status, left, total = step
    os.fdatasync(descriptor)
    tell("copying", total - left, total)
    time.sleep(REST_S)
