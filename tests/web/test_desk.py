"""What is answered at the desk: the bytes are those of the ordinary way, and nothing happens twice."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Final, cast

import msgspec
import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from canvas_server.config.settings import LogSettings
from canvas_server.core.errors import InvalidRequestError
from canvas_server.server import ServerLimits, uvicorn_config
from canvas_server.web.admission import Admission, AdmissionRules
from canvas_server.web.connection import GuardLimits
from canvas_server.web.desk import Desk
from canvas_server.web.request_id import RequestIds
from tests.listener import PATIENCE_S
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, serving

BAD_CHUNK: Final = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n"

_VARYING: Final = re.compile(
    rb"(?<=duration_ms\":)[0-9.]+|(?<=date: )[^\r]+|(?<=content-length: )[0-9]+|(?<=x-request-id: )[0-9a-f]{8}-[0-9]+"
)


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Served]:
    """A server that logs each request, which the desk does not."""
    with serving(msgspec.structs.replace(IN_MEMORY, log=LogSettings(access=True))) as running:
        yield running


def post(canvas: Canvas, body: bytes, *fields: str, version: str = "1.1") -> bytes:
    lines = [f"POST {canvas.path}/ops:stream HTTP/{version}", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body


def body_of(*operations: Json) -> bytes:
    return json.dumps({"ops": operations}).encode()


def exchanged(port: int, *pieces: bytes) -> bytes:
    """Send pieces, and return all that comes back before the connection closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        for piece in pieces:
            sock.sendall(piece)
        return received_on(sock)


def received_on(sock: socket.socket) -> bytes:
    """Return all that comes until the connection closes."""
    received = b""
    while piece := sock.recv(65536):
        received += piece
    return received


def answers(received: bytes) -> list[bytes]:
    """Cut what came back at its status lines; what differs from time to time is taken out."""
    return [_VARYING.sub(b"-", part) for part in re.split(rb"(?=HTTP/1\.1 )", received) if part]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: close",),
        ("Connection: close", "Origin: http://evil.example"),
        ("Connection: close", "X-Client-Id: not a name"),
        ("Connection: close", "Authorization: Bearer nobody"),
        ("Connection: close", "Content-Encoding: gzip"),
        ("Connection: close", "Expect: 100-continue"),
        ("Connection: close", "X-Request-Id: mine.1"),
        ("Connection: close", "X-Request-Id: not mine"),
    ],
)
@pytest.mark.parametrize("content", ["x", 7, "\x00"])
def test_the_desk_answers_in_the_bytes_of_the_ordinary_way(
    served: Served, ordinary: Served, version: str, fields: tuple[str, ...], content: object
) -> None:
    told = []
    for server in (served, ordinary):
        canvas = server.canvas("text", ref=None)
        body = body_of({**append("x"), "content": content, "client_version": canvas.version})
        received = exchanged(server.port, post(canvas, body, *fields, version=version))
        told.append([part.replace(canvas.ref.encode(), b"-") for part in answers(received)])
    assert told[0] == told[1]
    assert told[0]


def test_requests_in_one_piece_are_answered_in_order(served: Served) -> None:
    canvas = served.canvas("text")
    first, bad, last = (append(word, scope="range", client_version=canvas.version) for word in ("a", "b", "c"))
    get = f"GET {canvas.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/markdown\r\n\r\n".encode()
    asked = [post(canvas, body_of(first)), get, post(canvas, b"{"), post(canvas, body_of({**bad, "content": 1}))]
    received = exchanged(served.port, b"".join(asked) + post(canvas, body_of(last), "Connection: close"))
    statuses = [part.split(b" ", 2)[1] for part in answers(received)]
    assert statuses == [b"202", b"200", b"400", b"422", b"202"]
    assert b"\r\n\r\ntexta" in received
    assert canvas.text == "textac"


def test_a_body_that_comes_in_pieces_goes_the_ordinary_way(served: Served) -> None:
    canvas = served.canvas("text")
    request = post(canvas, body_of(append("!", client_version=canvas.version)), "Connection: close")
    received = exchanged(served.port, *(request[at : at + 40] for at in range(0, len(request), 40)))
    assert received.startswith(b"HTTP/1.1 202 ")
    assert canvas.text == "text!"


def test_a_body_that_is_json_so_far_is_not_taken_before_its_end(served: Served) -> None:
    canvas = served.canvas("text")
    request = post(canvas, body_of(append("!", client_version=canvas.version)) + b" x", "Connection: close")
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as sock:
        sock.sendall(request[:-1])
        assert canvas.text == "text"  # asked and answered, so what came before was seen
        sock.sendall(request[-1:])
        assert received_on(sock).startswith(b"HTTP/1.1 400 ")
    assert canvas.text == "text"


class Visit:
    """A request at the desk, and what becomes of it."""

    def __init__(self, told: list[tuple[str, bytes]], body: bytes) -> None:
        self.loop = asyncio.get_running_loop()
        self.server_state = ServerState()
        self._told = told
        cycle = SimpleNamespace(
            more_body=False,
            waiting_for_100_continue=False,
            flow=SimpleNamespace(write_paused=False),
            scope={"method": "POST", "path": "/", "state": {}},
            body=bytearray(body),
            disconnected=False,
            keep_alive=True,
            transport=SimpleNamespace(
                write=lambda answer: told.append(("answered", answer.rpartition(b"\n")[2])),
                abort=lambda: told.append(("aborted", body)),
            ),
            on_response=lambda: None,
        )
        self.cycle = cast("RequestResponseCycle", cycle)

    def start_task(self, cycle: RequestResponseCycle, _app: ASGI3Application) -> None:
        if cycle.body == b"!":
            raise ArithmeticError
        self._told.append(("started", bytes(cycle.body)))


async def test_all_that_came_in_one_turn_is_asked_before_the_first_is_answered_and_nobody_gets_anothers_answer() -> (
    None
):
    told: list[tuple[str, bytes]] = []

    def at_once(_scope: Scope, body: bytes) -> bytes | None:
        told.append(("asked", body))
        return None if body in (b"b", b"!") else body.upper()

    desk = Desk(at_once, RequestIds())
    app = cast("ASGI3Application", None)
    for body in (b"a", b"b", b"!", b"c"):
        visit = Visit(told, body)
        desk.take(visit, visit.cycle, app)
    assert told == []
    await asyncio.sleep(0)
    assert told == [
        *(("asked", body) for body in (b"a", b"b", b"!", b"c")),
        ("answered", b"A"),
        ("started", b"b"),
        ("aborted", b"!"),
        ("answered", b"C"),
    ]
    desk.serve()
    assert len(told) == 8, "nobody is served twice"


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("rubbish", [b"rubbish\r\n\r\n", BAD_CHUNK], ids=["head", "body"])
def test_what_came_whole_before_rubbish_is_answered_first(served: Served, count: int, rubbish: bytes) -> None:
    canvas = served.canvas("text")
    version = canvas.version
    asked = [post(canvas, body_of(append("!", scope="range", client_version=version))) for _ in range(count)]
    received = exchanged(served.port, b"".join([*asked, rubbish]))
    assert [part.split(b" ", 2)[1] for part in answers(received)] == [b"202"] * count + [b"400"]
    assert canvas.text == "text" + "!" * count


@pytest.mark.parametrize(
    ("method", "body", "status"), [("GET", b"", b"200"), ("POST", b"{", b"400"), ("POST", b"", b"202")]
)
def test_a_client_that_has_said_all_still_hears_the_answer(
    served: Served, method: str, body: bytes, status: bytes
) -> None:
    canvas = served.canvas("text")
    assert canvas.text == "text"
    request = f"GET {canvas.path}/outline HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    if method == "POST":
        request = post(canvas, body or body_of(append("!", client_version=canvas.version)))
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S) as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            assert received_on(sock).startswith(b"HTTP/1.1 " + status)


def test_an_operation_counts_though_its_author_hangs_up_at_once(served: Served) -> None:
    canvas = served.canvas("text")
    request = post(canvas, body_of(append("!", client_version=canvas.version)))
    with canvas.listen() as listener:
        with socket.create_connection(("127.0.0.1", served.port)) as sock:
            sock.sendall(request)
        assert listener.expect("ack")["changes"][0]["insert"] == "!"


def test_requests_of_many_connections_are_answered_each_on_its_own(served: Served) -> None:
    canvas = served.canvas("text")
    version = canvas.version
    with ExitStack() as stack:
        socks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE_S))
            for _ in range(20)
        ]
        for number, sock in enumerate(socks):
            body = body_of(*[append("!", scope="range", client_version=version)] * (number % 2))
            sock.sendall(post(canvas, body, "Connection: close"))
        statuses = [received_on(sock).split(b" ", 2)[1] for sock in socks]
    assert statuses == [b"422", b"202"] * 10
    assert canvas.text == "text" + "!" * 10


def test_an_operation_that_is_sent_again_is_applied_once(served: Served) -> None:
    canvas = served.canvas("text")
    request = post(canvas, body_of(append("!", client_version=canvas.version)))
    received = exchanged(
        served.port, request + request[:-1], request[-1:] + request.replace(b"Host", b"Connection: close\r\nHost")
    )
    assert received.count(b"HTTP/1.1 202 ") == 3
    assert canvas.text == "text!"


async def _asked(at_once_fails: bool) -> tuple[bytes, list[bytes]]:
    """Ask a server whose application remembers what came to it, and whose desk refuses or has a bug."""
    seen: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message: Message = await receive()
        seen.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def at_once(scope: Scope, body: bytes) -> bytes | None:
        if at_once_fails:
            raise InvalidRequestError("a bug", hint="")
        return None

    door = Admission(app, AdmissionRules(), at_once)
    config = uvicorn_config(door, ServerLimits(GuardLimits(), "httptools"), door.at_once)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serving_it = asyncio.ensure_future(server.serve([sock]))
        port = sock.getsockname()[1]
        request = b"POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
        received = await asyncio.to_thread(exchanged, port, request)
        server.should_exit = True
        await serving_it
    return received, seen


@pytest.mark.parametrize("at_once_fails", [True, False])
async def test_what_the_desk_does_not_answer_the_application_does(at_once_fails: bool) -> None:
    received, seen = await _asked(at_once_fails)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"\r\n\r\nok")
    assert seen == [b"body"]
