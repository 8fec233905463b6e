"""A room tells each listener everything once, in order, in its own unit, and joins what can be joined."""

from __future__ import annotations

from zlib import crc32

from canvas_server.core.event import Presence
from canvas_server.core.limits import Limits
from canvas_server.state.presence import Sighting
from canvas_server.state.settings import StateSettings
from tests.core.authors import in_unit
from tests.state.simulation import (
    ADA,
    Ear,
    Heard,
    append,
    house,
    insert_at,
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

SMALL_LOG = StateSettings(log_events_min=8, log_bytes_min=64)


def sighting(client_id: str, ttl_ms: int = 10_000, cursor: int = 3) -> Sighting:
    def presence(offset: int) -> Presence:
        return Presence(
            canvas="notes",
            client_id=client_id,
            actor="ada",
            kind="human",
            name="Ada",
            section=None,
            cursor=offset,
            selection=None,
            ttl_ms=ttl_ms,
        )

    return Sighting(presence(cursor), presence(cursor + 1))


def followed(ear: Ear, unit: str = "codepoint") -> str:
    """Return the text that a reader has who applies what it heard."""
    width = 2 if unit == "utf16" else 4
    code = "utf-16-le" if unit == "utf16" else "utf-32-le"
    (snapshot,) = ear.all("snapshot")
    text = str(snapshot["content"]).encode(code)
    for event in ear.all("ack"):
        if event.id is not None:
            text = applied(text, event, width, code)
    return text.decode(code)


def applied(text: bytes, event: Heard, width: int, code: str) -> bytes:
    changes = event["changes"]
    assert isinstance(changes, list)
    for change in changes:
        text = text[: width * change["from"]] + change["insert"].encode(code) + text[width * change["to"] :]
    return text


@simulated
async def test_readers_of_either_unit_follow_the_text() -> None:
    async with house() as manager:
        room = await open_new(manager, "😀 start")
        ears = {unit: listen(room, unit=unit) for unit in ("codepoint", "utf16")}
        for turn in range(20):
            base = room.canvas.version.etag
            offset = turn * 7 % len(text_of(room))
            write(room, insert_at(f"c-{turn}", offset, "é😀", base))
            seen = text_of(room)
            at = in_unit(seen, offset, "utf16")
            write(room, insert_at(f"w-{turn}", at, "x", room.canvas.version.etag), unit="utf16")
        await soon()
        for unit, ear in ears.items():
            assert followed(ear, unit) == text_of(room)


@simulated
async def test_what_happens_in_one_turn_of_the_loop_is_one_write_to_each_listener() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ears = [listen(room) for _ in range(3)]
        write_many(room, 30)
        await soon()
        for ear in ears:
            assert [len(one) for one in ear.writes] == [2, 30]
            assert ear.states == sorted(ear.states, key=lambda cursor: int(cursor.split("-")[0]))


@simulated
async def test_a_reader_that_was_not_ready_catches_up_later_with_one_write() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ear = listen(room)
        ear.block()
        write_many(room, 5)
        await soon()
        write_many(room, 5, "more")
        await soon()
        assert len(ear.writes) == 1
        ear.unblock()
        assert [len(one) for one in ear.writes] == [2, 10]
        assert followed(ear) == text_of(room)


@simulated
async def test_a_reader_whose_place_fell_off_the_log_is_told_that_it_is_slow() -> None:
    async with house(settings=SMALL_LOG) as manager:
        room = await open_new(manager)
        ear = listen(room)
        ear.block()
        write_many(room, 100)
        await soon()
        assert ear.ended == []
        ear.unblock()
        assert (ear.ended, room.listeners) == (["slow"], 0)


@simulated
async def test_who_resumes_hears_exactly_what_it_missed() -> None:
    async with house() as manager:
        room = await open_new(manager)
        first = listen(room)
        write_many(room, 10)
        write(room, append("lost", scope="canvas", version='W/"3-ffffffffffffffff"'))
        write(room, append("op-3"))
        await soon()
        for index, cursor in enumerate(first.states[:-1]):
            again = listen(room, cursor)
            assert (again.heard[0].type, again.heard[0]["resumed"]) == ("start", True)
            assert again.states == first.states[index + 1 :]
            assert again.all("snapshot") == []


@simulated
async def test_who_resumes_where_nothing_happened_since_hears_only_where_it_is() -> None:
    async with house() as manager:
        room = await open_new(manager)
        again = listen(room, room.canvas.version.cursor)
        assert [event.type for event in again.heard] == ["start"]


@simulated
async def test_a_place_in_another_history_is_reset_to_the_whole_text() -> None:
    async with house() as manager:
        room = await open_new(manager, "hello")
        write(room, append("a"))
        for cursor in ("1-ffffffffffffffff", "9-ffffffffffffffff", "garbage"):
            ear = listen(room, cursor)
            assert [event.type for event in ear.heard] == ["start", "reset", "snapshot"]
            assert (ear.heard[1]["reason"], ear.heard[2]["content"]) == ("history", "hellox")


@simulated
async def test_a_place_that_is_no_longer_held_is_evicted() -> None:
    async with house(settings=SMALL_LOG) as manager:
        room = await open_new(manager)
        cursor = room.canvas.version.cursor
        write_many(room, 100)
        ear = listen(room, cursor)
        assert [event.type for event in ear.heard] == ["start", "reset", "snapshot"]
        assert ear.heard[1]["reason"] == "evicted"


@simulated
async def test_who_resumes_hears_of_every_refusal_since_or_is_reset() -> None:
    async with house(settings=SMALL_LOG) as manager:
        room = await open_new(manager)
        ear = listen(room)
        for turn in range(20):
            write(room, append(f"op-{turn}"))
            write(room, append(f"lost-{turn}", scope="canvas", version='W/"0-ffffffffffffffff"'))
            await soon()
            places = [index for index, event in enumerate(ear.heard) if event.id]
            for place in places:
                again = listen(room, ear.heard[place].id)
                if again.heard[0]["resumed"]:
                    assert again.heard[1:] == ear.heard[place + 1 :]
                again.leave()
        assert (len(places), room.log.first > 0) == (21, True)


@simulated
async def test_a_reader_resumes_over_an_unload() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ear = listen(room)
        write_many(room, 20)
        await soon()
        await manager.close(room.canvas.ref)
        again = listen(await manager.open(room.canvas.ref), ear.states[4])
        assert again.heard[0]["resumed"] is True
        assert again.states == ear.states[5:]


@simulated
async def test_the_first_event_after_a_snapshot_is_the_next_version() -> None:
    async with house() as manager:
        room = await open_new(manager)
        for turn in range(5):
            write(room, append(f"a-{turn}"))
            ear = listen(room)
            write(room, append(f"b-{turn}"))
            await soon()
            (snapshot,) = ear.all("snapshot")
            assert ear.all("ack")[0]["base_version"] == snapshot["server_version"]
            assert len(ear.all("ack")) == 1


@simulated
async def test_a_text_too_large_for_an_event_is_told_by_its_address() -> None:
    async with house(settings=StateSettings(limits=Limits(snapshot_bytes_max=10))) as manager:
        room = await open_new(manager, "more than ten bytes")
        (snapshot,) = listen(room).all("snapshot")
        assert "content" not in snapshot
        assert snapshot["content_url"] == f"/api/v2/canvas/notes?at={room.canvas.version.cursor}"


@simulated
async def test_on_a_connection_to_many_canvases_ids_name_theirs() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ear = listen(room, many=True)
        write(room, append("a"))
        await soon()
        assert ear.states == [
            f"notes:{room.canvas.history.floor.cursor}",
            f"notes:{room.canvas.version.cursor}",
        ]


@simulated
async def test_an_operation_sent_again_is_told_again_without_an_id() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ear = listen(room)
        write(room, append("a"))
        write(room, append("a"))
        await soon()
        first, second = ear.all("ack")
        assert (first.id, second.id) == (room.canvas.version.cursor, None)
        assert (second["server_version"], second["duplicate"]) == (first["server_version"], True)
        assert text_of(room) == "x"


@simulated
async def test_each_operation_of_a_request_has_exactly_one_end() -> None:
    async with house() as manager:
        room = await open_new(manager, "hello")
        ear = listen(room)
        write(room, append("a"), insert_at("b", 99, "x", room.canvas.version.etag), append("c"), append("d"))
        await soon()
        ends = [(event["op_id"], event.type) for event in ear.heard[2:]]
        assert ends == [("a", "ack"), ("b", "error"), ("c", "conflict"), ("d", "conflict")]


@simulated
async def test_presence_is_told_at_once_and_to_who_comes_until_its_time_is_over() -> None:
    async with house() as manager:
        room = await open_new(manager)
        ear, wide = listen(room), listen(room, unit="utf16")
        room.put_presence(sighting("tab-1"))
        await soon()
        assert (ear.heard[-1]["cursor"], wide.heard[-1]["cursor"]) == (3, 4)
        await pass_s(9.9)
        assert listen(room, unit="utf16").heard[-1]["cursor"] == 4
        await pass_s(0.2)
        assert listen(room).all("presence") == []


@simulated
async def test_what_is_ephemeral_is_not_told_to_who_resumes() -> None:
    async with house() as manager:
        room = await open_new(manager)
        cursor = room.canvas.version.cursor
        ear = listen(room)
        room.put_presence(sighting("tab-1", ttl_ms=1_000))
        await pass_s(20)
        write(room, append("a"))
        await soon()
        assert {event.type for event in ear.heard} >= {"presence", "heartbeat", "ack"}
        assert [event.type for event in listen(room, cursor).heard] == ["start", "ack"]


@simulated
async def test_a_heartbeat_tells_version_length_and_checksum_in_each_unit() -> None:
    async with house() as manager:
        room = await open_new(manager, "a😀")
        narrow, wide = listen(room), listen(room, unit="utf16")
        await pass_s(15.1)
        beats = [ear.all("heartbeat")[-1] for ear in (narrow, wide)]
        assert [beat["length"] for beat in beats] == [2, 3]
        assert {beat["crc32"] for beat in beats} == {crc32("a😀".encode())}
        assert {beat["server_version"] for beat in beats} == {room.canvas.version.etag}
        await pass_s(30)
        assert len(narrow.all("heartbeat")) == 3
        write(room, append("b", "é"))
        await pass_s(15)
        assert narrow.all("heartbeat")[-1]["crc32"] == crc32("a😀é".encode())


@simulated
async def test_a_preview_changes_nothing_and_nobody_hears_of_it() -> None:
    async with house() as manager:
        room = await open_new(manager, "hello")
        ear = listen(room)
        version = room.canvas.version
        events, twin = await room.preview(ADA, "utf16", [prepend("p", "😀"), append("q")])
        await soon()
        assert [type(event).__name__ for event in events] == ["Ack", "Ack"]
        assert str(twin.document.text) == "😀hellox"
        assert (text_of(room), room.canvas.version, len(ear.heard)) == ("hello", version, 2)
        write(room, append("q"))
        assert text_of(room) == "hellox"
