"""A folder for what is not finished, which the next run removes if this one is killed.

Rule: whoever works in one holds its lock, so one that can be locked is a leftover. The lock is the kernel's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from canvas_server.storage.whole_file import UNFINISHED_PREFIX

_PREFIX: Final = f"{UNFINISHED_PREFIX}backup-"


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for the time of the block, on the file system of `parent`; leftovers of others are removed.

    Raises:
        OSError: the folder cannot be written to.
    """
    _remove_leftovers(parent)
    folder, descriptor = _make(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _make(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        descriptor = _lock(folder)
        if descriptor is not None:
            return folder, descriptor


def _lock(folder: Path) -> int | None:
    """Return the descriptor that holds the lock, None if another has it or has removed the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another run may have taken it for a leftover between its making and this lock.
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        descriptor = _lock(folder)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
