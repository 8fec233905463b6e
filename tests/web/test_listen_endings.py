"""How a stream ends when the server ends it: `bye`, and why (PROTOCOL section 5)."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings, StreamSettings
from canvas_server.core.ids import CanvasRef
from tests.listener import PATIENCE_S, Event, Listener
from tests.serving import IN_MEMORY, Canvas, Served, append, serving

SOON: Final = StreamSettings(retry_ms_min=7, retry_ms_max=7)
BUFFER_BYTES: Final = 128 * 1024
FORGETFUL: Final = LimitSettings(log_events_min=4, log_bytes_min=1, send_buffer_bytes=BUFFER_BYTES)


def bye(listener: Listener) -> Event:
    """Return the `bye` that ends a stream; it names the time after which to come back."""
    *_, last = listener.rest()
    assert last.type == "bye"
    assert last.id is None
    assert last["retry_ms"] == listener.frames.retry_ms
    return last


def write(canvas: Canvas, count: int, size: int) -> None:
    for _ in range(count):
        canvas.submit(append("x" * size))


def test_a_reader_that_never_reads_is_let_go_as_slow_and_nobody_else_waits() -> None:
    with serving(replace(IN_MEMORY, limits=FORGETFUL)) as served:
        canvas = served.canvas("")
        with canvas.listen(receive_buffer_bytes=BUFFER_BYTES) as stalled, canvas.listen() as reading:
            stalled.expect("start")
            reading.expect("snapshot")
            for number in range(12):
                canvas.submit(append("x" * 100_000, op_id=f"op-{number}"))
                reading.expect("ack", op_id=f"op-{number}")
            told = stalled.rest()
        assert (told[-1].type, told[-1]["reason"]) == ("bye", "slow")
        seqs = [int(event.id.partition("-")[0]) for event in told if event.id is not None]
        assert seqs == list(range(len(seqs)))
        assert len(seqs) < 12


def test_a_reader_that_was_let_go_resumes_where_it_was_or_is_reset() -> None:
    with serving(replace(IN_MEMORY, limits=FORGETFUL)) as served:
        canvas = served.canvas("")
        with canvas.listen(receive_buffer_bytes=BUFFER_BYTES) as stalled:
            stalled.expect("start")
            write(canvas, 12, 100_000)
            *_, seen, _bye = stalled.rest()
        assert seen.id is not None
        with canvas.listen(headers={"Last-Event-ID": seen.id}) as back:
            assert [event.type for event in back.take(3)] == ["start", "reset", "snapshot"]


def test_a_reader_that_falls_behind_but_not_off_the_log_hears_everything() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(send_buffer_bytes=BUFFER_BYTES))) as served:
        canvas = served.canvas("")
        with canvas.listen(receive_buffer_bytes=BUFFER_BYTES) as listener:
            listener.expect("snapshot")
            write(canvas, 12, 100_000)
            acks = [event for event in listener.take(12) if event.type == "ack"]
        assert [int(ack["server_version"].split('"')[1].partition("-")[0]) for ack in acks] == list(range(1, 13))


def test_a_reader_that_took_nothing_for_too_long_is_let_go_and_hears_so_if_it_reads_again() -> None:
    """It once was forgotten in silence: the connection stayed open, and nothing ever came."""
    limits = LimitSettings(send_buffer_bytes=BUFFER_BYTES, slow_write_s=0.05)
    with serving(replace(IN_MEMORY, limits=limits)) as served:
        canvas = served.canvas("")
        with canvas.listen(receive_buffer_bytes=BUFFER_BYTES) as stalled:
            stalled.expect("start")
            write(canvas, 12, 100_000)
            served.run(until_nobody_listens(served, canvas))
            told = stalled.rest()
        assert (told[-1].type, told[-1]["reason"]) == ("bye", "slow")
        assert 1 < len(told) < 12


async def until_nobody_listens(served: Served, canvas: Canvas) -> None:
    room = served.manager.get(CanvasRef(canvas.ref))
    assert room is not None
    async with asyncio.timeout(PATIENCE_S):
        while room.listeners:  # noqa: ASYNC110 - nobody tells that a reader was given up
            await asyncio.sleep(0)


def test_a_reader_is_asked_to_reconnect_at_its_greatest_age_and_misses_nothing() -> None:
    with serving(replace(IN_MEMORY, stream=replace(SOON, max_age_s=0.05))) as served:
        canvas = served.canvas("")
        position, told = canvas.version[3:-1], list[str]()
        for number in range(4):
            canvas.submit(append("x", op_id=f"op-{number}"))
            with canvas.listen(headers={"Last-Event-ID": position}) as listener:
                events = listener.rest()
            assert (events[-1].type, events[-1]["reason"], events[-1]["retry_ms"]) == ("bye", "max_age", 7)
            told += [event["op_id"] for event in events if event.type == "ack"]
            position = next(event.id for event in reversed(events) if event.id is not None)
        assert told == [f"op-{number}" for number in range(4)]


def test_one_reader_too_many_is_told_to_come_back_by_a_stream_that_ends() -> None:
    """A browser never comes back from any status but 200."""
    limits = LimitSettings(listeners_max=2)
    with serving(replace(IN_MEMORY, limits=limits, stream=SOON)) as served:
        one, two = served.canvas(""), served.canvas("")
        with one.listen() as first:
            first.expect("snapshot")
            with served.listen(f"/api/v2/ops:listen?ref={one.ref}&ref={two.ref}") as refused:
                assert (refused.status, refused.headers["content-type"][:17]) == (200, "text/event-stream")
                assert bye(refused).data == {"type": "bye", "reason": "overload", "retry_ms": 7}
            with two.listen() as second:
                second.expect("snapshot")
                with one.listen() as refused:
                    assert bye(refused)["reason"] == "overload"
        with one.listen() as again:
            again.expect("snapshot")


def test_a_server_that_stops_says_bye_to_all_and_to_who_still_comes() -> None:
    with serving(replace(IN_MEMORY, stream=SOON)) as served:
        canvas, other = served.canvas(""), served.canvas("")
        with canvas.listen() as first, canvas.listen() as second:
            for listener in (first, second):
                listener.expect("snapshot")
            [ack] = canvas.submit(append("x"))
            assert served.run(served.manager.drain(1.0)) is True
            for listener in (first, second):
                *before, last = listener.rest()
                assert [event.type for event in before] == ["ack", "checkpoint"]
                assert before[1]["server_version"] == ack["server_version"]
                assert (last.type, last["reason"]) == ("bye", "shutdown")
        with other.listen() as late:
            assert bye(late)["reason"] == "shutdown"
        for answer in (
            canvas.post(append("y", client_version=ack["server_version"])),
            served.http.put("/api/v2/canvas/late"),
            canvas.http.patch(canvas.path, json={"title": "late"}),
            canvas.http.delete(canvas.path),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "DRAINING")
            assert (answer.json()["retryable"], answer.headers["retry-after"]) == (True, "3")
        assert canvas.text == "x"


@pytest.mark.parametrize("ending", ["delete", "close"])
def test_a_reader_that_is_behind_hears_the_rest_and_why_the_stream_ends(served: Served, ending: str) -> None:
    """Whoever had not read all that was written when its canvas went was told neither the rest nor the end."""
    canvas = served.canvas("")
    with canvas.listen(receive_buffer_bytes=4096) as behind:
        behind.expect("snapshot")
        write(canvas, 5, 120_000)
        answer = canvas.http.delete(canvas.path) if ending == "delete" else canvas.http.post(f"{canvas.path}:close")
        assert answer.status_code in (200, 204)
        assert [event.type for event in behind.rest() if event.type != "checkpoint"] == ["ack"] * 5 + [ending + "d"]


def test_a_reader_of_several_canvases_hears_of_all_of_them_before_bye() -> None:
    """A server that stopped ended a stream with the first of its canvases, and what the others had to tell was lost."""
    with serving(IN_MEMORY) as served:
        canvases = [served.canvas("") for _ in range(3)]
        refs = "&".join(f"ref={canvas.ref}" for canvas in canvases)
        with served.listen(f"/api/v2/ops:listen?{refs}") as listener:
            listener.take(6)

            async def write_and_stop() -> None:
                rooms = [await served.manager.open(CanvasRef(canvas.ref)) for canvas in canvases]
                for room in rooms:
                    room.set_title("new", "ada")
                for room in rooms:
                    room.dismiss("shutdown")

            served.run(write_and_stop())
            told = [event for event in listener.rest() if event.type in ("title", "bye")]
        assert [event.type for event in told] == ["title"] * 3 + ["bye"]
