"""Durability `journal`: nothing is told, or shown, before it is on disk (PROTOCOL section 8)."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from canvas_server.config.settings import StorageSettings
from tests.serving import IN_MEMORY, append, serving
from tests.web.test_problems import Disk

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
