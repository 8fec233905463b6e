"""Data folders to be backed up, and what is in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.preset import is_preset_id
from canvas_server.storage.backup import BackedUp, Origin, write_backup
from canvas_server.storage.backup_format import JsonKind
from canvas_server.storage.canvases import open_store
from canvas_server.storage.restore import Restored, Target, restore_backup
from tests.storage.damage import KEYS, REFS, Parts, read_parts, save_and_copy

KINDS: Final = (JsonKind("presets", is_preset_id, 100_000), JsonKind("interactions", is_dialogue_id, 100_000))
PRESET: Final = "presets/0a0b0c0d-0000-4000-8000-000000000001.json"
DIALOGUE: Final = "interactions/notes.json"
NOW: Final = 1_795_269_324_712
STAMP: Final = "20261121T135524Z"
"""The second of `NOW` in names."""


def quiet(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def back_up(data_dir: Path, file: Path, *, replace: bool = False) -> BackedUp:
    """Back up a folder."""
    return write_backup(Origin(data_dir, KINDS, "0.0", NOW), file, quiet, replace=replace)


def restore(file: Path, data_dir: Path, *, force: bool = False) -> Restored:
    """Restore into a folder."""
    return restore_backup(file, Target(data_dir, KINDS, NOW), quiet, force=force)


async def make_sides(folder: Path) -> tuple[Path, Path]:
    """Make an old folder as a crash leaves one, with a log, and a backup of a newer one that lacks a canvas."""
    await save_and_copy(folder / "data", folder / "old")
    shutil.copytree(folder / "data", folder / "newer")
    async with open_store(folder / "newer") as store:
        await store.delete(KEYS[REFS[-1]])
    for side in ("old", "newer"):
        put_json(folder / side, side)
    back_up(folder / "newer", folder / "newer.zip")
    return folder / "old", folder / "newer.zip"


def put_json(data_dir: Path, side: str) -> None:
    """Save a preset and a dialogue that tell their side."""
    for name in (PRESET, DIALOGUE):
        (data_dir / name).parent.mkdir(exist_ok=True)
        (data_dir / name).write_text(json.dumps({"side": side}))


async def read_all(data_dir: Path) -> Parts:
    """Return all that a folder holds, as a server finds it that starts there."""
    async with open_store(data_dir) as store:
        parts = await read_parts(store)
    # After the start, which finishes what was cut off.
    for name in (PRESET, DIALOGUE):
        parts[name] = (data_dir / name).read_text() if (data_dir / name).exists() else None
    return parts


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in folder.iterdir()}
