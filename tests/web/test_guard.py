"""What reaches the application and what does not, asked over real sockets of a real uvicorn, on both event loops."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Final, Literal

import h11
import pytest
import uvicorn
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from canvas_server.web.admission import SECURITY_HEADERS
from canvas_server.web.connection import GuardLimits
from canvas_server.web.guard import guarded

PATIENCE_S: Final = 20.0
"""Only a failing test waits that long."""

IMPATIENT: Final = GuardLimits(
    first_byte_s=0.2,
    headers_s=0.2,
    body_s=0.2,
    body_grace_s=0.1,
    body_bytes_per_s_min=1,
    keep_alive_s=0.2,
    stalled_write_s=0.2,
    linger_s=0.2,
    look_s=0.02,
)
STRICT: Final = GuardLimits(pipelined_max=4)

GET: Final = b"GET /echo HTTP/1.1\r\nHost: a\r\n"
POST: Final = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST: Final = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@dataclass
class App:
    """Echoes, holds, streams or refuses without reading, by path; and remembers what it was asked."""

    seen: list[tuple[str, str, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    gone: SimpleQueue[str] = field(default_factory=SimpleQueue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/hold":
                await _start(send, 200)
                await send({"type": "http.response.body", "body": b"held", "more_body": True})
                await _until_gone(receive)
                self.gone.put("/hold")
            case "/flood":
                await _start(send, 200)
                for _ in range(1024):
                    await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
                self.gone.put("/flood")
            case "/early":
                await _start(send, 413)
                await send({"type": "http.response.body", "body": b"early"})
            case path:
                body = await _read(receive)
                if body is None:
                    self.gone.put(path)
                    return
                self.seen.append((scope["method"], path, scope["headers"], body))
                await _start(send, 200)
                await send({"type": "http.response.body", "body": b"[%s]" % body})


async def _start(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


@dataclass
class Served:
    """A running server, and the application behind it."""

    app: App
    port: int

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as sock:
            yield sock

    def ask(self, *pieces: bytes) -> bytes:
        """Send pieces on a new connection and return all that comes back before it closes."""
        with self.connected() as sock:
            for piece in pieces:
                with suppress(ConnectionError):
                    sock.sendall(piece)
            return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while piece := sock.recv(65536):
            received += piece
    return received


def read_until(sock: socket.socket, ending: bytes) -> bytes:
    received = b""
    while not received.endswith(ending):
        piece = sock.recv(65536)
        assert piece, f"closed after {received!r}"
        received += piece
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json\r\n" in head
    assert b"connection: close" in head
    told = json.loads(body)
    assert isinstance(told, dict)
    assert told["status"] == status(answer)
    return told


@contextmanager
def serving(
    limits: GuardLimits, loop_factory: LoopFactory, parser: Literal["httptools", "h11"] = "httptools"
) -> Iterator[Served]:
    app = App()
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=guarded(limits, parser=parser),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=[(name.decode(), value.decode()) for name, value in SECURITY_HEADERS],
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(server.serve([sock]))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Served(app, sock.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


LOOPS: Final = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.fixture(scope="module", params=LOOPS)
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    factory: LoopFactory = request.param
    return factory


@pytest.fixture(scope="module")
def strict(loop_factory: LoopFactory) -> Iterator[Served]:
    with serving(STRICT, loop_factory) as served:
        yield served


@pytest.fixture(scope="module")
def impatient(loop_factory: LoopFactory) -> Iterator[Served]:
    with serving(IMPATIENT, loop_factory) as served:
        yield served
