"""A streamed request that is sent again, long after, is known line by line (PROTOCOL section 3)."""

from __future__ import annotations

import asyncio
import json

from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings, StorageSettings
from canvas_server.core.ports import CheckpointRequest
from canvas_server.storage.memory import MemoryCanvasStore
from tests.serving import IN_MEMORY, append, serving

FORGETFUL_JOURNAL = replace(
    IN_MEMORY,
    storage=StorageSettings(ephemeral=True, durability="journal"),
    limits=LimitSettings(retained_ops_max=8),
)


class HeldDisk(MemoryCanvasStore):
    """A disk that writes nothing before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def save(self, request: CheckpointRequest) -> None:
        await self.may_write.wait()
        await super().save(request)


def test_continued_lines_are_known_again_though_they_wait_for_the_journal() -> None:
    """The name of a continuation line was asked for when the line came, and known only when the one before had run.

    While the journal was busy all lines of a request came before the first had run, so what the room had forgotten of
    them was not fetched from the disk: they were refused with `UNKNOWN_OP`, or applied a second time.
    """
    disk = HeldDisk()
    with serving(FORGETFUL_JOURNAL, disk) as served:
        canvas = served.canvas("")
        first = {**append("One"), "op_id": "answer", "client_version": canvas.version, "scope": "range"}
        lines = "".join(json.dumps(line) + "\n" for line in [first, {"content": ", two"}, {"content": ", three"}])

        def upload() -> None:
            headers = {"Content-Type": "application/x-ndjson"}
            answer = canvas.http.post(f"{canvas.path}/ops:stream", content=lines.encode(), headers=headers)
            assert answer.status_code == 202, answer.text

        upload()
        canvas.submit(*[append(".") for _ in range(40)])
        with canvas.listen("snapshot=false") as listener:
            served.loop.call_soon_threadsafe(disk.may_write.clear)
            canvas.post(append("!", op_id="busy", client_version=canvas.version))
            upload()
            served.loop.call_soon_threadsafe(disk.may_write.set)
            listener.expect("ack", op_id="busy")
            told = listener.take(3)
        assert [event["op_id"] for event in told] == ["answer", "answer.1", "answer.2"]
        assert [event.data.get("duplicate") for event in told] == [True, True, True]
