"""All canvases written out as plain files, for people and other programs.

Rule: each file is replaced as a whole and holds one version; one text is in memory at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from canvas_server.core.errors import ExistsError, NotFoundError, StorageUnavailableError
from canvas_server.core.moment import iso_from
from canvas_server.core.ports import CanvasKey, CanvasStore, SavedCanvas
from canvas_server.core.saved import text_from
from canvas_server.storage.whole_file import replace_name

INDEX_NAME: Final = "canvases.json"
_PAGE: Final = 500


class ExportedCanvas(msgspec.Struct, frozen=True):
    """A canvas that was written out.

    Attributes:
        file: its name in the folder.
        ref: of the canvas.
        title: of the canvas.
        version: its ETag.
        created: when, ISO 8601 in UTC.
        updated: when it was last changed, likewise.
        size_bytes: of the file.
        sha256: of the file, in hex.
    """

    file: str
    ref: str
    title: str
    version: str
    created: str
    updated: str
    size_bytes: int
    sha256: str


async def export_canvases(store: CanvasStore, folder: Path, *, force: bool) -> Sequence[ExportedCanvas]:
    """Write the newest text of each canvas into a folder, and an index of them.

    Of refs that differ only in case all but the oldest get a suffix, so that no file system loses one. A canvas that is
    deleted meanwhile is left out.

    Args:
        store: open.
        folder: made when missing.
        force: it need not be empty; files of these names are replaced, and others are left.

    Raises:
        ExistsError: it is not empty.
        StorageUnavailableError: it cannot be written to, or the store cannot be read.
        StorageCorruptError: a canvas cannot be read.
    """
    try:
        await asyncio.to_thread(_prepare, folder, force=force)
        exported = []
        taken: dict[str, int] = {}
        for canvas in await _canvases(store):
            try:
                one, content = await _read(store, canvas, _file_name(canvas.ref, taken))
            except NotFoundError:
                continue
            await asyncio.to_thread(replace_name, folder / one.file, content)
            exported.append(one)
        index = msgspec.json.format(msgspec.json.encode({"canvases": exported}), indent=2) + b"\n"
        await asyncio.to_thread(replace_name, folder / INDEX_NAME, index)
    except OSError as error:
        raise StorageUnavailableError(
            f"{folder} cannot be written to: {error.strerror}",
            hint="Choose a folder on a disk with room, that this user may write to.",
        ) from error
    return exported


def _prepare(folder: Path, *, force: bool) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()) and not force:
        raise ExistsError(f"{folder} is not empty", hint="Choose an empty folder, or say --force to write into it.")


async def _canvases(store: CanvasStore) -> list[SavedCanvas]:
    """Return all canvases without their texts, oldest first."""
    canvases: list[SavedCanvas] = []
    before_key: CanvasKey | None = None
    while True:
        page = await store.list(_PAGE, before_key)
        canvases += page.canvases
        if page.next_key is None:
            return sorted(canvases, key=lambda canvas: canvas.key)
        before_key = page.next_key


def _file_name(ref: str, taken: dict[str, int]) -> str:
    """Return the name of a canvas's file; no ref has a `~`, so no suffix makes the name of another."""
    number = taken[ref.lower()] = taken.get(ref.lower(), 0) + 1
    return f"{ref}.md" if number == 1 else f"{ref}~{number}.md"


async def _read(store: CanvasStore, canvas: SavedCanvas, file: str) -> tuple[ExportedCanvas, bytes]:
    """Read the newest version there is now; it may be newer than the one that the list named."""
    while True:
        newest = await store.get(canvas.ref)
        if newest.key != canvas.key:
            raise NotFoundError(f"{canvas.ref} was deleted meanwhile")
        try:
            text, ops = await store.read_text(newest.key, newest.version.seq)
        except NotFoundError:
            # A checkpoint in between may have cut the history behind that version.
            continue
        break
    content = text_from(text, ops).encode()
    exported = ExportedCanvas(
        file=file,
        ref=newest.ref,
        title=newest.title,
        version=newest.version.etag,
        created=iso_from(newest.created_unix_ms),
        updated=iso_from(newest.updated_unix_ms),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return exported, content
