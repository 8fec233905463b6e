"""Readers of jobs' streams on raw connections, and single requests; they do as little as they can."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from time import monotonic_ns, perf_counter
from typing import Any, Final, NamedTuple

import msgspec

from tests.bench.listeners import PATIENCE_S

JOBS: Final = "/api/v1/dialogues/generate/jobs"
NOTHING: Final[Mapping[str, str]] = {}

_LAST: Final = (b'"type":"complete"', b'"type":"error"')
_CHUNK: Final = b'"type":"chunk"'
_CONTENT: Final = re.compile(rb'"content":"([^"]*)"')
_ID: Final = re.compile(rb"id: ([-0-9a-f]{36})\.")


class Answer(NamedTuple):
    """What came of a request."""

    status: int
    body: Any
    """Out of JSON."""
    size_bytes: int
    took_ms: float


class Reader(asyncio.Protocol):
    """Reads a stream to its last event.

    Args:
        target: path and query.
        headers: besides `Host`.
    """

    def __init__(self, target: str, headers: Mapping[str, str] = NOTHING) -> None:
        self._request = _head(f"GET {target}", {"Host": "127.0.0.1", **headers})
        self._held = b""
        loop = asyncio.get_running_loop()
        self.received_bytes = 0
        self.chunks = 0
        self.job_id = ""
        """Of a stream that started its job, once a chunk came."""
        self.begun: Final[asyncio.Future[None]] = loop.create_future()
        """Done with the first chunk."""
        self.ended: Final[asyncio.Future[bytes]] = loop.create_future()
        """Done with the last event, which is in its result."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.received_bytes:
            assert data.startswith(b"HTTP/1.1 200"), data
        self.received_bytes += len(data)
        whole, _, self._held = (self._held + data).rpartition(b"\n\n")
        if not whole:
            return
        self.take(whole)
        if chunks := whole.count(_CHUNK):
            self._begin(whole, chunks)
        if any(last in whole for last in _LAST):
            self.transport.close()
            self.ended.set_result(whole[whole.rfind(b"data: ") :])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the stream ended before its job"))

    def take(self, events: bytes) -> None:
        """Take in whole events."""

    def _begin(self, whole: bytes, chunks: int) -> None:
        if not self.chunks:
            told = _ID.search(whole)
            self.job_id = told[1].decode() if told else ""
            self.begun.set_result(None)
        self.chunks += chunks


class StampReader(Reader):
    """Notes how long each word took, from the moment that the double wrote into it."""

    def __init__(self, target: str, headers: Mapping[str, str] = NOTHING) -> None:
        super().__init__(target, headers)
        self.delays_ms: list[float] = []

    def take(self, events: bytes) -> None:
        now_ns = monotonic_ns()
        stamps = b"".join(_CONTENT.findall(events)).split()
        self.delays_ms += [(now_ns - int(stamp)) / 1e6 for stamp in stamps]


def generate(provider: str, prompt: str) -> str:
    """Return the target that starts a job and streams it."""
    return f"/api/v1/generate/stream?provider={provider}&prompt={prompt}"


async def read(port: int, reader: Reader) -> Reader:
    """Have a reader read a stream; return it when the stream has ended."""
    await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", port)
    async with asyncio.timeout(PATIENCE_S):
        await reader.ended
    return reader


async def ask(port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] = NOTHING) -> Answer:
    """Send a request over a connection of its own, and return what came of it."""
    content = b"" if body is None else msgspec.json.encode(body)
    sent_headers = {
        "Host": "127.0.0.1",
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        **headers,
    }
    request = _head(f"{method} {path}", sent_headers) + content
    began_s = perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
    took_ms = (perf_counter() - began_s) * 1000
    told, _, sent = answer.partition(b"\r\n\r\n")
    return Answer(int(told.split(maxsplit=2)[1]), msgspec.json.decode(sent), len(answer), took_ms)


def _head(what: str, headers: Mapping[str, str]) -> bytes:
    return "\r\n".join([f"{what} HTTP/1.1", *map(": ".join, headers.items()), "\r\n"]).encode()
