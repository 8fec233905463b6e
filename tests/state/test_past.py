"""The past of a canvas can be read as far back as the store holds it, and forgotten operations are known again."""

from __future__ import annotations

import asyncio

import pytest

from canvas_server.core.canvas import Author
from canvas_server.core.errors import NotFoundError
from canvas_server.core.event import Ack
from canvas_server.core.limits import Limits
from canvas_server.core.splice import apply_changes
from canvas_server.core.version import Version
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.state.settings import StateSettings
from tests.state.simulation import (
    REF,
    Disk,
    append,
    house,
    listen,
    open_new,
    pass_s,
    prepend,
    simulated,
    soon,
    text_of,
    write,
    write_many,
)

SMALL = StateSettings(limits=Limits(retained_ops_max=8))


async def long_history(manager: CanvasStateManager) -> tuple[Room, list[Version], list[str]]:
    """Write more than is held in memory, wide characters among it; return versions and texts by seq."""
    room = await open_new(manager, "😀 start\n")
    versions, texts = [room.canvas.version], [text_of(room)]
    for turn in range(40):
        write(room, (prepend if turn % 3 else append)(f"op-{turn}", f"{turn}😀"))
        versions.append(room.canvas.version)
        texts.append(text_of(room))
        if turn % 5 == 0:
            await room.save()
    await room.save()
    write(room, append("last-1"), append("last-2"))
    versions += [Version(41, str(room.canvas.history.etag_at(41))), room.canvas.version]
    texts += [texts[-1] + "x", texts[-1] + "xx"]
    assert room.canvas.history.floor.seq > 20
    return room, versions, texts


@simulated
async def test_every_past_text_can_be_read_from_memory_or_from_the_store() -> None:
    async with house(settings=SMALL) as manager:
        room, versions, texts = await long_history(manager)
        for version, text in zip(versions, texts, strict=True):
            assert await manager.past.text_at(room, version.seq) == (version, text)
            assert await manager.past.text_at(room, version) == (version, text)


@simulated
async def test_a_version_of_another_history_is_not_found_in_memory_nor_in_the_store() -> None:
    async with house(settings=SMALL) as manager:
        room, _versions, _texts = await long_history(manager)
        for seq in (3, 41, 99):
            with pytest.raises(NotFoundError):
                await manager.past.text_at(room, Version(seq, f'W/"{seq}-{"f" * 16}"'))


@simulated
async def test_pages_of_history_lead_from_any_version_to_the_newest() -> None:
    async with house(settings=SMALL) as manager:
        room, versions, texts = await long_history(manager)
        for start in (0, 1, 17, 25, 36, 42):
            acks: list[Ack] = []
            while start + len(acks) < 42:
                page = await manager.past.history(room, start + len(acks), 7, "codepoint")
                assert 0 < len(page) <= 7
                acks += page
            assert [ack.server_version for ack in acks] == [version.etag for version in versions[start + 1 :]]
            text = texts[start]
            for ack in acks:
                text = apply_changes(text, ack.changes)
            assert text == texts[-1]


@simulated
async def test_history_in_utf16_leads_to_the_same_texts() -> None:
    async with house(settings=SMALL) as manager:
        room, _versions, texts = await long_history(manager)
        for start in (0, 20, 38):
            wide = texts[start].encode("utf-16-le")
            for ack in await manager.past.history(room, start, 100, "utf16"):
                for splice in ack.changes:
                    insert = splice.insert.encode("utf-16-le")
                    wide = wide[: 2 * splice.start] + insert + wide[2 * splice.end :]
            assert wide.decode("utf-16-le") in texts


@simulated
async def test_the_outcome_of_an_operation_is_found_long_after_it_left_memory() -> None:
    async with house(settings=SMALL) as manager:
        room, versions, _texts = await long_history(manager)
        assert room.outcome_of("op-2", "codepoint") is None
        ack = await manager.past.find_outcome(room, "op-2", "codepoint")
        assert ack is not None
        assert ack.server_version == versions[3].etag
        assert await manager.past.find_outcome(room, "never", "codepoint") is None


@simulated
async def test_a_forgotten_operation_sent_again_is_answered_with_its_first_version_and_applied_once() -> None:
    disk = Disk()
    async with house(disk, SMALL) as manager:
        room, versions, texts = await long_history(manager)
        ear = listen(room)
        await manager.past.recall(room, ["op-0"])
        write(room, append("op-0", "0😀"))
        await soon()
        assert (ear.heard[-1]["server_version"], ear.heard[-1]["duplicate"]) == (versions[1].etag, True)
        await manager.past.recall(room, ["op-0"])
        write(room, append("op-0", "something else"))
        await soon()
        assert ear.heard[-1]["code"] == "OP_ID_REUSED"
        assert text_of(room) == texts[-1]
        await room.save()
    async with house(disk, SMALL, life=1) as manager:
        room = await manager.open(REF)
        ear = listen(room)
        for op_id in ("op-3", "last-2"):
            await manager.past.recall(room, [op_id])
            write(
                room, append(op_id, "x") if op_id == "last-2" else append(op_id, "3😀"), author=Author("b", "job", None)
            )
        await soon()
        assert [event["server_version"] for event in ear.all("ack")] == [versions[4].etag, versions[42].etag]
        assert text_of(room) == texts[-1]


@simulated
async def test_what_is_pushed_out_of_memory_while_the_store_is_asked_for_others_is_known_too() -> None:
    disk = Disk()
    async with house(disk, SMALL) as manager:
        room, versions, _texts = await long_history(manager)
        await room.save()
        ear = listen(room)
        disk.load_s = 1.0
        (newest,) = [applied.ack.op_id for applied in room.canvas.history.newest_first()][:1]
        recalling = asyncio.create_task(manager.past.recall(room, ["op-0", newest]))
        await pass_s(0.5)
        write_many(room, 30, "meanwhile")
        await room.save()
        write_many(room, 10, "then")
        assert room.canvas.history.may_have_forgotten(newest)
        await recalling
        write(room, append("op-0", "0😀"), append(newest, "other"))
        await soon()
        first, second = ear.heard[-2:]
        assert (first["server_version"], first["duplicate"]) == (versions[1].etag, True)
        assert second["code"] == "OP_ID_REUSED"


@simulated
async def test_an_operation_that_a_load_left_in_the_store_is_known_when_it_is_sent_again() -> None:
    """Of operations before a full text only the names are loaded; without them an old one would be applied twice."""
    disk = Disk()
    async with house(disk, SMALL) as manager:
        room = await open_new(manager)
        write_many(room, 600)
        await manager.close(REF)
        room = await manager.open(REF)
        assert room.canvas.history.etag_at(1) is None
        ear = listen(room)
        await manager.past.recall(room, ["op-0"])
        write(room, append("op-0"))
        await soon()
        assert ear.heard[-1]["duplicate"] is True
        assert text_of(room) == "x" * 600
