"""Listeners on raw connections that do as little as they can, so that they are not what is measured.

One of a canvas reads what it hears (`Listener`). All others share one buffer and count bytes (`Sink`); they look into
them only while they wait for a certain one, or note the time of each ack (`Stopwatch`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final, TypeVar

from tests.bench.credentials import LINE

PATIENCE_S: Final = 60.0

_ACK: Final = b'"type":"ack"'
_CONFLICT: Final = b'"type":"conflict"'
_START: Final = b'"type":"start"'
_VERSION: Final = b'"server_version":"'
_ID: Final = b"\nid: "
"""Of the frames that made a version: the texts that are measured have it nowhere else."""

_BUFFER: Final = memoryview(bytearray(256 * 1024))


class Listener(asyncio.Protocol):
    """Counts acks and conflicts, and keeps the newest version as the JSON text that told it."""

    def __init__(self, ref: str) -> None:
        self._ref = ref
        self._held = b""
        self.acks = 0
        self.conflicts = 0
        self.version = b""
        self.received_bytes = 0
        self.awaited = b""
        """It looks for these bytes, if there are any, and forgets them when they came."""
        self.acks_s: list[float] | None = None
        """When each ack came, if somebody put a list there."""
        self.ended = False

    @property
    def outcomes(self) -> int:
        """How many operations it knows the end of."""
        return self.acks + self.conflicts

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(_request(self._ref))

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        whole, _, rest = (self._held + data).rpartition(b"\n")
        self._held = rest
        acks = whole.count(_ACK)
        self.acks += acks
        self.conflicts += whole.count(_CONFLICT)
        start = whole.rfind(_ID) + len(_ID)
        if start >= len(_ID):
            self.version = b'W/\\"%s\\"' % whole[start:].partition(b"\n")[0]
        elif not self.version and _VERSION in whole:
            self.version = whole.partition(_VERSION)[2].partition(b'",')[0]
        if self.acks_s is not None:
            self.acks_s += [perf_counter()] * acks
        if self.awaited and self.awaited in whole:
            self.awaited = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


class Sink(asyncio.BufferedProtocol):
    """Counts the bytes of a stream.

    Args:
        ref: of the canvas.
        last_event_id: where to resume; empty to begin.
    """

    def __init__(self, ref: str, last_event_id: str = "") -> None:
        self._request = _request(ref, last_event_id)
        self.awaited = _START
        """As a listener's; first of all it awaits the start of the stream."""
        self._tail = b""
        self.received_bytes = 0
        self.came_s: float | None = None
        """When the last that it awaited came."""
        self.ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.received_bytes += nbytes
        if self.awaited:
            data = self._tail + bytes(_BUFFER[:nbytes])
            self._tail = data[-len(self.awaited) :]
            if self.awaited in data:
                self.awaited, self.came_s = b"", perf_counter()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


class Stopwatch(Sink):
    """Notes when each ack came."""

    def __init__(self, ref: str, last_event_id: str = "") -> None:
        super().__init__(ref, last_event_id)
        self.acks_s: list[float] = []

    def buffer_updated(self, nbytes: int) -> None:
        acks = bytes(_BUFFER[:nbytes]).count(_ACK)
        self.acks_s += [perf_counter()] * acks
        super().buffer_updated(nbytes)


AnySink = TypeVar("AnySink", bound=Sink)


@asynccontextmanager
async def listening(port: int, ref: str) -> AsyncIterator[Listener]:
    """Open a stream and yield its listener once it knows a version."""
    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_connection(lambda: Listener(ref), "127.0.0.1", port)
    await until(lambda: bool(listener.version))
    yield listener
    transport.close()


@asynccontextmanager
async def sinking(port: int, make: Callable[[], AnySink], count: int) -> AsyncIterator[Sequence[AnySink]]:
    """Open streams one after the other and yield their sinks once all have begun."""
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(make, "127.0.0.1", port) for _ in range(count)]
    sinks = [sink for _transport, sink in pairs]
    await until(lambda: not any(sink.awaited for sink in sinks))
    yield sinks
    for transport, _sink in pairs:
        transport.close()


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds, looked at every millisecond.

    Raises:
        TimeoutError: it never does.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - an event would cost each listener more than it takes to look
            await asyncio.sleep(0.001)


def _request(ref: str, last_event_id: str = "") -> bytes:
    resume = f"&last_event_id={last_event_id}" if last_event_id else ""
    target = f"/api/v2/canvas/{ref}/ops:listen?unit=codepoint&snapshot=false{resume}"
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + LINE + b"\r\n"
