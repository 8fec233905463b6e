"""The data folder: made for its owner alone, and used by one server at a time.

Rule: the lock is the kernel's, so it ends with the process that holds it, however that ends. The file beside it only
tells which process it is.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from canvas_server.core import data_folder
from canvas_server.core.data_folder import OTHERS_WRITE, PLAIN, Facts, distrust
from canvas_server.core.errors import StorageUnavailableError

DATABASE_NAME: Final = data_folder.DATABASE_NAME
LOCK_NAME: Final = ".lock"


class FolderInUseError(StorageUnavailableError):
    """A server uses the folder."""


def database_path(data_dir: Path) -> Path:
    """Return the absolute path of the database in a folder."""
    return data_dir.absolute() / DATABASE_NAME


def make_folder(data_dir: Path) -> None:
    """Make the folder if it is missing, and close it to others.

    Raises:
        StorageUnavailableError: it cannot be used, or others could have put something there.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(data_dir)
    except OSError as error:
        raise unusable(data_dir, error) from error


def lock_folder(data_dir: Path) -> int:
    """Make the folder as `make_folder` does, take its lock, and return the descriptor that holds it.

    Raises:
        FolderInUseError: another process holds it; the message says which.
        StorageUnavailableError: the folder cannot be used.
    """
    make_folder(data_dir)
    try:
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
    """Leave the folder, and what is opened by name in it, to their owner alone.

    Raises:
        StorageUnavailableError: somebody else could have put something there for us to read or to overwrite.
    """
    folder = _facts(data_dir.stat())
    _check_trust(data_dir, folder)
    if folder.mode & 0o077:
        data_dir.chmod(0o700)
        # Only from here on can nobody add anything.
        _check_trust(data_dir, folder)
    for name, facts in _entries(data_dir).items():
        if name in PLAIN and facts.mode & OTHERS_WRITE:
            with suppress(FileNotFoundError):
                (data_dir / name).chmod(0o600)


def _check_trust(data_dir: Path, folder: Facts) -> None:
    found = distrust(str(data_dir), folder, _entries(data_dir), os.geteuid())
    if found is not None:
        raise StorageUnavailableError(found.detail, hint=found.hint)


def _entries(data_dir: Path) -> Mapping[str, Facts]:
    """Return what is directly in a folder; a file may go while we look, where a server runs."""
    entries = {}
    with os.scandir(data_dir) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                entries[entry.name] = _facts(entry.stat(follow_symlinks=False))
    return entries


def _facts(status: os.stat_result) -> Facts:
    return Facts(status.st_uid, status.st_mode)


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
