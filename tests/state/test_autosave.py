"""The auto-save in simulated time: what is copied, when, and what never is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.errors import StorageCorruptError, StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.state.autosave import AutoSave
from canvas_server.state.copies import Copies
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.state.settings import StateSettings
from canvas_server.storage.json_memory import JsonMemory
from canvas_server.system import SystemClock
from tests.serving import Served
from tests.state.simulation import (
    AS_SHIPPED,
    REF,
    Disk,
    SimClock,
    append,
    house,
    listen,
    now_s,
    open_new,
    pass_s,
    simulated,
    write,
)

INTERVAL_S = 120.0


class Folder(JsonMemory):
    """Files with latencies and failures; writes down what was written when."""

    def __init__(self) -> None:
        super().__init__(is_dialogue_id, 1_000_000)
        self.written: list[tuple[float, str, object]] = []
        self.loads = 0
        self.save_s = 0.0
        self.broken = False
        self.corrupt = False

    async def load(self, name: str) -> Mapping[str, object] | None:
        self.loads += 1
        if self.corrupt:
            raise StorageCorruptError(f"{name}.json: not JSON")
        return await super().load(name)

    async def save(self, name: str, value: Mapping[str, object]) -> None:
        if self.broken:
            raise StorageUnavailableError("the disk is full")
        await asyncio.sleep(self.save_s)
        await super().save(name, value)
        self.corrupt = False
        self.written.append((round(now_s(), 3), name, value.get("content")))

    @property
    def contents(self) -> Sequence[object]:
        """What was written, in order."""
        return [content for _, _, content in self.written]


class World:
    """A server with one open canvas, and the auto-save of it."""

    def __init__(self, manager: CanvasStateManager, folder: Folder, autosave: AutoSave, copies: Copies) -> None:
        self.manager = manager
        self.folder = folder
        self.autosave = autosave
        self.copies = copies
        self.suspended: set[CanvasRef] = set()


@asynccontextmanager
async def world(
    disk: Disk | None = None, folder: Folder | None = None, settings: StateSettings = AS_SHIPPED
) -> AsyncIterator[World]:
    folder = folder or Folder()
    copies = Copies(folder, SimClock())
    suspended: set[CanvasRef] = set()
    async with (
        house(disk or Disk(), settings) as manager,
        AutoSave(manager, copies, INTERVAL_S, suspended.__contains__) as autosave,
    ):
        made = World(manager, folder, autosave, copies)
        made.suspended = suspended
        yield made


async def rounds(count: int) -> None:
    """Let so many rounds go by, and a second more."""
    await pass_s(INTERVAL_S * count + 1)


def edit(room: Room, op_id: str, content: str) -> None:
    write(room, append(op_id, content, version=room.canvas.version.etag))


@simulated
async def test_a_changed_canvas_is_copied_every_two_minutes_and_never_when_nothing_changed() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        await rounds(3)
        edit(room, "op-1", " two")
        edit(room, "op-2", " three")
        await rounds(3)
        assert there.folder.written == [(INTERVAL_S, REF, "one"), (INTERVAL_S * 4, REF, "one two three")]
        assert there.folder.loads == 2, "what did not change was looked at"


@simulated
async def test_a_copy_never_holds_what_the_journal_took_back() -> None:
    disk = Disk()
    async with world(disk, settings=StateSettings(durability="journal")) as there:
        room = await open_new(there.manager, "one")
        disk.save_s, disk.failing_saves = 10.0, 1
        await pass_s(INTERVAL_S - 1)
        edit(room, "op-1", " two")
        await rounds(1)
        assert there.folder.contents == ["one"]
        edit(room, "op-1", " two")
        await rounds(1)
        assert there.folder.contents == ["one", "one two"]


@simulated
async def test_a_copy_says_what_it_is_of() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        await rounds(1)
        assert await there.folder.load(REF) == {
            "id": "notes",
            "title": "Notes",
            "content": "one",
            "version": room.canvas.version.etag,
            "saved_at": "2023-11-14T22:15:20.000Z",
        }


@simulated
async def test_listeners_hear_of_each_copy_and_of_nothing_else() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        ear = listen(room)
        await rounds(2)
        (saved,) = ear.all("saved")
        assert saved == {
            "type": "saved",
            "canvas": REF,
            "server_version": room.canvas.version.etag,
            "saved_at": 1_700_000_000_000 + int(INTERVAL_S) * 1000,
        }


@simulated
async def test_a_new_title_is_a_change() -> None:
    async with world() as there:
        await open_new(there.manager, "one")
        await rounds(1)
        await there.manager.set_title(REF, "Other", "ada")
        await rounds(1)
        copied = await there.folder.load(REF)
        assert copied is not None
        assert (copied["title"], len(there.folder.written)) == ("Other", 2)


@simulated
async def test_after_a_restart_what_lies_there_already_is_not_written_again() -> None:
    disk, folder = Disk(), Folder()
    async with world(disk, folder) as there:
        await open_new(there.manager, "one")
    async with world(disk, folder) as there:
        ear = listen(await there.manager.open(REF))
        await rounds(2)
        assert ear.all("saved") == []
    assert folder.contents == ["one"]


@simulated
async def test_nothing_is_copied_while_somebody_has_it_suspended_and_then_it_is_at_once() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        there.suspended.add(REF)
        await pass_s(INTERVAL_S * 2 + 10)
        edit(room, "op-1", " two")
        assert there.folder.written == []
        there.suspended.clear()
        there.autosave.save_soon(REF)
        await pass_s(0.1)
        assert there.folder.written == [(INTERVAL_S * 2 + 10, REF, "one two")]


@simulated
async def test_a_canvas_that_is_closed_between_two_rounds_is_copied_at_once() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        await rounds(1)
        edit(room, "op-1", " two")
        await there.manager.close(REF)
        assert there.manager.get(REF) is None
        await pass_s(0.1)
        assert there.folder.contents == ["one", "one two"]


@simulated
async def test_a_canvas_that_is_closed_and_cannot_be_copied_is_tried_again_until_it_is() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        edit(room, "op-1", " two")
        there.folder.broken = True
        await there.manager.close(REF)
        await rounds(1)
        there.folder.broken = False
        await rounds(1)
        assert there.folder.written == [(INTERVAL_S * 2, REF, "one two")]


@simulated
async def test_a_canvas_that_is_opened_again_is_copied_at_its_newest() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        there.folder.broken = True
        await there.manager.close(REF)
        room = await there.manager.open(REF)
        edit(room, "op-1", " two")
        there.folder.broken = False
        await rounds(2)
        assert there.folder.contents == ["one two"]


@simulated
async def test_a_deleted_canvas_is_not_copied_any_more() -> None:
    async with world() as there:
        room = await open_new(there.manager, "one")
        edit(room, "op-1", " two")
        await there.manager.delete(REF, "ada")
        await rounds(2)
        assert there.folder.written == []


@simulated
async def test_at_the_end_everything_is_copied_once_more() -> None:
    folder = Folder()
    async with world(folder=folder) as there:
        await open_new(there.manager, "one")
        await there.manager.drain(1.0)
    assert folder.contents == ["one"]


@simulated
async def test_the_last_round_is_bounded_whatever_the_disk_does() -> None:
    folder = Folder()
    async with world(folder=folder) as there:
        await open_new(there.manager, "one")
        folder.save_s = 3_600.0
        began_s = now_s()
    assert now_s() - began_s == pytest.approx(5.0)


@simulated
async def test_an_empty_canvas_never_goes_over_a_copy_with_content_and_that_is_told_once() -> None:
    folder = Folder()
    await folder.save(REF, {"id": REF, "content": "precious"})
    with watched() as told:
        async with world(folder=folder) as there:
            room = await open_new(there.manager, "")
            await rounds(3)
            assert folder.contents == ["precious"]
            edit(room, "op-1", "new")
            await rounds(1)
            assert folder.contents == ["precious", "new"]
    assert told.count("canvas not auto-saved") == 1


@simulated
async def test_a_failure_is_told_and_tried_again_in_the_next_round() -> None:
    with watched() as told:
        async with world() as there:
            await open_new(there.manager, "one")
            there.folder.broken = True
            await rounds(2)
            there.folder.broken = False
            await rounds(1)
            assert there.folder.written == [(INTERVAL_S * 3, REF, "one")]
    assert told.count("auto-save failed") == 2


@simulated
async def test_a_copy_that_cannot_be_read_is_replaced() -> None:
    async with world() as there:
        there.folder.corrupt = True
        await open_new(there.manager, "one")
        await rounds(1)
        assert there.folder.contents == ["one"]


@simulated
async def test_a_canvas_whose_name_no_file_may_have_is_left_out_and_that_is_told_once() -> None:
    with watched() as told:
        async with world() as there:
            await there.manager.create(CanvasRef("con"), "Con", "text")
            await there.manager.open(CanvasRef("con"))
            await rounds(3)
            assert there.folder.written == []
    assert told.count("canvas not auto-saved") == 1


@simulated
async def test_a_slow_save_never_overwrites_a_newer_one() -> None:
    folder = Folder()
    copies = Copies(folder, SimClock())
    folder.save_s = 10.0
    older = asyncio.create_task(copies.put("notes", {"content": "older"}))
    await pass_s(1)
    folder.save_s = 0.0
    newer = asyncio.create_task(copies.put("notes", {"content": "newer"}))
    await asyncio.gather(older, newer)
    assert folder.contents == ["older", "newer"]


@simulated
async def test_of_many_puts_the_one_asked_for_last_stays_and_nothing_is_held_on_to() -> None:
    folder = Folder()
    copies = Copies(folder, SimClock())
    folder.save_s = 0.01
    await asyncio.gather(*(copies.put("notes", {"content": f"{number}"}) for number in range(50)))
    copy = await copies.load("notes")
    assert copy is not None
    assert copy.value["content"] == "49"
    assert vars(copies)["_turns"] == {}


def test_a_reader_of_a_real_stream_hears_that_the_canvas_was_saved(served: Served) -> None:
    canvas, folder = served.canvas("one"), Folder()
    autosave = AutoSave(served.manager, Copies(folder, SystemClock()), 3_600.0, lambda _ref: False)
    served.run(autosave.__aenter__())
    with canvas.listen() as listener:
        listener.expect("snapshot")
        served.loop.call_soon_threadsafe(autosave.save_soon, CanvasRef(canvas.ref))
        saved = listener.expect("saved")
    served.run(autosave.__aexit__(None, None, None))
    assert (saved["server_version"], saved.id) == (canvas.version, None)
    assert abs(saved["saved_at"] - SystemClock().now_ms()) < 60_000
    assert served.run(folder.load(canvas.ref)) is not None


class watched(logging.Handler):  # noqa: N801 - reads as a context
    """Collects the messages of the auto-save."""

    def __enter__(self) -> list[str]:
        self.told: list[str] = []
        logging.getLogger("canvas_server.state.autosave").addHandler(self)
        return self.told

    def __exit__(self, *_: object) -> None:
        logging.getLogger("canvas_server.state.autosave").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())
