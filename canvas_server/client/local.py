"""Finding the server that runs on a data folder of this machine.

Rule: the folder is not trusted to be right. A server that was killed leaves its address behind, so only an answer shows
that there is one; and the token in the folder is sent to this machine alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from canvas_server.client.errors import UnreachableError

TOKEN_VARIABLE: Final = "CANVAS_TOKEN"  # noqa: S105 - a name
_ADDRESS_NAME: Final = "server.json"
_TOKEN_NAME: Final = "token"  # noqa: S105 - of a file
_FILE_BYTES_MAX: Final = 4096
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Local(NamedTuple):
    """Where a server says it is, and what it takes for the owner of its folder; no token is an empty one."""

    url: str
    token: str


class _Address(msgspec.Struct, frozen=True):
    url: str


def find_local(data_dir: str | Path) -> Local:
    """Return what a data folder says of the server that runs on it; `CANVAS_TOKEN` goes before its token.

    Raises:
        UnreachableError: nothing says where one runs.
    """
    folder = Path(data_dir)
    try:
        url = msgspec.json.decode(_content(folder / _ADDRESS_NAME), type=_Address).url
    except (OSError, msgspec.MsgspecError) as error:
        raise UnreachableError(
            f"no server runs on {folder}", hint="Start it: canvas-server serve; or name its url."
        ) from error
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token and urlsplit(url).hostname in _HERE:
        try:
            token = _content(folder / _TOKEN_NAME).decode().strip()
        except (OSError, UnicodeDecodeError):
            token = ""
    return Local(url, token)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FILE_BYTES_MAX)
