"""A database as a crash leaves it, ways to damage a copy of it, and all that can be read of what is left."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from canvas_server.core.errors import NotFoundError, StorageCorruptError, StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CanvasKey, CanvasStore, CheckpointRequest
from canvas_server.storage.canvases import SqliteCanvasStore, open_store
from tests.storage.author import Author, create

DATABASE: Final = "canvas.db"
LOG: Final = "canvas.db-wal"
REFS: Final = (CanvasRef("one"), CanvasRef("two"), CanvasRef("three"))
KEYS: Final = {ref: CanvasKey(number) for number, ref in enumerate(REFS, 1)}
NAMES: Final = [f"{ref} {what}" for ref in REFS for what in ("key", "newest", "past", "history")]
CHECKPOINTS: Final = 30
PAST_SEQ: Final = 60
OPS_MAX: Final = 10_000

Damage = Callable[[bytes, Random], bytes]


def cut(whole: bytes, random: Random) -> bytes:
    """Return the beginning of a file."""
    return whole[: random.randrange(len(whole))]


def flip(whole: bytes, random: Random) -> bytes:
    """Return a file of which one bit is another."""
    torn = bytearray(whole)
    torn[random.randrange(len(torn))] ^= 1 << random.randrange(8)
    return bytes(torn)


class Refused(NamedTuple):
    """An answer that is none; tells why."""

    why: str


class Absent(NamedTuple):
    """The answer that there is no such thing."""


Parts = dict[str, object]
"""By name, what can be asked of the canvases; not what is told of one without reading its text (title, version,
times), for nothing in the file vouches for that."""


async def save_and_copy(data_dir: Path, crashed: Path, *, together: bool = False) -> list[Parts]:
    """Save some checkpoints, copy the files as a crash would leave them, and return what was durable after each commit.

    Args:
        data_dir: of the store.
        crashed: for the copy.
        together: whether one commit holds a checkpoint of every canvas, as a busy journal has it.
    """
    authors = {ref: Author(ref) for ref in REFS}
    async with open_store(data_dir) as store:
        states = [await read_parts(store)]
        for ref in REFS:
            await create(store, ref)
            states.append(await read_parts(store))
        for count in range(1, CHECKPOINTS + 1):
            refs = REFS if together else [REFS[count % len(REFS)]]
            requests = [authors[ref].checkpoint(KEYS[ref], count, full=count % 5 == 0) for ref in refs]
            await save_with_one_commit(store, requests)
            states.append(await read_parts(store))
        copy_files(data_dir, crashed)
    return states


async def save_with_one_commit(store: SqliteCanvasStore, requests: Sequence[CheckpointRequest]) -> None:
    """Save checkpoints that all wait while another write goes on."""
    gate = threading.Event()
    before = asyncio.ensure_future(store._database.write(lambda _connection: gate.wait(10)))
    saves = [asyncio.ensure_future(store.save(request)) for request in requests]
    await asyncio.sleep(0.005)
    gate.set()
    await asyncio.gather(before, *saves)


def copy_files(folder: Path, to: Path) -> None:
    """Copy a database with its log."""
    to.mkdir()
    for name in (DATABASE, LOG):
        shutil.copy(folder / name, to / name)


async def read_damaged(crashed: Path, to: Path, name: str, content: bytes) -> Parts:
    """Read everything from a copy in which one file has another content."""
    copy_files(crashed, to)
    (to / name).write_bytes(content)
    try:
        async with open_store(to) as store:
            return await read_parts(store)
    except (StorageCorruptError, StorageUnavailableError) as error:
        return dict.fromkeys(NAMES, Refused(str(error)))


async def read_parts(store: CanvasStore) -> Parts:
    """Ask for everything."""
    parts: Parts = {}
    for ref, key in KEYS.items():
        parts[f"{ref} key"] = await _answer(_key(store, ref))
        parts[f"{ref} newest"] = await _answer(_newest(store, ref))
        parts[f"{ref} past"] = await _answer(store.read_text(key, PAST_SEQ))
        parts[f"{ref} history"] = await _answer(store.read_ops(key, 0, OPS_MAX))
    return parts


async def _answer(asked: Awaitable[object]) -> object:
    try:
        return await asked
    except NotFoundError:
        return Absent()
    except (StorageCorruptError, StorageUnavailableError) as error:
        return Refused(str(error))


async def _key(store: CanvasStore, ref: CanvasRef) -> CanvasKey:
    return (await store.get(ref)).key


async def _newest(store: CanvasStore, ref: CanvasRef) -> tuple[object, ...]:
    loaded = await store.load(ref, OPS_MAX)
    return loaded.canvas.version, loaded.text, loaded.recent
