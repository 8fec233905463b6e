"""Durability `journal`: nothing is told, or shown, before it is on disk (PROTOCOL section 8)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec.structs import replace

from canvas_server.config.settings import StorageSettings
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.ports import CheckpointRequest
from tests.serving import IN_MEMORY, append, serving
from tests.web.test_problems import Disk
from tests.web.test_uploads_again import HeldDisk

JOURNAL = replace(IN_MEMORY, storage=StorageSettings(ephemeral=True, durability="journal"))


def test_what_the_disk_refuses_is_an_error_changes_nothing_and_may_be_sent_again() -> None:
    disk = Disk(0)
    with serving(JOURNAL, disk) as served:
        canvas = served.canvas("")
        operations = [append("a"), append("b")]
        with canvas.listen() as listener:
            listener.expect("snapshot")
            disk.is_full = True
            canvas.post({**operations[0], "client_version": canvas.version}, operations[1])
            refused = listener.take(2)
            assert [(event.type, event["code"]) for event in refused] == [("error", "STORAGE_UNAVAILABLE")] * 2
            assert canvas.state["version"] == canvas.state["checkpoint_version"]
            assert canvas.text == ""
            disk.is_full = False
            canvas.post({**operations[0], "client_version": canvas.version}, operations[1])
            assert [event.type for event in listener.take(2)] == ["ack", "ack"]
        assert canvas.text == "ab"


def test_what_was_acked_is_on_disk(tmp_path: Path) -> None:
    storage = StorageSettings(data_dir=str(tmp_path / "data"), durability="journal")
    with serving(replace(IN_MEMORY, storage=storage)) as served:
        canvas = served.canvas("")
        with canvas.listen() as listener:
            listener.expect("snapshot")
            canvas.post(append("x", client_version=canvas.version))
            version = listener.expect("ack")["server_version"]
            assert canvas.state["checkpoint_version"] == version


class DyingDisk(HeldDisk):
    """A disk that keeps one waiting, and then refuses."""

    async def save(self, request: CheckpointRequest) -> None:
        await self.may_write.wait()
        raise StorageUnavailableError("the disk is full", hint="Free some space.")


def test_a_preview_that_waited_for_its_turn_shows_nothing_that_is_not_on_disk() -> None:
    """Its text was taken after the wait, when the journal may have been busy again."""
    disk = DyingDisk()
    with serving(JOURNAL, disk) as served, ThreadPoolExecutor(2) as pool:
        canvas = served.canvas("[" * 100_000)
        version = canvas.version
        slow = pool.submit(served.http.get, f"{canvas.path}/preview")
        time.sleep(0.1)
        waiting = pool.submit(served.http.get, f"{canvas.path}/preview")
        time.sleep(0.1)
        assert not slow.done()
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(append("b", client_version=version)).status_code == 202
        assert slow.result().json()["version"] == version
        time.sleep(0.1)
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert waiting.result().json()["version"] == version


def test_the_list_tells_no_version_that_is_not_on_disk() -> None:
    disk = HeldDisk()
    with serving(JOURNAL, disk) as served:
        canvas = served.canvas("a")
        before = served.http.get("/api/v2/canvas").json()["canvases"]
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(append("b", client_version=canvas.version)).status_code == 202
        assert served.http.get("/api/v2/canvas").json()["canvases"] == before
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert canvas.text == "ab"
        assert served.http.get("/api/v2/canvas").json()["canvases"] != before
