"""A session begins, loses its stream or its canvas, and ends; nothing is left of it."""

from __future__ import annotations

import asyncio
import threading
import zlib

import pytest

from canvas_server.client import (
    Ack,
    CanvasClient,
    ClientError,
    EndedError,
    OperationError,
    UnauthorizedError,
    UnreachableError,
)
from canvas_server.core.event import Closed, Heartbeat
from tests.client.fault_proxy import FaultProxy
from tests.client.waiting import agree, eventually, first_acks, proxied
from tests.serving import Served, append, serving

TEXT = "# Notes\n\n## Ideas\n\nOne.\n"


async def test_a_thousand_edits_made_while_it_is_away_arrive(served: Served) -> None:
    made = served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        for number in range(1_000):
            canvas.append(f"{number} ")
        made.submit(append("from others"))
        proxy.upstream_port = port
        await canvas.settled()
        assert made.text == canvas.text == "from others" + "".join(f"{number} " for number in range(1_000))


async def test_one_stream_tells_of_all_canvases_that_are_open(served: Served) -> None:
    made = [served.canvas(str(number)) for number in range(70)]
    async with CanvasClient(served.url) as client:
        before = served.house.manager.counts.streams
        sessions = [await client.open(canvas.ref) for canvas in made]
        for canvas in made:
            canvas.submit(append("!"))
        for session, canvas in zip(sessions, made, strict=True):
            await agree(session, canvas.text)
        # One that was left may not have been noticed yet.
        await eventually(lambda: served.house.manager.counts.streams == before + 2)
        await sessions[0].aclose()
        with pytest.raises(EndedError):
            sessions[0].append("x")
        again = await client.open(made[0].ref)
        again.append("again")
        await again.settled()


async def test_a_canvas_that_is_deleted_ends_its_session_alone(served: Served) -> None:
    made, other = served.canvas("a"), served.canvas("b")
    async with CanvasClient(served.url) as client:
        canvas, stays = await client.open(made.ref), await client.open(other.ref)
        events = canvas.events()
        waiting = asyncio.ensure_future(canvas.wait("never"))
        await client.delete(made.ref)
        with pytest.raises(EndedError):
            await waiting
        assert canvas.state == "ended"
        assert [type(event).__name__ async for event in events] == ["Deleted"]
        with pytest.raises(EndedError):
            canvas.append("x")
        stays.append("c")
        await stays.settled()
        assert other.text == "bc"


@pytest.mark.slow
async def test_a_server_that_is_not_there_and_credentials_that_are_not_known_are_told() -> None:
    async with FaultProxy(0).running() as nobody, CanvasClient(nobody.url) as client:
        with pytest.raises(UnreachableError) as unreachable:
            await client.list()
        assert unreachable.value.retryable
    with serving(credentials=True) as served:
        async with CanvasClient(served.url, token="wrong") as client:
            with pytest.raises(UnauthorizedError) as unknown:
                await client.list()
            assert (unknown.value.status, unknown.value.code) == (401, "AUTH_REQUIRED")


async def test_closing_leaves_no_task_and_no_thread(served: Served) -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    client = CanvasClient(served.url)
    async with client:
        canvas = await client.open(served.canvas(TEXT).ref)
        writer = canvas.write_stream()
        await writer.__aenter__()
        await writer.write("never ended")
        canvas.append("sent before it is closed")
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() == threads
    with pytest.raises(ClientError, match="closed"):
        await client.open(canvas.ref)


async def test_leaving_the_block_waits_for_what_was_typed(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        (await client.open(made.ref)).append("typed last")
    assert made.text == "typed last"


async def test_a_wait_that_is_cancelled_breaks_nothing(served: Served) -> None:
    made = served.canvas("")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        task = asyncio.ensure_future(canvas.send(append("a", op_id="cancelled")))
        await asyncio.sleep(0)
        task.cancel()
        assert isinstance(await canvas.wait("cancelled"), Ack)
        canvas.append("b")
        await canvas.settled()
        assert made.text == "ab"


async def test_an_opening_that_cannot_be_written_raises_and_says_what_was_not(served: Served) -> None:
    made = served.canvas(TEXT)
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        with pytest.raises(OperationError) as refused:
            async with canvas.write_stream("Nowhere") as writer:
                await writer.write("words")
        assert refused.value.code == "TARGET_NOT_FOUND"
        assert writer.unwritten == "words"
        assert made.text == TEXT


@pytest.mark.slow
async def test_one_that_was_away_for_too_long_reads_what_it_missed(served: Served) -> None:
    made = served.canvas("")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        canvas = await client.open(made.ref)
        events = canvas.events()
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        canvas.append("typed meanwhile")
        for _ in range(12):
            ops = [append("x" * 1_000, scope="range", client_version=made.version) for _ in range(100)]
            assert made.post(*ops).status_code == 202
        made.submit(append("y"))
        proxy.upstream_port = port
        await canvas.settled()
        await agree(canvas, made.text)
        heard = [event async for event in first_acks(events, 1_202)]
        assert [ack.server_version for ack in heard] == [ack.server_version for ack in await client.history(made.ref)]


async def test_a_canvas_that_was_made_again_is_shown_with_what_is_typed(served: Served) -> None:
    made = served.canvas("old text")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client, CanvasClient(served.url) as other:
        canvas = await client.open(made.ref)
        canvas.append(", acked")
        await canvas.settled()
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        canvas.append(", typed")
        await other.delete(made.ref)
        await other.create(made.ref, title="Again", text="new text")
        proxy.upstream_port = port
        await canvas.settled()
        assert canvas.text == made.text == "new text, typed"
        assert canvas.title == "Again"


async def test_a_text_that_drifted_is_read_again_and_what_is_typed_stays(served: Served) -> None:
    made = served.canvas("right")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        replica = canvas._canvas.replica
        replica.confirmed = replica.text = "wrong"
        canvas.append("!")
        beat = Heartbeat(canvas=made.ref, server_version=canvas.version, length=5, crc32=zlib.crc32(b"right"))
        canvas._listening.hear(beat)
        await canvas.settled()
        await agree(canvas, made.text, "right!")
        await canvas.live()


async def test_credentials_are_asked_for_again_when_they_are_not_known_any_more() -> None:
    with serving(credentials=True) as served:
        given = iter(["wrong", "wrong too"])
        async with CanvasClient(served.url, token=lambda: next(given)) as client:
            with pytest.raises(UnauthorizedError):
                await client.list()
        assert list(given) == []


async def test_a_canvas_that_was_closed_is_opened_again(served: Served) -> None:
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        canvas = await client.open(made.ref)
        canvas.append("b")
        await canvas.settled()
        async with canvas.events() as events:
            assert made.http.post(f"{made.path}:close").status_code == 200
            async for event in events:
                if isinstance(event, Closed):
                    break
        canvas.append("c")
        await canvas.settled()
        assert made.text == canvas.text == "abc"


async def test_a_canvas_that_was_deleted_while_it_was_away_ends_its_session_alone(served: Served) -> None:
    made, stays = served.canvas("a"), served.canvas("b")
    async with proxied(served) as proxy, CanvasClient(proxy.url) as client:
        gone, canvas = await client.open(made.ref), await client.open(stays.ref)
        port, proxy.upstream_port = proxy.upstream_port, 0
        proxy.cut()
        made.http.delete(made.path)
        canvas.append("c")
        proxy.upstream_port = port
        await canvas.settled()
        assert stays.text == "bc"
        with pytest.raises(ClientError):
            await gone.live()
        assert gone.problem is not None
        assert gone.problem.code == "NOT_FOUND"


async def test_opening_one_canvas_twice_at_once_opens_it_once(served: Served) -> None:
    made = served.canvas("a")
    async with CanvasClient(served.url) as client:
        results = await asyncio.gather(client.open(made.ref), client.open(made.ref), return_exceptions=True)
        assert [isinstance(result, ClientError) for result in results].count(True) == 1


async def test_an_opening_that_is_cancelled_leaves_nothing_open(served: Served) -> None:
    made = served.canvas("a")
    tasks = asyncio.all_tasks()
    async with CanvasClient(served.url) as client:
        for turns in range(0, 60, 3):
            opening = asyncio.ensure_future(client.open(made.ref))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait({opening})
            if not opening.cancelled():
                await opening.result().aclose()
        canvas = await client.open(made.ref)
        canvas.append("b")
        await canvas.settled()
        assert made.text == "ab"
    assert asyncio.all_tasks() == tasks


async def test_names_that_are_long_share_streams_that_any_proxy_lets_through(served: Served) -> None:
    async with CanvasClient(served.url) as client:
        for number in range(40):
            canvas = await client.open(f"{'x' * 124}{number:04}", create=True)
        canvas.append("a")
        await canvas.settled()
        assert len(client._streams) == 3
