"""What a backup is: one zip file with the database, the JSON files, and a manifest that vouches for them.

Rule: the manifest names every file with its size and SHA-256; whatever else is in the zip, or is another, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.errors import StorageCorruptError, StorageUnavailableError
from canvas_server.storage import migrations
from canvas_server.storage.folder import DATABASE_NAME
from canvas_server.storage.json_folder import SUFFIX

FORMAT: Final = 1
MANIFEST_NAME: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
"""Room for some 400,000 files."""
PIECE_BYTES: Final = 1024 * 1024
"""What is read at once: memory stays bounded, whatever the size of the files."""


class JsonKind(NamedTuple):
    """One of the folders of JSON files.

    Attributes:
        folder: its name in the data folder.
        is_name: tells what may be the name of a file, without its suffix.
        bytes_max: of one file; the server reads no larger one.
    """

    folder: str
    is_name: Callable[[str], bool]
    bytes_max: int


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a backup.

    Attributes:
        name: relative to the data folder, with `/`.
        size_bytes: unpacked.
        sha256: of its content, in hex.
    """

    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds.

    Attributes:
        format: of the backup; a program reads no format that is newer than its own.
        server_version: of the program that wrote it.
        schema: the revision of the database.
        created: when, ISO 8601 in UTC.
        counts: rows by what they are: canvases, operations, and users where there are any.
        files: all files but the manifest.
    """

    format: int
    server_version: str
    schema: str
    created: str
    counts: Mapping[str, int]
    files: Sequence[FileEntry]


class _Format(msgspec.Struct, frozen=True):
    format: int


def encode_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as people like to read it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(content: bytes, file: Path) -> Manifest:
    """Return the manifest of a backup that this program can read.

    Raises:
        StorageCorruptError: it is none.
        StorageUnavailableError: it was written by a newer program.
    """
    try:
        newer = msgspec.json.decode(content, type=_Format).format > FORMAT
        manifest = None if newer else msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unfit(file, f"its manifest cannot be read ({error})") from error
    if manifest is None or not migrations.is_known(manifest.schema):
        raise StorageUnavailableError(
            f"{file.name} was written by a newer canvas-server", hint="Install that version, and restore with it."
        )
    return manifest


def kind_of(name: str, kinds: Sequence[JsonKind]) -> JsonKind | None:
    """Return which JSON file a name in a backup is, None if it is none of them."""
    folder, _, file = name.partition("/")
    stem = file.removesuffix(SUFFIX)
    found = next((kind for kind in kinds if kind.folder == folder), None)
    return found if found is not None and stem != file and found.is_name(stem) else None


def is_content(name: str, kinds: Sequence[JsonKind]) -> bool:
    """Tell whether a file of that name may be in a backup; no such name leads out of the data folder."""
    return name == DATABASE_NAME or kind_of(name, kinds) is not None


def unfit(file: Path, what: str) -> StorageCorruptError:
    """Return the error for a file that cannot be restored because `what` is wrong with it."""
    return StorageCorruptError(f"{file.name}: {what}", hint="Use another backup; nothing was changed.")
