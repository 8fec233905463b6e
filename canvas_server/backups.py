"""Everything taken out of a data folder, and put back: what the commands `backup`, `restore` and `export --all` do.

Rule: it stands beside `app`, hands plain values to storage, and needs no server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from canvas_server import __version__
from canvas_server.config import Settings
from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.preset import is_preset_id
from canvas_server.plan import dialogue_bytes_max
from canvas_server.storage.archive import verify_backup
from canvas_server.storage.backup import BackedUp, Origin, write_backup
from canvas_server.storage.backup_format import JsonKind, Manifest
from canvas_server.storage.canvases import open_store
from canvas_server.storage.copying import Tell
from canvas_server.storage.export import ExportedCanvas, export_canvases
from canvas_server.storage.restore import Restored, Target, restore_backup
from canvas_server.system import SystemClock


def backup(settings: Settings, file: Path, tell: Tell, *, force: bool) -> BackedUp:
    """Back up the data folder into a file, also beside a running server; see `write_backup`.

    Args:
        settings: say where the folder is.
        file: that is written.
        tell: told of progress.
        force: a file of that name is replaced.

    Raises:
        ExistsError: there is such a file, and `force` is not given.
        StorageCorruptError: something is damaged, and so nothing was written.
        StorageUnavailableError: there is nothing to back up, or no room.
    """
    origin = Origin(Path(settings.storage.data_dir), _kinds(settings), __version__, SystemClock().now_ms())
    return write_backup(origin, file, tell, replace=force)


def check(settings: Settings, file: Path, tell: Tell) -> Manifest:
    """Read a backup to its end, change nothing, and return what it holds.

    Raises:
        StorageCorruptError: it is no backup, or damaged.
        StorageUnavailableError: it cannot be read, or is of a newer program.
    """
    return verify_backup(file, _kinds(settings), tell)


def restore(settings: Settings, file: Path, tell: Tell, *, force: bool) -> Restored:
    """Make a backup the content of the data folder, which no server may use; see `restore_backup`.

    Args:
        settings: say where the folder is.
        file: a backup.
        tell: told of progress.
        force: what is there is moved aside.

    Raises:
        ExistsError: there is something in the folder, and `force` is not given.
        StorageCorruptError: the backup is damaged.
        StorageUnavailableError: a server uses the folder, there is no room, or the backup is of a newer program.
    """
    target = Target(Path(settings.storage.data_dir), _kinds(settings), SystemClock().now_ms())
    return restore_backup(file, target, tell, force=force)


def export_all(settings: Settings, folder: Path, *, force: bool) -> Sequence[ExportedCanvas]:
    """Write the text of each canvas into a folder, also beside a running server; see `export_canvases`.

    Args:
        settings: say where the database is.
        folder: made when missing.
        force: it need not be empty.

    Raises:
        ExistsError: it is not empty, and `force` is not given.
        StorageCorruptError, StorageUnavailableError: the database cannot be read, or the folder not written to.
    """
    return asyncio.run(_export_all(settings, folder, force=force))


def not_included(settings: Settings, file: Path | None) -> Sequence[str]:
    """Return the files that a server with these settings reads and that no backup holds.

    Args:
        settings: name some of them.
        file: the settings were read from, if any.
    """
    named = [Path(settings.cost.pricing_file), Path(settings.presets.gdd_file)]
    return [str(path) for path in ([file] if file else []) + named if path.is_file()]


def in_words(manifest: Manifest) -> str:
    """Return what a backup holds, for people."""
    counts = ", ".join(f"{count} {what}" for what, count in manifest.counts.items())
    return f"{counts} and {len(manifest.files) - 1} JSON files of {manifest.created}"


def facts(manifest: Manifest) -> dict[str, object]:
    """Return what a backup holds, for programs: JSON, the list of files left out."""
    return {
        "created": manifest.created,
        "server_version": manifest.server_version,
        "schema": manifest.schema,
        "counts": dict(manifest.counts),
        "files": len(manifest.files),
    }


def _kinds(settings: Settings) -> Sequence[JsonKind]:
    return (
        JsonKind("presets", is_preset_id, settings.presets.preset_bytes_max),
        JsonKind("interactions", is_dialogue_id, dialogue_bytes_max(settings)),
    )


async def _export_all(settings: Settings, folder: Path, *, force: bool) -> Sequence[ExportedCanvas]:
    async with open_store(Path(settings.storage.data_dir), readonly=True) as store:
        return await export_canvases(store, folder, force=force)
