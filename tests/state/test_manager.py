"""The manager opens, closes and finds canvases: one load, no canvas twice, nothing dropped that is needed."""

from __future__ import annotations

import asyncio

import pytest

from canvas_server.core.errors import DrainingError, NotFoundError, OverloadedError, StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.state.settings import StateSettings
from tests.state.simulation import (
    REF,
    Disk,
    append,
    house,
    listen,
    now_s,
    open_new,
    pass_s,
    simulated,
    soon,
    text_of,
    write,
)

HALF_HOUR_S = 1_800.0


@simulated
async def test_however_many_ask_a_canvas_is_loaded_once() -> None:
    disk = Disk()
    disk.load_s = 1.0
    async with house(disk) as manager:
        await manager.create(REF, "Notes", "hello")
        rooms = await asyncio.gather(*(manager.open(REF) for _ in range(10)))
        assert (len(set(map(id, rooms))), disk.loads) == (1, 1)


@simulated
async def test_a_failed_load_is_an_error_for_all_who_wait_and_the_next_asks_again() -> None:
    disk = Disk()
    disk.load_s = 1.0
    async with house(disk) as manager:
        await manager.create(REF, "Notes", "hello")
        disk.failing_loads = 1
        outcomes = await asyncio.gather(*(manager.open(REF) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailableError] * 3
        assert text_of(await manager.open(REF)) == "hello"


@simulated
async def test_who_stops_waiting_for_a_load_does_not_stop_it() -> None:
    disk = Disk()
    disk.load_s = 1.0
    async with house(disk) as manager:
        await manager.create(REF, "Notes", "hello")
        asking = asyncio.create_task(manager.open(REF))
        await pass_s(0.2)
        asking.cancel()
        assert text_of(await manager.open(REF)) == "hello"
        assert disk.loads == 1


@simulated
async def test_a_load_that_fails_when_nobody_waits_any_more_complains_to_nobody() -> None:
    disk = Disk()
    disk.load_s = 1.0
    async with house(disk) as manager:
        await manager.create(REF, "Notes", "hello")
        disk.failing_loads = 1
        asking = asyncio.create_task(manager.open(REF))
        await pass_s(0.2)
        asking.cancel()
        await pass_s(2)


@simulated
async def test_a_canvas_that_does_not_exist_is_not_an_empty_one() -> None:
    async with house() as manager:
        with pytest.raises(NotFoundError):
            await manager.open(REF)


@simulated
async def test_a_canvas_that_nobody_uses_is_unloaded_after_half_an_hour() -> None:
    async with house() as manager:
        room = await open_new(manager)
        write(room, append("a"))
        await pass_s(HALF_HOUR_S - 10)
        assert manager.get(REF) is room
        await pass_s(120)
        assert manager.get(REF) is None
        assert room.gone
        assert text_of(await manager.open(REF)) == "x"


@simulated
async def test_a_canvas_is_not_unloaded_while_it_is_dirty_listened_to_or_written_by_a_stream() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        disk.broken = True
        write(room, append("a"))
        await pass_s(HALF_HOUR_S + 200)
        assert manager.get(REF) is room
        disk.broken = False
        room.uploads += 1
        await pass_s(HALF_HOUR_S + 200)
        assert manager.get(REF) is room
        ear = listen(room)
        room.uploads -= 1
        await pass_s(HALF_HOUR_S + 200)
        assert manager.get(REF) is room
        ear.leave()
        await pass_s(6)
        assert manager.get(REF) is None


@simulated
async def test_a_canvas_closes_five_quiet_seconds_after_its_last_listener_left() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        first, second = listen(room), listen(room)
        write(room, append("a"))
        first.leave()
        second.leave()
        await pass_s(4.9)
        assert disk.saves == []
        await pass_s(0.2)
        assert len(disk.saves) == 1
        assert manager.get(REF) is None


@simulated
async def test_what_comes_while_a_quiet_canvas_is_saved_keeps_it_open() -> None:
    disk = Disk()
    disk.save_s = 2.0
    async with house(disk) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        ear.leave()
        await pass_s(6)
        write(room, append("b"))
        await pass_s(3)
        assert manager.get(REF) is room
        await pass_s(12)
        assert room.checkpointer.unsaved_ops == 0


@simulated
async def test_a_canvas_stays_open_if_somebody_comes_back_in_time() -> None:
    async with house() as manager:
        room = await open_new(manager)
        listen(room).leave()
        await pass_s(4)
        listen(room)
        await pass_s(60)
        assert manager.get(REF) is room


@simulated
async def test_writing_puts_the_quiet_close_off() -> None:
    async with house() as manager:
        room = await open_new(manager)
        listen(room).leave()
        for turn in range(5):
            await pass_s(3)
            write(room, append(f"op-{turn}"))
        await pass_s(4.9)
        assert manager.get(REF) is room
        await pass_s(0.3)
        assert manager.get(REF) is None


@simulated
async def test_a_close_tells_the_listeners_and_ends_their_connections() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        version = await manager.close(REF)
        assert [event.type for event in ear.heard[2:]] == ["ack", "checkpoint", "closed"]
        assert ear.heard[-1]["server_version"] == version.etag
        assert ear.ended == [None]
        assert manager.get(REF) is None


@simulated
async def test_a_deleted_canvas_takes_nothing_more_and_its_ref_is_free() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager, "old")
        ear = listen(room)
        write(room, append("a"))
        await soon()
        await manager.delete(REF, "ada")
        assert ear.heard[-1].type == "deleted"
        with pytest.raises(NotFoundError):
            write(room, append("b"))
        again = await open_new(manager, "new")
        assert text_of(again) == "new"
        await pass_s(60)
        assert disk.tried_s == []


@simulated
async def test_who_resumes_in_a_canvas_created_again_is_told_so() -> None:
    async with house() as manager:
        room = await open_new(manager, "old")
        cursor = room.canvas.version.cursor
        await manager.delete(REF, "ada")
        again = listen(await open_new(manager, "new"), cursor)
        assert [event.type for event in again.heard] == ["start", "reset", "snapshot"]
        assert (again.heard[1]["reason"], again.heard[2]["content"]) == ("recreated", "new")


@simulated
async def test_a_canvas_deleted_while_it_is_loaded_does_not_stay_open() -> None:
    """The load ended after the delete had looked for a room, and the dead canvas stood in the new one's place."""
    disk = Disk()
    disk.load_s = 1.0
    async with house(disk) as manager:
        await manager.create(REF, "Notes", "old")
        opening = asyncio.create_task(manager.open(REF))
        await pass_s(0.7)
        await manager.delete(REF, "ada")
        await asyncio.wait([opening])
        await manager.create(REF, "Notes", "new")
        assert text_of(await manager.open(REF)) == "new"


@simulated
async def test_a_title_that_changes_while_the_canvas_is_loaded_is_the_one_that_is_told() -> None:
    disk = Disk()
    disk.load_s = 1.0
    async with house(disk) as manager:
        await manager.create(REF, "Old", "")
        opening = asyncio.create_task(manager.open(REF))
        await pass_s(0.7)
        await manager.set_title(REF, "New", "ada")
        assert (await opening).canvas.title == "New"
        assert (await manager.saved(REF)).title == "New"


@simulated
async def test_the_canvas_idle_for_longest_makes_room_for_another() -> None:
    async with house(settings=StateSettings(open_canvases_max=2)) as manager:
        refs = [CanvasRef(name) for name in "abc"]
        rooms = []
        for ref in refs:
            rooms.append(await open_new(manager, ref=ref))
            await pass_s(1)
        assert [room.gone for room in rooms] == [True, False, False]


@simulated
async def test_a_canvas_in_use_is_never_put_out_for_another() -> None:
    async with house(settings=StateSettings(open_canvases_max=1)) as manager:
        listen(await open_new(manager))
        await manager.create(CanvasRef("other"), "Other", "")
        with pytest.raises(OverloadedError):
            await manager.open(CanvasRef("other"))


@simulated
async def test_a_drain_admits_nothing_saves_everything_and_says_bye_last() -> None:
    disk = Disk()
    disk.save_s = 0.5
    async with house(disk) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        draining = asyncio.create_task(manager.drain(8.0))
        await soon()
        with pytest.raises(DrainingError):
            manager.check_admission()
        assert ear.ended == []
        assert await draining
        assert [event.type for event in ear.heard[2:]] == ["ack", "checkpoint"]
        assert ear.ended == ["shutdown"]


@simulated
async def test_a_drain_tries_a_failing_disk_again() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        write(room, append("a"))
        disk.failing_saves = 3
        assert await manager.drain(8.0)
        assert disk.saves[-1].version == room.canvas.version


@simulated
async def test_a_drain_gives_a_dead_disk_up_in_time_and_says_so() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        disk.broken = True
        started_s = now_s()
        assert not await manager.drain(8.0)
        assert now_s() - started_s <= 8
        assert ear.ended == ["shutdown"]


@simulated
async def test_a_drain_cuts_streamed_requests_short() -> None:
    async with house() as manager:

        async def upload() -> None:
            async with asyncio.timeout(30) as timer:
                manager.add_upload(timer)
                await pass_s(1_000)

        uploading = asyncio.create_task(upload())
        await soon()
        await manager.drain(8.0)
        with pytest.raises(TimeoutError):
            await uploading
        assert now_s() < 1
