"""quick probes of suspected bugs"""
import asyncio, pytest
from tests.state.simulation import *
from canvas_server.core.errors import *
from canvas_server.core.limits import Limits
from canvas_server.state.checkpointer import CheckpointPolicy
from canvas_server.state.settings import StateSettings
JOURNAL = StateSettings(durability="journal")

@simulated
async def test_failed_close_is_retried():
    disk = Disk()
    async with house(disk) as m:
        room = await open_new(m); ear = listen(room)
        write(room, append("a")); disk.failing_saves = 1
        with pytest.raises(StorageUnavailableError): await m.close(REF)
        await pass_s(30)
        assert room.checkpointer.unsaved_ops == 0
        assert [e.get("failed") for e in ear.all("checkpoint")] == [True, None]

@simulated
async def test_cancelled_close():
    disk = Disk(); disk.save_s = 1.0
    async with house(disk) as m:
        room = await open_new(m); ear = listen(room)
        write(room, append("a"))
        t = asyncio.create_task(m.close(REF)); await pass_s(.2); t.cancel()
        await pass_s(30)
        assert room.checkpointer.unsaved_ops == 0

@simulated
async def test_delete_while_loading():
    disk = Disk(); disk.load_s = 1.0
    async with house(disk) as m:
        await m.create(REF, "N", "old")
        t = asyncio.create_task(m.open(REF)); await pass_s(.7)
        await m.delete(REF, "ada")
        await asyncio.wait([t])
        await m.create(REF, "N", "new")
        room = await m.open(REF)
        assert text_of(room) == "new"

@simulated
async def test_journal_resume_inside_group():
    async with house(Disk(), JOURNAL) as m:
        room = await open_new(m); ear = listen(room)
        write(room, append("a")); write(room, append("b")); write(room, append("c"))
        await pass_s(1)
        again = listen(room, ear.states[1])
        assert again.heard[0]["resumed"], again.heard
        assert again.states == ear.states[2:]
        again = listen(room, ear.states[-1])
        assert again.states == []

@simulated
async def test_take_back_keeps_section_versions():
    disk = Disk()
    async with house(disk, JOURNAL) as m:
        room = await open_new(m, "# A\n\na\n\n# B\n\nb\n")
        v0 = room.canvas.version.etag
        write(room, append("x")); await pass_s(1)
        before = list(room.canvas.document.outline.changed)
        disk.failing_saves = 1
        write(room, prepend("y", "t\n")); await pass_s(1)
        assert room.canvas.document.outline.changed == before

@simulated
async def test_unsaved_beyond_window():
    disk = Disk(); disk.broken = True
    s = StateSettings(limits=Limits(retained_ops_max=20))
    async with house(disk, s) as m:
        room = await open_new(m)
        write_many(room, 60)
        await pass_s(30)
        disk.broken = False
        await pass_s(30)
        assert room.checkpointer.unsaved_ops == 0
        assert disk.saves[-1].version == room.canvas.version

@simulated
async def test_journal_checkpoint_event_in_time():
    async with house(Disk(), JOURNAL) as m:
        room = await open_new(m); ear = listen(room)
        for i in range(10):
            write(room, append(f"a{i}")); await pass_s(4)
        assert len(ear.all("checkpoint")) >= 2

@simulated
async def test_journal_recall_concurrent():
    disk = Disk()
    s = StateSettings(limits=Limits(retained_ops_max=4), durability="journal")
    async with house(disk, s) as m:
        room = await open_new(m); 
        for i in range(12):
            write(room, append(f"op-{i}")); await soon()
        disk.save_s = 1.0
        write(room, append("slow")); await pass_s(.1)
        await m.recall(room, ["op-0"]); write(room, append("op-0"))
        await m.recall(room, ["op-1"]); write(room, append("op-1"))
        await pass_s(5)
        assert text_of(room) == "x" * 13

@simulated
async def test_title_while_loading():
    disk = Disk(); disk.load_s = 1.0
    async with house(disk) as m:
        await m.create(REF, "N", "old")
        t = asyncio.create_task(m.open(REF)); await pass_s(.7)
        await m.set_title(REF, "New", "ada")
        room = await t
        assert room.canvas.title == "New"

@simulated
async def test_close_ends_under_writes():
    disk = Disk(); disk.save_s = 1.0
    async with house(disk) as m:
        room = await open_new(m); listen(room)
        write(room, append("a"))
        async def busy():
            i = 0
            while True:
                i += 1; write(room, append(f"b{i}")); await pass_s(.3)
        b = asyncio.create_task(busy())
        async with asyncio.timeout(60):
            await m.close(REF)
        b.cancel()

@simulated
async def test_all_waiters_gone_failed_load():
    disk = Disk(); disk.load_s = 1.0
    async with house(disk) as m:
        await m.create(REF, "N", "old")
        disk.failing_loads = 1
        t = asyncio.create_task(m.open(REF)); await pass_s(.2); t.cancel()
        await pass_s(3)
        import gc; gc.collect()
    
@simulated
async def test_failing_clears_in_journal():
    disk = Disk()
    async with house(disk, JOURNAL) as m:
        room = await open_new(m)
        disk.failing_saves = 1
        write(room, append("a")); await pass_s(60)
        assert not room.checkpointer.failing
