"""A line to a server that cuts, loses and repeats: a proxy for HTTP/1.1 over TCP, in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Final, Literal

Fault = Literal["none", "away", "lost request", "lost answer", "twice", "slow"]

SLOW_S: Final = 0.01
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class BadLine:
    """Listens on a port that stays, and hands on to a server whose port may change.

    Attributes:
        port: where it listens.
        upstream: the port of the server.
        fault: what is done to what comes now; only writing requests are lost or repeated.
        streams: how many event streams are open through it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.port = 0
        self.upstream = 0
        self.fault: Fault = "none"
        self.streams = 0
        self._loop = loop
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Break all connections."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def end(self) -> None:
        """Break all connections, and wait until nobody is served."""
        self._cut()
        if self._serving:
            await asyncio.wait(self._serving)

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection of a client until either end breaks it."""
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._opened(writer), suppress(OSError, asyncio.IncompleteReadError):
            if self.fault != "away":
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
                with self._opened(up_writer):
                    answers = asyncio.ensure_future(self._answer(up_reader, writer))
                    await self._hand_on(reader, up_writer, answers)

    @contextmanager
    def _opened(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._open.add(writer)
        try:
            yield
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _hand_on(
        self, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter, answers: asyncio.Future[None]
    ) -> None:
        while (request := await _request(reader)) is not None:
            await self._hand_on_one(request, up_writer)
            if b"ops:listen" in request.partition(b"\r\n")[0]:
                self.streams += 1
                hung_up = asyncio.ensure_future(_end_of(reader))
                await asyncio.wait({answers, hung_up}, return_when=asyncio.FIRST_COMPLETED)
                hung_up.cancel()
                self.streams -= 1
                return

    async def _hand_on_one(self, request: bytes, up_writer: asyncio.StreamWriter) -> None:
        writes, fault = request.startswith(b"POST"), self.fault
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        if writes and fault == "lost request":
            raise ConnectionResetError
        if writes and fault == "twice":
            await self._ask(request)
        if writes and fault == "lost answer":
            await self._ask(request)
            raise ConnectionResetError
        up_writer.write(request)
        await up_writer.drain()

    async def _ask(self, request: bytes) -> None:
        """Ask the server, and tell nobody what it answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        writer.write(request)
        await reader.read(1)
        writer.transport.abort()

    async def _answer(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await up_reader.read(1 << 16):
                if self.fault == "slow":
                    await asyncio.sleep(SLOW_S)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _end_of(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        await reader.read(1)


@contextmanager
def bad_line() -> Iterator[BadLine]:
    """Run a line until the block ends."""
    started: Future[tuple[BadLine, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_run(started)), name="bad-line")
    thread.start()
    line, stop = started.result(10)
    try:
        yield line
    finally:
        line._loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _run(started: Future[tuple[BadLine, asyncio.Event]]) -> None:
    line, stop = BadLine(asyncio.get_running_loop()), asyncio.Event()
    server = await asyncio.start_server(line.take, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    started.set_result((line, stop))
    await stop.wait()
    server.close()
    await line.end()
