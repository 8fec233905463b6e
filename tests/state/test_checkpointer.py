"""A canvas is saved in time, one save at a time, and what a checkpoint event says is true."""

from __future__ import annotations

import asyncio

import pytest

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.limits import Limits
from canvas_server.state.checkpointer import CheckpointPolicy
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
    write,
    write_many,
)


@simulated
async def test_a_canvas_is_saved_ten_seconds_after_its_oldest_unsaved_operation() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        await pass_s(100)
        write(room, append("a"))
        await pass_s(6)
        write(room, append("b"))
        await pass_s(3.9)
        assert disk.tried_s == []
        await pass_s(0.2)
        assert disk.tried_s == [pytest.approx(110)]
        assert room.checkpointer.unsaved_ops == 0


@simulated
async def test_every_operation_is_saved_in_its_time_not_only_the_first() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        for turn in range(3):
            write(room, append(f"op-{turn}"))
            await pass_s(30)
        assert disk.tried_s == [pytest.approx(at) for at in (10, 40, 70)]


@simulated
async def test_the_fiftieth_unsaved_operation_starts_a_save_at_once() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        write_many(room, 49)
        await soon()
        assert disk.saves == []
        write(room, append("last"))
        await soon()
        assert [request.version.seq for request in disk.saves] == [50]


@simulated
async def test_an_untouched_canvas_is_never_saved() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        listen(room)
        await pass_s(3600)
        await manager.close(REF)
        assert disk.tried_s == []


@simulated
async def test_operations_that_arrive_during_a_save_are_saved_by_the_next_one_in_their_time() -> None:
    disk = Disk()
    disk.save_s = 4.0
    async with house(disk) as manager:
        room = await open_new(manager)
        write(room, append("a"))
        await pass_s(12)
        write(room, append("b"))
        await pass_s(2.1)
        assert (room.checkpointer.saved.seq, room.checkpointer.unsaved_ops) == (1, 1)
        await pass_s(12)
        assert room.checkpointer.unsaved_ops == 0
        assert disk.tried_s == [pytest.approx(10), pytest.approx(22)]


@simulated
async def test_only_one_save_of_a_canvas_runs_at_a_time() -> None:
    disk = Disk()
    disk.save_s = 3.0
    async with house(disk) as manager:
        room = await open_new(manager)
        async with asyncio.TaskGroup() as group:
            for turn in range(6):
                write_many(room, 60, f"t{turn}")
                group.create_task(room.save())
                await pass_s(1)
        assert disk.saving_most == 1
        assert [request.base_seq for request in disk.saves] == [
            0,
            *(request.version.seq for request in disk.saves[:-1]),
        ]
        assert disk.saves[-1].version == room.canvas.version


@simulated
async def test_a_failing_save_is_told_and_tried_again_later_and_later() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        ear = listen(room)
        disk.failing_saves = 6
        write(room, append("a"))
        await pass_s(60)
        assert disk.tried_s == [pytest.approx(at) for at in (10, 11, 13, 17, 25, 35, 45)]
        *failed, done = ear.all("checkpoint")
        assert [event["retry_in_ms"] for event in failed] == [1000, 2000, 4000, 8000, 10_000, 10_000]
        assert {event["checkpoint_version"] for event in failed} == {room.canvas.history.etag_at(0)}
        assert done["server_version"] == room.canvas.version.etag
        assert (room.checkpointer.failing, room.checkpointer.age_s) == (False, 0.0)


@simulated
async def test_editing_goes_on_while_the_disk_fails_and_nothing_is_lost() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        disk.broken = True
        for turn in range(120):
            write(room, append(f"op-{turn}"))
            await pass_s(1)
        assert room.checkpointer.failing
        assert room.checkpointer.age_s == pytest.approx(120)
        disk.broken = False
        await pass_s(10)
        assert disk.saves[-1].version == room.canvas.version
        assert len(disk.saves[-1].ops) == 120


@simulated
async def test_many_operations_do_not_hurry_a_failing_disk() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        disk.failing_saves = 1
        write_many(room, 50)
        await pass_s(0.5)
        write_many(room, 100, "more")
        await pass_s(0.4)
        assert disk.tried_s == [0.0]
        await pass_s(0.2)
        assert room.checkpointer.unsaved_ops == 0


@simulated
async def test_so_many_unsaved_operations_are_too_many() -> None:
    disk = Disk()
    settings = StateSettings(checkpoint=CheckpointPolicy(unsaved_ops_max=60))
    async with house(disk, settings) as manager:
        room = await open_new(manager)
        disk.broken = True
        write_many(room, 60)
        with pytest.raises(StorageUnavailableError):
            write(room, append("one-more"))
        assert room.canvas.version.seq == 60
        disk.broken = False
        await pass_s(10)
        write(room, append("one-more"))
        assert room.canvas.version.seq == 61


@simulated
async def test_unsaved_operations_are_held_even_when_they_are_more_than_the_window() -> None:
    disk = Disk()
    async with house(disk, StateSettings(limits=Limits(retained_ops_max=10))) as manager:
        room = await open_new(manager)
        disk.broken = True
        write_many(room, 80)
        await pass_s(20)
        disk.broken = False
        await pass_s(20)
        assert disk.saves[-1].version == room.canvas.version
        write(room, append("z"))
        assert len(room.canvas.history) < 20


@simulated
async def test_a_checkpoint_event_is_true_and_comes_after_the_acks_it_covers() -> None:
    disk = Disk()
    disk.save_s = 0.5
    async with house(disk) as manager:
        room = await open_new(manager)
        ear = listen(room)
        for turn in range(200):
            write(room, append(f"op-{turn}"))
            await pass_s(0.11)
        await pass_s(20)
        seen: set[object] = {ear.heard[1]["server_version"]}
        durable = [event["server_version"] for event in ear.all("checkpoint")]
        for event in ear.heard:
            if event.type == "ack":
                seen.add(event["server_version"])
            elif event.type == "checkpoint":
                assert event["server_version"] in seen
        assert durable == [request.version.etag for request in disk.saves]
        assert sum(int(str(event["ops"])) for event in ear.all("checkpoint")) == 200
        assert {event["duration_ms"] for event in ear.all("checkpoint")} == {500.0}


@simulated
async def test_the_full_text_is_rewritten_only_when_the_tail_has_grown_long() -> None:
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager, "word " * 60_000)
        for turn in range(13):
            write_many(room, 50, f"t{turn}")
            await soon()
        assert [request.version.seq for request in disk.saves if request.text] == [500]
        assert all(len(request.ops) == 50 for request in disk.saves)


@simulated
async def test_a_failed_close_is_told_and_tried_again() -> None:
    """A close whose save failed once left nothing behind that would ever save: later operations stayed in memory."""
    disk = Disk()
    async with house(disk) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        disk.failing_saves = 1
        with pytest.raises(StorageUnavailableError):
            await manager.close(REF)
        await pass_s(1.1)
        assert room.checkpointer.unsaved_ops == 0
        assert [event.get("failed") for event in ear.all("checkpoint")] == [True, None]


@simulated
async def test_a_close_that_nobody_waits_for_any_more_leaves_nothing_unsaved() -> None:
    """A request that was cancelled during its save took the timer with it, and the next save never came."""
    disk = Disk()
    disk.save_s = 2.0
    async with house(disk) as manager:
        room = await open_new(manager)
        write(room, append("a"))
        closing = asyncio.create_task(manager.close(REF))
        await pass_s(0.5)
        closing.cancel()
        await pass_s(13)
        assert room.checkpointer.unsaved_ops == 0
        assert room.checkpointer.saved == room.canvas.version


@simulated
async def test_a_close_ends_although_somebody_goes_on_writing() -> None:
    """It used to save for as long as anything was unsaved, which under a steady writer is for ever."""
    disk = Disk()
    disk.save_s = 1.0
    async with house(disk) as manager:
        room = await open_new(manager)
        listen(room)

        async def type_on() -> None:
            for turn in range(100):
                write(room, append(f"op-{turn}"))
                await pass_s(0.3)

        typing = asyncio.create_task(type_on())
        await pass_s(0.1)
        started_s = now_s()
        await manager.close(REF)
        assert now_s() - started_s < 3
        await typing
        await pass_s(12)
        assert room.checkpointer.unsaved_ops == 0
