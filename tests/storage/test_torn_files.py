"""Files that were cut or of which a bit was flipped: what is read is right, or there is an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from canvas_server.core.errors import CanvasError
from canvas_server.core.ports import LoadedCanvas
from canvas_server.storage.canvases import open_store
from tests.storage.author import REF, Author, create

Tear = Callable[[bytes, Random], bytes]


async def save_and_copy(data_dir: Path, crashed: Path) -> list[LoadedCanvas]:
    """Save some checkpoints, copy the files as a crash would leave them, and return what was durable after each."""
    author = Author()
    async with open_store(data_dir) as store:
        key = await create(store)
        states = [await store.load(REF, 10_000)]
        for count in range(1, 25):
            await store.save(author.checkpoint(key, count, full=count % 5 == 0))
            states.append(await store.load(REF, 10_000))
        copy_files(data_dir, crashed)
    return states


def copy_files(folder: Path, to: Path) -> None:
    to.mkdir()
    for name in ("canvas.db", "canvas.db-wal"):
        shutil.copy(folder / name, to / name)


def cut(whole: bytes, random: Random) -> bytes:
    return whole[: random.randrange(len(whole))]


def flip(whole: bytes, random: Random) -> bytes:
    torn = bytearray(whole)
    torn[random.randrange(len(torn))] ^= 1 << random.randrange(8)
    return bytes(torn)


async def read_torn(crashed: Path, torn_dir: Path, name: str, content: bytes) -> LoadedCanvas | None:
    """Open the copied files with one of them torn, and return what is read; None if that is refused."""
    copy_files(crashed, torn_dir)
    (torn_dir / name).write_bytes(content)
    try:
        async with open_store(torn_dir) as store:
            return await store.load(REF, 10_000)
    except CanvasError:
        return None


@pytest.mark.parametrize("tear", [cut, flip])
async def test_a_torn_log_gives_one_of_the_checkpoints_or_an_error_never_a_mixture(tmp_path: Path, tear: Tear) -> None:
    states = await save_and_copy(tmp_path / "data", tmp_path / "crashed")
    log, random, seen = (tmp_path / "crashed" / "canvas.db-wal").read_bytes(), Random(3), set()
    for variant in range(100):
        read = await read_torn(tmp_path / "crashed", tmp_path / f"{variant}", "canvas.db-wal", tear(log, random))
        assert read is None or read in states
        seen.add(read and read.canvas.version.seq)
    assert len(seen) > 10


@pytest.mark.parametrize("tear", [cut, flip])
async def test_a_torn_database_gives_the_right_text_or_an_error(tmp_path: Path, tear: Tear) -> None:
    states = await save_and_copy(tmp_path / "data", tmp_path / "crashed")
    async with open_store(tmp_path / "crashed"):
        pass
    (tmp_path / "crashed" / "canvas.db-wal").touch()
    whole, random, refused = (tmp_path / "crashed" / "canvas.db").read_bytes(), Random(4), 0
    for variant in range(100):
        read = await read_torn(tmp_path / "crashed", tmp_path / f"{variant}", "canvas.db", tear(whole, random))
        assert read is None or (read.text, read.recent) == (states[-1].text, states[-1].recent)
        refused += read is None
    assert refused > 0
