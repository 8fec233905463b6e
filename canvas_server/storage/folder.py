"""The data folder: made for its owner alone, and used by one server at a time.

Rule: the lock is the kernel's, so it ends with the process that holds it, however that ends. The file beside it only
tells which process it is.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from canvas_server.core.errors import StorageUnavailableError

DATABASE_NAME: Final = "canvas.db"
LOCK_NAME: Final = ".lock"


class FolderInUseError(StorageUnavailableError):
    """A server uses the folder."""


def database_path(data_dir: Path) -> Path:
    """Return the absolute path of the database in a folder."""
    return data_dir.absolute() / DATABASE_NAME


def lock_folder(data_dir: Path) -> int:
    """Make the folder if it is missing, close it to others, take its lock, and return the descriptor that holds it.

    Raises:
        FolderInUseError: another process holds it; the message says which.
        StorageUnavailableError: the folder cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(data_dir)
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unusable(data_dir, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).strip().decode("ascii", "replace")
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise _in_use(data_dir, holder) from error
        raise unusable(data_dir, error) from error
    return descriptor


def unlock_folder(descriptor: int) -> None:
    """Give back what `lock_folder` took; the file stays, because removing it would race with the next holder."""
    os.truncate(descriptor, 0)
    os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _close_to_others(data_dir: Path) -> None:
    """Leave the folder to its owner alone.

    Raises:
        StorageUnavailableError: it is somebody else's, who could put files in it for us to read or to overwrite.
    """
    status = data_dir.stat()
    if os.geteuid() not in (0, status.st_uid):
        raise StorageUnavailableError(
            f"{data_dir} belongs to another user", hint="Run the server as that user, or choose another folder."
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        data_dir.chmod(0o700)


def _in_use(data_dir: Path, holder: str) -> FolderInUseError:
    return FolderInUseError(
        f"{data_dir} is in use by process {holder or '(not yet known)'}",
        hint="Stop that server first, or give this one another data folder.",
    )


def unusable(data_dir: Path, error: OSError) -> StorageUnavailableError:
    """Return the error for a folder that the system does not let us use."""
    return StorageUnavailableError(
        f"{data_dir} cannot be used: {error.strerror}",
        hint="Choose a folder on a local disk that this user may write to.",
    )
