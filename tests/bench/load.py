"""Load: writers and listeners on raw connections, in one process that is not the server's.

Nothing is parsed that need not be: a writer counts answers, a listener counts acks and knows where the newest version
stands in the bytes. Requests are not pipelined.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http.client import HTTPConnection
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

PATIENCE_S: Final = 30.0

_PAUSE_S: Final = 0.05
"""Before a request that the server was too busy for is followed by another one."""

_ACK: Final = b'"type":"ack"'
_CONFLICT: Final = b'"type":"conflict"'
_VERSION: Final = b'"server_version":"'
_SENT: Final = re.compile(rb'"client_timestamp":([0-9]+)')


def post(ref: str, body: bytes, media_type: bytes = b"application/json") -> bytes:
    """Return a request that submits operations."""
    head = b"POST /api/v2/canvas/%s/ops:stream?unit=codepoint HTTP/1.1\r\nHost: 127.0.0.1\r\n" % ref.encode()
    return head + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (media_type, len(body)) + body


def create(port: int, ref: str, content: str) -> None:
    """Create a canvas."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    body = msgspec.json.encode({"content": content})
    connection.request("PUT", f"/api/v2/canvas/{ref}", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 201
    connection.close()


class Written(NamedTuple):
    """What writers did."""

    answers: int
    refused: int
    """Requests that the server was too busy for."""
    took_s: float


class Writer(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is there, or a little later if it was refused.

    Args:
        next_request: returns it, empty if it is too early for one, or None to stop.
    """

    def __init__(self, next_request: Callable[[], bytes | None]) -> None:
        self._next_request = next_request
        self._held = b""
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
            asyncio.get_running_loop().call_later(_PAUSE_S, self._send)
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
            self._transport.write(request)
        else:
            asyncio.get_running_loop().call_later(0.001, self._send)


class Listener(asyncio.Protocol):
    """Counts acks, and keeps the newest version as the JSON text that told it."""

    def __init__(self, ref: str) -> None:
        self._ref = ref
        self._held = b""
        self.acks = 0
        self.outcomes = 0
        self.version = b""
        self.ended = False
        self.notes_times = False
        self.received_s: list[tuple[int, float]] = []
        """Of each ack with a client's time stamp: the stamp, and when it came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        target = f"/api/v2/canvas/{self._ref}/ops:listen?unit=codepoint&snapshot=false"
        transport.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        whole, _, rest = (self._held + data).rpartition(b"\n")
        self._held = rest
        self.acks += whole.count(_ACK)
        self.outcomes += whole.count(_ACK) + whole.count(_CONFLICT)
        place = whole.rfind(_VERSION)
        if place >= 0:
            start = place + len(_VERSION)
            self.version = whole[start : whole.find(b'\\""', start) + 2]
        if self.notes_times:
            self._note_times(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    def _note_times(self, data: bytes) -> None:
        now_s = perf_counter()
        self.received_s.extend((int(stamp), now_s) for stamp in _SENT.findall(data))


@asynccontextmanager
async def listening(port: int, ref: str, count: int) -> AsyncIterator[Sequence[Listener]]:
    """Open streams and yield their listeners once each knows a version."""
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(partial(Listener, ref), "127.0.0.1", port) for _ in range(count)]
    listeners = [listener for _transport, listener in pairs]
    await until(lambda: all(listener.version for listener in listeners))
    yield listeners
    for transport, _listener in pairs:
        transport.close()


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds, looked at every millisecond.

    Raises:
        TimeoutError: it never does.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - an event would cost each listener more than it takes to look
            await asyncio.sleep(0.001)


async def write_for(port: int, connections: int, seconds: float, request: Callable[[], bytes]) -> Written:
    """Write over several connections at once.

    Args:
        port: of the server.
        connections: each waits for an answer before it goes on.
        seconds: how long.
        request: returns the next request, empty if it is too early for one.
    """
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    end_s = started_s + seconds

    def writer() -> Writer:
        return Writer(lambda: request() if loop.time() < end_s else None)

    pairs = [await loop.create_connection(writer, "127.0.0.1", port) for _ in range(connections)]
    async with asyncio.timeout(seconds + PATIENCE_S):
        await asyncio.gather(*(writer.stopped for _transport, writer in pairs))
    writers = [writer for _transport, writer in pairs]
    answers, refused = sum(writer.answers for writer in writers), sum(writer.refused for writer in writers)
    return Written(answers, refused, loop.time() - started_s)
