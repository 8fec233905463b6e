"""A disk that is full while a backup or a restore is written: it says so, and nothing is lost or left behind."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.archive import verify_backup
from tests.crash import faults
from tests.crash.faults import UnableError
from tests.proof.findings import Findings
from tests.storage.damage import KEYS
from tests.storage.keeping import KINDS, back_up, make_sides, names_in, quiet, read_all, restore

FREE_BYTES: Final = range(0, 640 * 1024, 32 * 1024)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    try:
        with faults.small_disk(tmp_path / "disk") as folder:
            yield folder
    except UnableError as error:
        pytest.skip(str(error))


@contextmanager
def nearly_full(disk: Path, free_bytes: int) -> Iterator[None]:
    """Leave so much room on a disk."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free_bytes)))
    try:
        yield
    finally:
        ballast.unlink()


@pytest.mark.promise("R9", "R8")
@pytest.mark.slow
async def test_a_backup_to_a_full_disk_says_so_and_leaves_nothing(
    disk: Path, tmp_path: Path, findings: Findings
) -> None:
    data_dir, _ = await make_sides(tmp_path)
    refused = 0
    for free_bytes in FREE_BYTES:
        with nearly_full(disk, free_bytes):
            try:
                back_up(data_dir, disk / "b.zip")
            except StorageUnavailableError as error:
                assert "room" in f"{error} {error.hint}"  # noqa: PT017 - some fit
                assert names_in(disk) == {"ballast"}
                refused += 1
                continue
        assert verify_backup(disk / "b.zip", KINDS, quiet).counts["canvases"] == len(KEYS)
        (disk / "b.zip").unlink()
    findings.tell("R9", f"backups to {len(FREE_BYTES)} nearly full disks", f"{refused} refused", "0 torn")
    assert 5 < refused < len(FREE_BYTES)


@pytest.mark.promise("R9", "R8")
@pytest.mark.slow
async def test_a_restore_to_a_full_disk_says_so_and_the_old_is_whole(
    disk: Path, tmp_path: Path, findings: Findings
) -> None:
    _, file = await make_sides(tmp_path)
    # Small, so that both fit on the disk; what is there is the newer one without its JSON files.
    restore(file, tmp_path / "small")
    shutil.rmtree(tmp_path / "small" / "presets")
    (tmp_path / "small" / "interactions" / "notes.json").write_text("{}")
    shutil.copytree(tmp_path / "small", tmp_path / "small-read")
    old, new = await read_all(tmp_path / "small-read"), await read_all(tmp_path / "newer")
    refused = 0
    for free_bytes in FREE_BYTES:
        place = shutil.copytree(tmp_path / "small", disk / "data")
        with nearly_full(disk, free_bytes):
            try:
                restore(file, place, force=True)
                expected = new
            except StorageUnavailableError:
                expected, refused = old, refused + 1
                assert names_in(place) == {".lock", "canvas.db", "interactions"}
        await asyncio.to_thread(shutil.copytree, place, tmp_path / "seen")
        assert await read_all(tmp_path / "seen") == expected
        shutil.rmtree(place)
        shutil.rmtree(tmp_path / "seen")
    findings.tell("R9", f"restores to {len(FREE_BYTES)} nearly full disks", f"{refused} refused", "0 lost")
    assert 5 < refused < len(FREE_BYTES)
