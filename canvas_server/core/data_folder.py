"""Whether a data folder can be trusted: a rule about owners and modes, kept by storage and told by the doctor.

Rule: nothing is used that somebody else could have put there. Root is no somebody else: it gets everywhere anyway.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Final, NamedTuple

DATABASE_NAME: Final = "canvas.db"
TOKEN_NAME: Final = "token"  # noqa: S105 - the name of a file
PLAIN: Final = (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm", TOKEN_NAME)
"""Files that are opened by name, so that a link of that name would be followed."""
OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

_ROOT: Final = 0


class Facts(NamedTuple):
    """What the system says of a file or folder."""

    owner: int
    mode: int
    """With the kind of file, as `st_mode` has it."""


class Distrust(NamedTuple):
    """Why a folder is not used, and what to do about it."""

    detail: str
    hint: str


def distrust(path: str, folder: Facts, entries: Mapping[str, Facts], user: int) -> Distrust | None:
    """Return why a user should not use a folder; None if it can be trusted.

    Args:
        path: of the folder, to be told.
        folder: what it is, or was before it was closed to others.
        entries: by name, what is directly in it; of links, what they are themselves.
        user: who is to use it.
    """
    if user not in (_ROOT, folder.owner):
        return Distrust(f"{path} belongs to another user", "Run the server as that user, or choose another folder.")
    if folder.mode & OTHERS_WRITE and DATABASE_NAME in entries:
        return Distrust(
            f"others may write in {path}, and a database lies in it",
            f"Look at what is in it: others could have put it there. If all of it is yours, run `chmod 700 {path}`.",
        )
    for name, facts in sorted(entries.items()):
        if facts.owner not in (_ROOT, user, folder.owner):
            return Distrust(f"{path}/{name} belongs to another user", "Look at who put it there, and move it away.")
        if name in PLAIN and not stat.S_ISREG(facts.mode):
            return Distrust(f"{path}/{name} is no plain file", "Put the file itself there, or move it away.")
    return None
