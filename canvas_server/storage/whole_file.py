"""Files that are replaced as a whole: whoever reads one, whatever fails meanwhile, finds the old or the new.

Rule: written beside it, synced, renamed, and the name synced.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.folder import sync_folder

UNFINISHED_PREFIX: Final = ".canvas-"
"""How the names begin of files that are being written; after a crash they may be removed."""


def replace_file(path: Path, content: bytes) -> None:
    """Make `content` what a file holds, durably.

    A link is followed, and the mode of a file that is there is kept; a new one is for its owner alone. What is no file
    (`/dev/stdout`, a pipe) is written to as it is.

    Raises:
        StorageUnavailableError: it cannot be written; the file is as it was.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_name(path.resolve(), content)
    except OSError as error:
        raise StorageUnavailableError(
            f"{path} cannot be written: {error.strerror}",
            hint="Choose a file on a disk with room, in a folder that this user may write to.",
        ) from error


def replace_name(target: Path, content: bytes) -> None:
    """Make `content` the file of that very name, durably: a link of that name is not followed but gives way.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=UNFINISHED_PREFIX, dir=target.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if target.is_file() and not target.is_symlink():
                os.fchmod(descriptor, target.stat().st_mode & 0o777)
            os.fsync(descriptor)
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
