"""What the database may do to us, told as the two errors a store raises.

Rule: unavailable means that nothing was changed and trying again may help; corrupt means that what is there cannot be
right and is left as it is. What remains is wrong use by our own code and passes as it came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from canvas_server.core.errors import CanvasError, StorageCorruptError, StorageUnavailableError

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY: ("is locked by another program", "Stop the other program, or wait until it is done."),
    sqlite3.SQLITE_LOCKED: ("is locked by another program", "Stop the other program, or wait until it is done."),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "Free some disk space."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk failed", "Check the disk and the system's log."),
    sqlite3.SQLITE_READONLY: ("may not be written to", "Make the file and its folder writable."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check that the file and its folder exist and may be used."),
    sqlite3.SQLITE_PERM: ("may not be used", "Make the file and its folder writable."),
    sqlite3.SQLITE_NOMEM: ("cannot be used: memory ran out", "Give the server more memory."),
    sqlite3.SQLITE_PROTOCOL: ("is locked by another program", "Stop the other program, or wait until it is done."),
}
# An SQL error of a statement that is right means that the schema is not ours.
_CORRUPT: Final = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,
}
_PRIMARY: Final = 0xFF


class DamageError(Exception):
    """What was read cannot be right; it is told with the name of the file, see `translating`."""


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Raise what the database did in this block as an error of the store.

    It names the file but not its folder: clients are told, too.

    Raises:
        StorageUnavailableError: busy, full, read-only, failing; nothing was changed.
        StorageCorruptError: what is in the file cannot be right.
    """
    try:
        yield
    except DamageError as error:
        raise corrupt(path, str(error)) from error
    except sqlite3.Error as error:
        raise _translated(path, error) from error
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        raise _translated(path, error.orig) from error


def corrupt(path: Path, what: str) -> StorageCorruptError:
    """Return the error for a file that is left as it is because `what` is wrong with it."""
    return StorageCorruptError(f"{path.name}: {what}", hint="Restore the file from a backup; it was left as it is.")


def _translated(path: Path, error: sqlite3.Error) -> CanvasError | sqlite3.Error:
    # Python adds errors of its own, without a code: a text that is not UTF-8 (and would stand in the message) is one.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return corrupt(path, "a text is not UTF-8") if isinstance(error, sqlite3.OperationalError) else error
    primary = code & _PRIMARY
    if primary in _CORRUPT:
        return corrupt(path, str(error))
    if primary in _UNAVAILABLE:
        what, hint = _UNAVAILABLE[primary]
        return StorageUnavailableError(f"{path.name} {what} ({error})", hint=hint)
    return error
