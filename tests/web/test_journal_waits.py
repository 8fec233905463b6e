"""Durability `journal`: whoever asks while the disk is busy waits for it, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import uuid4

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import StorageSettings
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import CheckpointRequest
from canvas_server.storage.memory import MemoryCanvasStore
from tests.serving import IN_MEMORY, append, serving
from tests.state.simulation import append as appended
from tests.state.simulation import write as submit
from tests.web.test_uploads_again import HeldDisk

JOURNAL = replace(IN_MEMORY, storage=StorageSettings(ephemeral=True, durability="journal"))


class SlowDisk(MemoryCanvasStore):
    """A disk that takes its time over each save."""

    async def save(self, request: CheckpointRequest) -> None:
        await asyncio.sleep(0.02 + 0.007 * request.key)
        await super().save(request)


def test_what_was_taken_is_never_said_to_be_unknown() -> None:
    """It waited behind a commit, was told as never seen, and a job that was told so wrote it a second time."""
    disk = HeldDisk()
    with serving(JOURNAL, disk) as served, ThreadPoolExecutor(1) as pool:
        canvas = served.canvas("")
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        canvas.post(append("a", client_version=canvas.version))
        time.sleep(0.1)
        waiting = append("b", scope="range", client_version='W/"0-0"')
        assert canvas.post(waiting).status_code == 202
        asked = pool.submit(served.http.get, f"{canvas.path}/ops/{waiting['op_id']}")
        time.sleep(0.1)
        assert not asked.done()
        served.loop.call_soon_threadsafe(disk.may_write.set)
        answer = asked.result()
    assert (answer.status_code, answer.json()["type"]) == (200, "conflict")


@pytest.mark.parametrize("asked", ["", "/ops?after=0", "/outline"])
def test_what_is_read_has_all_that_was_taken_before(asked: str) -> None:
    """It had what was in the commit, and not what waited behind it: a client wrote that a second time."""
    disk = HeldDisk()
    with serving(JOURNAL, disk) as served, ThreadPoolExecutor(1) as pool:
        canvas = served.canvas("")
        version = canvas.version
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        canvas.post(append("# First\n", client_version=version))
        time.sleep(0.1)
        canvas.post(append("# Second\n", scope="range", client_version=version))
        read = pool.submit(served.http.get, f"{canvas.path}{asked}")
        time.sleep(0.1)
        assert not read.done()
        served.loop.call_soon_threadsafe(disk.may_write.set)
        answer = read.result()
    assert answer.status_code == 200
    assert "First" in answer.text
    assert "Second" in answer.text


def test_a_stream_of_several_busy_canvases_begins() -> None:
    """It waited for a moment at which none of them was busy, which under steady writers never came."""
    with serving(JOURNAL, SlowDisk()) as served:
        canvases = [served.canvas("") for _ in range(4)]
        over = Event()

        async def write(ref: CanvasRef) -> None:
            room = await served.manager.open(ref)
            while not over.is_set():
                submit(room, appended(f"op-{uuid4()}"))
                await asyncio.sleep(0.002)

        async def begin() -> list[asyncio.Task[None]]:
            return [asyncio.create_task(write(CanvasRef(canvas.ref))) for canvas in canvases]

        writers = served.run(begin())
        try:
            query = "&".join(f"ref={canvas.ref}" for canvas in canvases)
            with served.http.stream("GET", f"/api/v2/ops:listen?{query}", timeout=8) as answer:
                assert has_begun(answer.iter_text(), [canvas.ref for canvas in canvases])
        finally:
            over.set()
        assert len(writers) == 4


def has_begun(pieces: Iterator[str], refs: Sequence[str]) -> bool:
    """Read until there was a snapshot and an ack of each canvas."""
    heard = ""
    for piece in pieces:
        heard += piece
        acked = all(f'"type":"ack","canvas":"{ref}"' in heard for ref in refs)
        if acked and heard.count('"type":"snapshot"') == len(refs):
            return True
    return False
