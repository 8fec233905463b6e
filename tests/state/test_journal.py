"""Journal mode: nothing is told, and nothing can be read, before it is on disk."""

from __future__ import annotations

import asyncio

import pytest

from canvas_server.core.current import REQUEST_ID
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.ports import CheckpointRequest, SavedCanvas
from canvas_server.state.checkpointer import CheckpointPolicy
from canvas_server.state.settings import StateSettings
from tests.state.simulation import (
    ADA,
    REF,
    Disk,
    append,
    house,
    listen,
    now_s,
    open_new,
    pass_s,
    prepend,
    simulated,
    soon,
    text_of,
    write,
    write_many,
)

JOURNAL = StateSettings(durability="journal")


@simulated
async def test_an_ack_is_told_only_after_its_save_returned() -> None:
    disk = Disk()
    disk.save_s = 1.0
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        await pass_s(0.9)
        assert (ear.all("ack"), room.unsettled) == ([], True)
        await pass_s(0.2)
        assert [event["op_id"] for event in ear.all("ack")] == ["a"]
        assert (await disk.get(REF)).version == room.canvas.version


@simulated
async def test_nobody_reads_a_text_that_a_crash_could_take_back() -> None:
    disk = Disk()
    disk.save_s = 1.0
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        write(room, append("a"))
        await pass_s(0.1)
        await room.settled()
        durable = (await disk.get(REF)).version
        assert room.canvas.version == durable
        assert now_s() == 1.0


@simulated
async def test_what_is_known_of_a_canvas_is_durable() -> None:
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        disk.save_s = 2.0
        write(room, append("a"))
        await pass_s(0.5)
        assert (await manager.saved(REF)).version.seq == 0
        assert [known.version.seq for known in (await manager.list_canvases(10, None)).canvases] == [0]
        await pass_s(2.0)
        assert (await manager.saved(REF)).version == room.canvas.version


class SlowToFind(Disk):
    """Takes its time to say what is known of a canvas, most of it before it looks."""

    async def get(self, ref: CanvasRef) -> SavedCanvas:
        await asyncio.sleep(1.2)
        found = await super().get(ref)
        await asyncio.sleep(0.3)
        return found


@simulated
async def test_a_close_tells_no_version_before_its_ack_although_the_canvas_is_opened_meanwhile() -> None:
    disk = SlowToFind()
    async with house(disk, JOURNAL) as manager:
        await manager.create(REF, "Notes", "")
        closing = asyncio.create_task(manager.close(REF))
        await soon()
        room = await manager.open(REF)
        ear = listen(room)
        disk.save_s = 2.0
        write(room, append("a"))
        version = await closing
        assert [event["server_version"] for event in ear.all("ack")] == [version.etag]
        assert manager.get(REF) is None


@simulated
async def test_no_heartbeat_tells_of_a_text_that_a_crash_could_take_back() -> None:
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        disk.save_s = 40.0
        write(room, append("a"))
        await pass_s(39)
        assert ear.all("heartbeat") == []
        await pass_s(20)
        assert [event["server_version"] for event in ear.all("heartbeat")] == [room.canvas.version.etag]


@simulated
async def test_what_waits_for_the_disk_goes_with_one_commit() -> None:
    disk = Disk()
    disk.save_s = 1.0
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        write(room, append("first"))
        await pass_s(0.1)
        for turn in range(30):
            write(room, append(f"op-{turn}"))
        await pass_s(2)
        assert [len(request.ops) for request in disk.saves] == [1, 30]


@simulated
async def test_a_refusing_disk_takes_operations_back_and_they_may_come_again() -> None:
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager, "# A\n\na\n\n# B\n\nb\n")
        ear = listen(room)
        write(room, append("kept"))
        await soon()
        before = (text_of(room), room.canvas.version, room.canvas.document.outline.headings(), len(room.canvas.history))
        disk.failing_saves = 1
        write(room, prepend("x", "# New\n\n"), append("y"))
        await soon()
        after = (text_of(room), room.canvas.version, room.canvas.document.outline.headings(), len(room.canvas.history))
        assert after == before
        assert [(event["op_id"], event["code"]) for event in ear.all("error")] == [
            ("x", "STORAGE_UNAVAILABLE"),
            ("y", "STORAGE_UNAVAILABLE"),
        ]
        write(room, prepend("x", "# New\n\n"), append("y"))
        await soon()
        assert [event["op_id"] for event in ear.all("ack")] == ["kept", "x", "y"]
        assert not room.checkpointer.failing


@simulated
async def test_operations_taken_back_leave_as_much_history_as_there_was() -> None:
    """The operations that they had pushed out were gone, and their versions too old to write on."""
    disk = Disk()
    async with house(disk, StateSettings(durability="journal", limits=Limits(retained_ops_max=8))) as manager:
        room = await open_new(manager)
        write_many(room, 10, "kept")
        await soon()
        ear = listen(room)
        oldest = room.canvas.history.etag_at(2)
        disk.failing_saves = 1
        write_many(room, 30, "lost")
        await soon()
        assert len(ear.all("error")) == 30
        write(room, append("late", version=oldest))
        await soon()
        assert [event["op_id"] for event in ear.all("ack")] == ["late"]


@simulated
async def test_operations_taken_back_leave_the_sections_as_unchanged_as_they_were() -> None:
    """They left each section they had met marked as changed, so that others met conflicts over nothing."""
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager, "# A\n\na\n\n# B\n\nb\n")
        write(room, append("x"))
        await soon()
        before = list(room.canvas.document.outline.changed)
        disk.failing_saves = 1
        write(room, prepend("y", "top\n"))
        await soon()
        assert room.canvas.document.outline.changed == before


@simulated
async def test_nothing_more_of_a_request_is_run_after_its_first_part_was_taken_back() -> None:
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        submission = room.begin(ADA, "codepoint")
        disk.failing_saves = 1
        room.submit(submission, [append("a")])
        await soon()
        room.submit(submission, [append("b")])
        await soon()
        assert [(event.type, event.get("code", event.get("reason"))) for event in ear.heard[2:]] == [
            ("error", "STORAGE_UNAVAILABLE"),
            ("conflict", "not_executed"),
        ]


@simulated
async def test_readers_are_not_kept_out_by_a_steady_writer() -> None:
    disk = Disk()
    disk.save_s = 0.05
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)

        async def type_on() -> None:
            for turn in range(1_000):
                write(room, append(f"op-{turn}"))
                await pass_s(0.01)

        typing = asyncio.create_task(type_on())
        await pass_s(1)
        for _ in range(5):
            started_s = now_s()
            await room.settled()
            assert now_s() - started_s <= 0.1
        typing.cancel()


@simulated
async def test_a_reader_resumes_from_any_version_of_a_group() -> None:
    """The entries of a group all bore the newest version: a reader at it was told part of the group twice."""
    async with house(Disk(), JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"), append("b"), append("c"))
        await soon()
        for index, cursor in enumerate(ear.states):
            again = listen(room, cursor)
            assert again.heard[0]["resumed"] is True
            assert again.states == ear.states[index + 1 :]


@simulated
async def test_the_checkpoint_event_follows_the_acks_within_the_interval() -> None:
    """Each commit put the telling off, so a slow writer's client never heard that anything was durable."""
    async with house(Disk(), JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        for turn in range(10):
            write(room, append(f"op-{turn}"))
            await pass_s(4)
        told = ear.all("checkpoint")
        assert len(told) == 3
        assert [event.type for event in ear.heard[2:]].index("checkpoint") > 0
        assert sum(int(str(event["ops"])) for event in told) == 9


@simulated
async def test_fifty_durable_operations_are_told_at_once() -> None:
    async with house(Disk(), JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, *(append(f"op-{turn}") for turn in range(50)))
        await soon()
        assert [event["ops"] for event in ear.all("checkpoint")] == [50]
        assert ear.heard[-1].type == "checkpoint"


@simulated
async def test_a_forgotten_operation_sent_again_is_known_though_others_are_recalled_before_its_turn() -> None:
    """Whoever recalled last threw out what an earlier request, still in the queue, had recalled: it ran twice."""
    disk = Disk()
    settings = StateSettings(durability="journal", limits=Limits(retained_ops_max=4))
    async with house(disk, settings) as manager:
        room = await open_new(manager)
        for turn in range(12):
            write(room, append(f"op-{turn}"))
            await soon()
        assert room.canvas.history.may_have_forgotten("op-1")
        disk.save_s = 1.0
        write(room, append("slow"))
        await pass_s(0.1)
        for op_id in ("op-0", "op-1"):
            await manager.past.recall(room, [op_id])
            write(room, append(op_id))
        await pass_s(5)
        assert text_of(room) == "x" * 13


@simulated
async def test_what_is_sent_again_and_waits_is_not_forgotten_by_what_is_before_it() -> None:
    """It was in memory when it came, and so not asked for; when its turn came it was not, and it ran twice."""
    disk = Disk()
    async with house(disk, StateSettings(durability="journal", limits=Limits(retained_ops_max=4))) as manager:
        room = await open_new(manager)
        write(room, *(append(f"op-{turn}") for turn in range(16)))
        await soon()
        ear = listen(room)
        await manager.past.recall(room, ["op-3"])
        write(room, append("more"), append("op-3"))
        await soon()
        assert [event.get("duplicate") for event in ear.all("ack")] == [None, True]
        assert text_of(room) == "x" * 17
        assert room.canvas.history.may_have_forgotten("op-3")


@simulated
async def test_a_full_queue_refuses_more() -> None:
    disk = Disk()
    disk.save_s = 5.0
    settings = StateSettings(durability="journal", checkpoint=CheckpointPolicy(unsaved_ops_max=3))
    async with house(disk, settings) as manager:
        room = await open_new(manager)
        write(room, append("a"))
        await pass_s(1)
        for turn in range(3):
            write(room, append(f"op-{turn}"))
        with pytest.raises(StorageUnavailableError):
            write(room, append("one-more"))
        await pass_s(10)
        assert room.canvas.version.seq == 4


@simulated
async def test_a_room_with_work_in_its_queue_is_not_unloaded_by_a_close() -> None:
    disk = Disk()
    disk.save_s = 2.0
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        write(room, append("a"))
        version = await manager.close(REF)
        assert version.seq == 1
        assert manager.get(REF) is None
        assert text_of(await manager.open(REF)) == "x"


@simulated
async def test_what_waits_when_the_canvas_is_deleted_is_refused_and_never_shown() -> None:
    """It was told as applied, and shown to readers who waited, though nothing was saved any more."""
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        disk.save_s = 1.0
        write(room, append("first"))
        await pass_s(0.1)
        write(room, append("second"))
        waiting = asyncio.create_task(room.settled())
        await manager.delete(REF, "ada")
        await waiting
        assert (text_of(room), manager.counts.acks) == ("", 0)


@simulated
async def test_what_waits_when_the_server_gives_up_is_refused() -> None:
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        disk.save_s = 20.0
        write(room, append("first"))
        await pass_s(0.1)
        write(room, append("second"))
        assert not await manager.drain(1.0)
    assert manager.counts.acks == (await disk.get(REF)).version.seq == room.canvas.version.seq == 1


@simulated
async def test_a_close_over_a_failing_disk_tells_no_version_that_is_not_durable() -> None:
    """It queued for the save of a group that was taken back, and told the version of the one behind it."""
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        disk.save_s, disk.broken = 1.0, True
        write(room, append("first"))
        await pass_s(0.1)
        write(room, append("second"))
        closing = asyncio.create_task(manager.close(REF))
        for turn in range(60):
            await pass_s(0.1)
            write(room, append(f"more-{turn}"))
        await pass_s(3.0)
        assert (await closing).seq == 0
        told = [event["server_version"] for event in ear.heard if "server_version" in event]
        assert set(told) == {(await disk.get(REF)).version.etag}


@simulated
async def test_an_operation_that_waits_for_its_turn_is_not_said_to_be_unknown() -> None:
    """Whoever asked for its outcome was told that it was never seen, and sent it again under another name."""
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        disk.save_s = 10.0
        write(room, append("of another"))
        await pass_s(0.1)
        write(room, append("mine"))
        await room.settled()
        assert room.outcome_of("mine", "codepoint") is not None
        assert room.canvas.version == (await disk.get(REF)).version
        assert now_s() == 20.0


@simulated
async def test_a_journal_that_fails_and_operations_that_wait_for_it_are_seen() -> None:
    disk = Disk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        disk.save_s = 100.0
        write(room, append("slow"))
        await pass_s(40.0)
        assert (room.unsaved_ops, room.unsaved_age_s, room.failing) == (1, 40.0, False)
        await pass_s(70.0)
        assert (room.unsaved_ops, room.unsaved_age_s, room.failing) == (0, 0.0, False)
        disk.save_s, disk.broken = 0.0, True
        write(room, append("refused"))
        await soon()
        assert (room.unsaved_age_s, room.failing) == (0.0, True)
        disk.broken = False
        write(room, append("taken"))
        await soon()
        assert not room.failing


@simulated
async def test_a_fault_of_ours_in_a_save_shows_nothing_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class OddDisk(Disk):
        odd = True

        async def save(self, request: CheckpointRequest) -> None:
            await asyncio.sleep(1.0)
            if self.odd:
                raise ValueError("odd")
            await super().save(request)

    disk = OddDisk()
    async with house(disk, JOURNAL) as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("odd"))
        await pass_s(0.1)
        await room.settled()
        assert text_of(room) == ""
        assert [event["code"] for event in ear.all("error")] == ["STORAGE_UNAVAILABLE"]
        disk.odd = False
        write(room, append("odd"))
        await pass_s(2.0)
        assert text_of(room) == "x"
    assert "ValueError: odd" in caplog.text


@simulated
async def test_what_a_journal_does_is_on_behalf_of_no_request() -> None:
    seen: list[str] = []

    class ListeningDisk(Disk):
        async def save(self, request: CheckpointRequest) -> None:
            seen.append(REQUEST_ID.get())
            await super().save(request)

    async with house(ListeningDisk(), JOURNAL) as manager:
        room = await open_new(manager)
        token = REQUEST_ID.set("mine")
        write(room, append("a"))
        REQUEST_ID.reset(token)
        await soon()
    assert seen == [""]
