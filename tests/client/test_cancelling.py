"""Whoever is cancelled leaves nothing behind: no task, no thread, and nobody who waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx2
import pytest

from canvas_server.client import CanvasClient, ClientError, EndedError
from canvas_server.client.sync import CanvasClient as SyncCanvasClient
from tests.client.meddling import Meddling, Pass
from tests.client.waiting import eventually
from tests.serving import Canvas, Served

PLACES = 60
"""In the life of a client, at which it is cancelled."""


async def write_and_leave(made: Canvas) -> None:
    async with CanvasClient(made.served.url) as client:
        canvas = await client.open(made.ref)
        async with canvas.write_stream() as writer, canvas.events() as events:
            await writer.write("a")
            await anext(events)
            canvas.append("b")
            await canvas.settled()


async def close_twice(made: Canvas) -> None:
    client = CanvasClient(made.served.url)
    try:
        await client.open(made.ref)
    finally:
        try:
            await client.aclose()
        finally:
            await client.aclose()


async def turns_of(work: Awaitable[None]) -> int:
    """Return how many turns of the loop something takes."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    return turns


async def cancelled_after(turns: int, work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    # Once more, while it is closing.
    for _ in range(turns % 7):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("life", [write_and_leave, close_twice])
async def test_a_block_that_is_cancelled_anywhere_leaves_no_task(
    served: Served, life: Callable[[Canvas], Awaitable[None]]
) -> None:
    """A second cancellation, while the first one closed the client, left its stream and its sessions running."""
    made, tasks = served.canvas("x"), asyncio.all_tasks()
    whole = await turns_of(life(made))
    for place in range(PLACES):
        await cancelled_after(1 + whole * place // PLACES, life(made))
        await eventually(lambda: asyncio.all_tasks() <= tasks)


async def test_closing_that_is_cancelled_closes_all_the_same(served: Served) -> None:
    made, tasks = served.canvas("x"), asyncio.all_tasks()
    for turns in range(1, 12):
        client = CanvasClient(served.url)
        canvas = await client.open(made.ref)
        writer = await canvas.write_stream().__aenter__()
        await writer.write("a")
        await cancelled_after(turns, client.aclose())
        await eventually(lambda: asyncio.all_tasks() <= tasks)
        assert canvas.state == "ended"


async def test_a_writer_whose_session_ends_says_what_was_not_written(served: Served) -> None:
    """It was left without a word, as if all had been applied."""
    made, transport = served.canvas("x"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)

        async def meddle(_number: int, _pass_on: Pass) -> httpx2.Response:
            raise httpx2.ConnectError("nobody is there")

        transport.meddle = meddle
        writer = await canvas.write_stream().__aenter__()
        await writer.write("lost")
        await canvas.aclose()
        with pytest.raises(EndedError):
            await writer.aclose()
        assert writer.unwritten == "lost"


async def test_a_writer_that_fails_in_an_unknown_way_says_so(served: Served) -> None:
    """Its task ended, and leaving the block was as if all had been applied."""
    made, transport = served.canvas("x"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)

        async def meddle(_number: int, _pass_on: Pass) -> httpx2.Response:
            raise ZeroDivisionError

        transport.meddle = meddle
        with pytest.raises(ClientError, match="failed"):
            async with canvas.write_stream() as writer:
                await writer.write("lost")


async def test_a_pause_after_conflicts_does_not_write_into_a_recovery(served: Served) -> None:
    """The pause began when all was well, and what was sent after it disturbed what was sent again after a crash."""
    made, transport = served.canvas("x"), Meddling()
    async with CanvasClient(served.url, transport=transport) as client:
        canvas = await client.open(made.ref)
        transport.meddle = lambda _number, pass_on: pass_on()
        courier, sent_in = canvas._courier, list[str]()
        next_request = courier._next_request

        def noted() -> object:
            sent_in.append(canvas.state)
            return next_request()

        courier._next_request = noted  # type: ignore[method-assign, assignment]
        courier._conflicts = 2
        canvas.append("y")
        await asyncio.sleep(0.05)
        canvas._listening.cut_off(None)
        canvas._stream.renew()
        await canvas.settled()
        assert made.text == "xy"
        assert set(sent_in) == {"live"}


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    before = threading.active_count()
    with ThreadPoolExecutor() as pool:
        yield pool
    assert threading.active_count() == before


def test_a_program_that_waits_is_told_when_another_thread_closes_the_client(served: Served) -> None:
    """Its wait was for a loop that had been stopped, and never ended."""
    made = served.canvas("x")
    with threads() as pool, SyncCanvasClient(served.url) as client:
        canvas = client.open(made.ref)
        events = canvas.events()
        waits: list[Future[object]] = [
            pool.submit(canvas.wait, "never"),
            pool.submit(client._loop.run, asyncio.sleep(60)),
            pool.submit(list, events),
        ]
        while not all(wait.running() for wait in waits):
            pass
        client.close()
        with pytest.raises(ClientError):
            waits[0].result(10)
        with pytest.raises(EndedError):
            waits[1].result(10)
        waits[2].result(10)


def test_a_client_may_be_closed_twice(served: Served) -> None:
    """Leaving the block of one that was closed in it raised."""
    with SyncCanvasClient(served.url) as client:
        client.open(served.canvas("x").ref)
        client.close()
        client.close()
    with pytest.raises(EndedError):
        client.list()
