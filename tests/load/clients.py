"""Clients that cost little, so that many fit beside the server: raw HTTP, and nothing parsed that need not be.

`Reader` listens, `Author` sends operations on one connection; both belong to one event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Final

import msgspec

from tests.listener import PATIENCE_S
from tests.serving import Json

_ACK: Final = b'"type":"ack"'
_ENDINGS: Final = re.compile(rb'"type":"(?:ack|conflict|error)".*?"op_id":"([^"]+)"')
_ID: Final = re.compile(rb"^id: (.+)$", re.MULTILINE)
_SENT: Final = re.compile(rb'"client_timestamp":([0-9]+)')
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n")


class Reader(asyncio.Protocol):
    """Listens to one canvas.

    Args:
        target: path and query.
        last_id: where to resume; empty for a first visit.
        keeps_op_ids: whether to remember what every operation came to.

    Attributes:
        first_byte_s: how long the first byte took from connecting.
        acks: how many came.
        ended: the op_ids of all terminal events, in order, if they are kept.
        delays_ms: of each ack whose author said when it was sent, in microseconds of `perf_counter`.
        last_id: of the last state heard.
        is_greeted: whether `start` has come, and the snapshot if one was to come.
    """

    def __init__(self, target: str, last_id: str = "", *, keeps_op_ids: bool = False) -> None:
        self._target = target
        self._keeps_op_ids = keeps_op_ids
        self._held = b""
        self.first_byte_s = 0.0
        self.acks = 0
        self.ended: list[str] = []
        self.delays_ms: list[float] = []
        self.last_id = last_id
        self.is_greeted = False
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._started_s = perf_counter()
        resume = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        transport.write(f"GET {self._target} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now_s = perf_counter()
        self.first_byte_s = self.first_byte_s or now_s - self._started_s
        whole, _, self._held = (self._held + data).rpartition(b"\n")
        self.acks += whole.count(_ACK)
        self.is_greeted = self.is_greeted or b'"type":"snapshot"' in whole or b'"resumed":true' in whole
        for told in _ID.findall(whole)[-1:]:
            self.last_id = told.decode()
        self.delays_ms += [now_s * 1000 - int(sent_us) / 1000 for sent_us in _SENT.findall(whole)]
        if self._keeps_op_ids:
            self.ended += [op_id.decode() for op_id in _ENDINGS.findall(whole)]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def reading(
    port: int, targets: Sequence[str], last_id: str = "", *, keeps_op_ids: bool = False
) -> AsyncIterator[Sequence[Reader]]:
    """Open streams, all at once, and yield their readers when each was greeted; close them in the end."""
    loop = asyncio.get_running_loop()
    makers = [partial(Reader, target, last_id, keeps_op_ids=keeps_op_ids) for target in targets]
    pairs = await asyncio.gather(*(loop.create_connection(maker, "127.0.0.1", port) for maker in makers))
    readers = [reader for _, reader in pairs]
    try:
        await until(lambda: all(reader.is_greeted for reader in readers))
        yield readers
    finally:
        for reader in readers:
            reader.close()


class Author:
    """Sends one request after the other over a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Author:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer."""
        sent = b"" if body is None else msgspec.json.encode(body)
        self._writer.write(request(method, path, sent))
        return await self.answer()

    async def version(self, ref: str) -> str:
        """Return the newest version of a canvas."""
        status, answer = await self.ask("GET", f"/api/v2/canvas/{ref}")
        assert status == 200, answer
        version: str = msgspec.json.decode(answer)["version"]
        return version

    async def answer(self) -> tuple[int, bytes]:
        """Return status and body of the next answer."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            told = _LENGTH.search(head.lower())
            return int(head[9:12]), await self._reader.readexactly(int(told[1])) if told else b""


def request(method: str, path: str, body: bytes) -> bytes:
    """Return a request with a JSON body, or with none."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Return when a condition holds, looked at every few milliseconds.

    Raises:
        TimeoutError: it never does.
    """
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - an event would cost each reader more than it takes to look
            await asyncio.sleep(0.005)


async def stream_lines(
    port: int, ref: str, version: str, operations: Sequence[Json], per_s: float
) -> tuple[int, bytes]:
    """Send operations as lines of one request, evenly paced, each with the time of its sending; return the answer.

    Each stands on the one before, so none conflicts as long as nobody else writes.
    """
    async with Author(port) as author:
        head = f"POST /api/v2/canvas/{ref}/ops:stream HTTP/1.1\r\nHost: localhost\r\n"
        head += "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        author._writer.write(head.encode())
        loop = asyncio.get_running_loop()
        start_s, known = loop.time(), {"client_version": version}
        for number, operation in enumerate(operations):
            await asyncio.sleep(max(0.0, start_s + number / per_s - loop.time()))
            stamped = {**operation, **known, "timestamp": round(perf_counter() * 1e6)}
            line, known = msgspec.json.encode(stamped) + b"\n", {}
            author._writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await author._writer.drain()
        author._writer.write(b"0\r\n\r\n")
        return await author.answer()
