"""Where a running server can be reached, for programs of the same user on the same machine.

Rule: the file is its owner's alone, is there only while the server answers, and is never trusted to be right: a server
that was killed leaves it behind, so whoever reads it asks at that address whether there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from canvas_server.private_file import write_private

log = logging.getLogger(__name__)

ADDRESS_NAME: Final = "server.json"
_BYTES_MAX: Final = 4096


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server that runs, or did."""

    url: str
    pid: int
    version: str = ""


@contextmanager
def announced(folder: Path, running: Running) -> Iterator[None]:
    """Have the file in a data folder for as long as the block runs; a server without it serves all the same."""
    path = folder / ADDRESS_NAME
    try:
        write_private(path, msgspec.json.encode(running) + b"\n")
    except OSError as error:
        log.warning("address not written", extra={"file": path.name, "why": error.strerror})
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def read_address(folder: Path) -> Running | None:
    """Return what the file says; None if there is none, or it says nothing that can be read."""
    try:
        with (folder / ADDRESS_NAME).open("rb") as file:
            return msgspec.json.decode(file.read(_BYTES_MAX), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
