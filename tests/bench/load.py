"""Load: writers on raw connections, in one process that is not the server's. Requests are not pipelined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from itertools import cycle
from typing import Final, NamedTuple

import msgspec

from tests.bench.credentials import HEADERS
from tests.bench.listeners import PATIENCE_S

_PAUSE_S: Final = 0.05
"""Before a request that the server was too busy for is sent again."""

Requests = Callable[[], bytes]
"""Returns the next request, or nothing if it is too early for one."""


def create(port: int, ref: str, content: str) -> None:
    """Create a canvas."""
    _ask(port, "PUT", ref, msgspec.json.encode({"content": content}))


def close(port: int, ref: str) -> None:
    """Have a canvas saved and unloaded, so that nothing of it is left to do while the next one is measured."""
    _ask(port, "POST", f"{ref}:close", b"")


def _ask(port: int, method: str, path: str, body: bytes) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, f"/api/v2/canvas/{path}", body, {**HEADERS, "Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status in (200, 201, 202), (answer.status, answer.read())
    connection.close()


class Written(NamedTuple):
    """What writers did."""

    answers: int
    refused: int
    """Requests that the server was too busy for."""
    took_s: float


class Writer(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is there, and one that was refused again a little later.

    Args:
        next_request: returns it, empty if it is too early for one, or None to stop.
    """

    def __init__(self, next_request: Callable[[], bytes | None]) -> None:
        self._next_request = next_request
        self._held = b""
        self._sent: bytes = b""
        self.answers = 0
        self.refused = 0
        self.stopped = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        data = self._held + data
        if not data.endswith(b"}"):
            self._held = data
            return
        self._held = b""
        if data.startswith(b"HTTP/1.1 503"):
            self.refused += 1
            asyncio.get_running_loop().call_later(_PAUSE_S, self._transport.write, self._sent)
            return
        assert data.startswith(b"HTTP/1.1 202"), data
        self.answers += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.stopped.done():
            self.stopped.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        request = self._next_request()
        if request is None:
            self.stopped.set_result(None)
            self._transport.close()
        elif request:
            self._sent = request
            self._transport.write(request)
        else:
            asyncio.get_running_loop().call_later(0.001, self._send)


async def write_for(port: int, connections: int, seconds: float, sources: Sequence[Requests]) -> Written:
    """Write over several connections at once.

    Args:
        port: of the server.
        connections: each waits for an answer before it goes on.
        seconds: how long.
        sources: of requests, dealt out to the connections.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    end_s = started_s + seconds
    dealt = cycle(sources)

    def writer() -> Writer:
        source = next(dealt)
        return Writer(lambda: source() if loop.time() < end_s else None)

    pairs = [await loop.create_connection(writer, "127.0.0.1", port) for _ in range(connections)]
    async with asyncio.timeout(seconds + PATIENCE_S):
        await asyncio.gather(*(writer.stopped for _transport, writer in pairs))
    writers = [writer for _transport, writer in pairs]
    answers, refused = sum(writer.answers for writer in writers), sum(writer.refused for writer in writers)
    return Written(answers, refused, loop.time() - started_s)


async def write_once(port: int, request: bytes) -> None:
    """Send one request until it is accepted."""
    requests = iter([request])
    loop = asyncio.get_running_loop()
    _transport, writer = await loop.create_connection(lambda: Writer(lambda: next(requests, None)), "127.0.0.1", port)
    async with asyncio.timeout(PATIENCE_S):
        await writer.stopped
