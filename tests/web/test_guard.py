"""What reaches the application and what does not, asked over real sockets of a real uvicorn, on both event loops."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue
from typing import Final, Literal

import h11
import httptools
import pytest
import uvicorn
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from canvas_server.web.admission import SECURITY_HEADERS
from canvas_server.web.connection import GuardLimits
from canvas_server.web.guard import _refusal_in, guarded

PATIENCE_S: Final = 20.0
"""Only a failing test waits that long."""

IMPATIENT: Final = GuardLimits(
    first_byte_s=1.0,
    headers_s=1.0,
    body_s=0.2,
    body_grace_s=0.1,
    body_bytes_per_s_min=1,
    keep_alive_s=0.2,
    stalled_write_s=0.2,
    linger_s=0.2,
    look_s=0.02,
)
STRICT: Final = GuardLimits(pipelined_max=4, linger_s=PATIENCE_S)

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
    release: Callable[[], object] = lambda: None
    """Lets `/late` read its body; from any thread."""

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
            case "/stream":
                await _start(send, 200)
                gone = asyncio.ensure_future(_until_gone(receive))
                while not gone.done():
                    await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
                    await asyncio.sleep(0)
                self.gone.put("/stream")
            case "/early":
                await _start(send, 413)
                await send({"type": "http.response.body", "body": b"early"})
            case path:
                if path == "/late":
                    released = asyncio.Event()
                    self.release = partial(asyncio.get_running_loop().call_soon_threadsafe, released.set)
                    await released.wait()
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
        body += bytes(message["body"])
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

    def ask_at_once(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send each on a connection of its own, and return what comes back on each before it closes."""
        with ExitStack() as stack:
            socks = [stack.enter_context(self.connected()) for _ in requests]
            for sock, request_bytes in zip(socks, requests, strict=True):
                sock.sendall(request_bytes)
            return [read_all(sock) for sock in socks]

    def wait_until_gone(self, path: str) -> None:
        """Wait until the application notices that the client of `path` has gone, or that nobody listens to it."""
        while self.app.gone.get(timeout=PATIENCE_S) != path:
            pass


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


def receive_to_the_end(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def send_without_end(sock: socket.socket) -> None:
    while True:
        sock.sendall(bytes(1000))


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


def _with(*lines: bytes, to: bytes = POST, body: bytes = b"") -> bytes:
    return to + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


AMBIGUOUS: Final = {
    "HTTP/0.9, as it was": b"GET /echo\r\n\r\n",
    "HTTP/0.9, by name": b"GET /echo HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET /echo HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2 in the words of HTTP/1": b"GET /echo HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no Host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two Hosts": _with(b"Host: b", to=GET),
    "two equal Hosts": _with(b"Host: a", to=GET),
    "two Hosts in HTTP/1.0": b"GET /echo HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "length, then chunks": _with(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks, then length": _with(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two equal lengths": _with(b"Content-Length: 1", b"Content-Length: 1", body=b"x"),
    "two lengths": _with(b"Content-Length: 1", b"Content-Length: 2", body=b"xx"),
    "a list of lengths": _with(b"Content-Length: 1, 1", body=b"x"),
    "a signed length": _with(b"Content-Length: +1", body=b"x"),
    "an empty length": _with(b"Content-Length: ", body=b"x"),
    "another coding": _with(b"Transfer-Encoding: gzip", body=b"1\r\nx\r\n0\r\n\r\n"),
    "another coding under chunks": _with(b"Transfer-Encoding: gzip, chunked", body=b"1\r\nx\r\n0\r\n\r\n"),
    "two codings": _with(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": b"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": _with(b"X: a", b" b", to=GET),
    "a folded first line": b"GET /echo HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
    "a space before the colon": _with(b"X : a", to=GET),
    "a line without a colon": _with(b"X", to=GET),
    "a bare CR": _with(b"X: a\rb", to=GET),
    "a bare LF behind a field": GET + b"X: a\nY: b\r\n\r\n",
    "a bare LF at the end": GET + b"X: a\r\n\n",
    "bare LFs only": b"GET /echo HTTP/1.1\nHost: a\n\n",
    "a NUL": _with(b"X: a\0b", to=GET),
    "a target with a scheme": b"GET http://a/echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a fragment": b"GET /echo#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is a star": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target beyond ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT to a path": b"CONNECT /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\nx\r\n0\r\n\r\n",
    "a chunk with a sign": CHUNKED + b"-1\r\nx\r\n0\r\n\r\n",
    "a chunk that overflows": CHUNKED + b"fffffffffffffffff\r\nx",
    "a chunk that is longer than it says": CHUNKED + b"1\r\nxx\r\n0\r\n\r\n",
    "a bare LF behind a chunk size": CHUNKED + b"1\nx\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_two_programs_could_read_differently_is_refused_and_reaches_nobody(
    strict: Served, request_bytes: bytes
) -> None:
    strict.app.seen.clear()
    told = problem(strict.ask(request_bytes))
    assert (told["status"], told["code"], told["retryable"]) == (400, "INVALID_REQUEST", False)
    assert told["detail"]
    assert told["hint"]
    assert strict.app.seen == []


H2C: Final = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ")

PLAIN: Final = {
    "HTTP/1.0 without Host": (b"GET /echo HTTP/1.0\r\n\r\n", ("GET", b"")),
    "a question about the server": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ("OPTIONS", b"")),
    "empty lines first": (b"\r\n\r\n" + GET + b"\r\n", ("GET", b"")),
    "a field of many values in two lines": (_with(b"Accept: a", b"Accept: b", to=GET), ("GET", b"")),
    "a body": (_with(b"Content-Length: 3", body=b"abc"), ("POST", b"abc")),
    "a body in chunks": (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", ("POST", b"abc")),
    "an offer of another protocol": (_with(*H2C, to=GET), ("GET", b"")),
    "an offer with a body": (_with(*H2C, b"Content-Length: 3", body=b"abc"), ("POST", b"abc")),
    "an offer with chunks": (
        _with(*H2C, b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        ("POST", b"abc"),
    ),
    "an offer of a web socket": (_with(b"Connection: upgrade", b"Upgrade: websocket", to=GET), ("GET", b"")),
}


@pytest.mark.parametrize(("request_bytes", "expected"), PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("piece_bytes", [1, 7, 65536])
def test_what_only_one_way_can_be_read_is_served_however_it_is_cut(
    strict: Served, request_bytes: bytes, expected: tuple[str, bytes], piece_bytes: int
) -> None:
    strict.app.seen.clear()
    sent = request_bytes + (b"" if b"HTTP/1.0" in request_bytes else LAST)
    answers = strict.ask(*(sent[at : at + piece_bytes] for at in range(0, len(sent), piece_bytes)))
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == answers.count(b"HTTP/1.1 ")
    method, _, _, body = strict.app.seen[0]
    assert (method, body) == expected
    assert [path for _, path, _, _ in strict.app.seen[1:]] == ["/last"] * (LAST in sent)


def test_a_body_behind_a_declined_offer_is_never_taken_for_a_request(strict: Served) -> None:
    # llhttp stops reading at an offer: uvicorn then served the request without its body, and the body as a request.
    strict.app.seen.clear()
    hidden = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
    head = _with(*H2C, b"Content-Length: %d" % len(hidden))
    strict.ask(head, hidden, LAST)
    assert [(path, body) for _, path, _, body in strict.app.seen] == [("/echo", hidden), ("/last", b"")]


def test_as_many_offers_as_may_wait_are_declined_in_a_row(strict: Served) -> None:
    answers = strict.ask(_with(*H2C, to=GET) * 600)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") == STRICT.pipelined_max + 1


def test_trailers_do_not_become_headers(strict: Served) -> None:
    # uvicorn adds them to the list of headers that the application, and all who checked it, already hold.
    strict.app.seen.clear()
    strict.ask(CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer stolen\r\nHost: evil\r\n\r\n" + LAST)
    (_, _, headers, body), _ = strict.app.seen
    assert headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
    assert body == b"x"


def test_every_answer_carries_the_security_headers_and_no_server_header(strict: Served) -> None:
    for answer in (strict.ask(LAST), strict.ask(b"GARBAGE\r\n\r\n")):
        head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert {b"%s: %s" % field for field in SECURITY_HEADERS} <= set(head)
        assert not any(line.startswith(b"server:") for line in head)


def head_of(size_bytes: int) -> bytes:
    start, end = GET + b"Connection: close\r\nX: ", b"\r\n\r\n"
    return start + b"x" * (size_bytes - len(start) - len(end)) + end


def test_a_head_as_large_as_allowed_is_served(strict: Served) -> None:
    assert status(strict.ask(head_of(STRICT.header_bytes_max))) == 200


def test_a_head_one_byte_larger_is_refused(strict: Served) -> None:
    assert problem(strict.ask(head_of(STRICT.header_bytes_max + 1)))["code"] == "HEADERS_TOO_LARGE"


def test_a_hundred_headers_are_served_and_one_more_is_refused(strict: Served) -> None:
    fields = [b"X-%d: x" % n for n in range(STRICT.headers_max - 1)]
    assert strict.ask(_with(*fields, to=GET), LAST).count(b" 200 OK") == 2
    assert status(strict.ask(_with(*fields, b"X: x", to=GET))) == 431


@pytest.mark.parametrize("begun", [GET, CHUNKED + b"0\r\n"], ids=["headers", "trailers"])
def test_too_many_headers_are_refused_before_they_end(strict: Served, begun: bytes) -> None:
    assert problem(strict.ask(begun + b"X: x\r\n" * (STRICT.headers_max + 2)))["code"] == "HEADERS_TOO_LARGE"


ENDLESS: Final = {
    "one header": GET + b"X: " + b"x" * 20_000_000,
    "many headers": GET + b"X: x\r\n" * 3_000_000,
    "one target": b"GET /" + b"x" * 20_000_000,
    "empty lines": b"\r\n" * 10_000_000,
    "one chunk extension": CHUNKED + b"1;x=" + b"x" * 20_000_000,
    "one trailer": CHUNKED + b"1\r\nx\r\n0\r\nX: " + b"x" * 20_000_000,
    "many trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + b"X: x\r\n" * 3_000_000,
}


@pytest.mark.promise("R18")
@pytest.mark.parametrize("request_bytes", ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_refused_without_a_reset_that_would_take_the_answer_along(
    strict: Served, request_bytes: bytes
) -> None:
    with strict.connected() as sock:
        sock.sendall(request_bytes)
        answer = read_all(sock)
    assert problem(answer)["code"] == "HEADERS_TOO_LARGE"


def test_a_large_body_is_no_large_head(strict: Served) -> None:
    strict.app.seen.clear()
    body = b"x" * 1_000_000
    assert strict.ask(_with(b"Content-Length: %d" % len(body), body=body) + LAST).count(b" 200 OK") == 2
    assert strict.app.seen[0][3] == body


def test_an_answer_given_before_the_body_was_read_arrives_whole_and_the_connection_ends(strict: Served) -> None:
    sent = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000
    answer = strict.ask(sent)
    assert status(answer) == 413
    assert answer.endswith(b"early\r\n0\r\n\r\n")


def test_pipelined_requests_are_answered_in_order(strict: Served) -> None:
    strict.app.seen.clear()
    bodies = [b"%d" % n for n in range(4)]
    answers = strict.ask(b"".join(_with(b"Content-Length: 1", body=body) for body in bodies) + LAST)
    assert [body for _, _, _, body in strict.app.seen] == [*bodies, b""]
    assert [answers.index(b"[%s]" % body) for body in bodies] == sorted(answers.index(b"[%s]" % b) for b in bodies)


def test_more_requests_than_may_wait_close_the_connection_behind_those_that_do(strict: Served) -> None:
    answers = strict.ask(_with(to=GET) * (STRICT.pipelined_max + 9))
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 ") == STRICT.pipelined_max + 1
    assert answers.count(b"connection: close") == 1


def test_garbage_behind_a_request_never_spoils_its_answer(strict: Served) -> None:
    answers = strict.ask(_with(to=GET) + b"GARBAGE\r\n\r\n")
    assert answers.count(b"HTTP/1.1 ") == 1
    assert status(answers) == 200


def test_a_pipeline_longer_than_the_queue_is_answered_in_full_when_it_is_read_bit_by_bit(
    loop_factory: LoopFactory,
) -> None:
    # An application that reads a body lets uvicorn read on, however many requests already wait.
    requests = 600
    with serving(GuardLimits(), loop_factory) as served, served.connected() as sock:
        large = _with(b"X: " + b"x" * 4096, b"Content-Length: 1", body=b"y")
        sender = threading.Thread(target=sock.sendall, args=(large * requests + LAST,))
        sender.start()
        assert read_all(sock).count(b" 200 OK") == requests + 1
        sender.join()


@pytest.mark.parametrize("before", [b"", _with(to=GET)], ids=["first", "second"])
def test_a_client_that_leaves_is_noticed_by_the_request_served_not_only_by_the_one_that_waits(
    strict: Served, before: bytes
) -> None:
    # uvicorn tells the request received last; the one being served wrote to a closed connection for ever.
    with strict.connected() as sock:
        sock.sendall(before + b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + _with(to=GET))
        read_until(sock, b"\0")
    strict.wait_until_gone("/stream")


def test_who_asks_whether_to_go_on_is_told_to(strict: Served) -> None:
    with strict.connected() as sock:
        sock.sendall(_with(b"Expect: 100-continue", b"Content-Length: 1"))
        read_until(sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(b"x" + LAST)
        assert b"[x]" in read_all(sock)


def test_a_fault_in_a_body_wakes_the_application_that_waits_for_it(strict: Served) -> None:
    strict.ask(CHUNKED + b"1\r\nx\r\n", b"zz\r\n")
    strict.wait_until_gone("/echo")


def test_a_fault_in_a_body_already_answered_ends_the_answer(strict: Served) -> None:
    with strict.connected() as sock:
        sock.sendall(b"POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        read_until(sock, b"held\r\n")
        sock.sendall(b"zz\r\n")
        assert read_all(sock) == b""
    strict.wait_until_gone("/hold")


SLOW: Final = {
    "nothing": (b"", None),
    "empty lines": (b"\r\n", None),
    "half a request line": (b"GET /ec", None),
    "half a header": (GET + b"X: ", None),
    "half a body": (_with(b"Content-Length: 2", body=b"x"), 408),
    "half a body in chunks": (CHUNKED + b"1\r\nx\r\n", 408),
    "half a trailer": (CHUNKED + b"1\r\nx\r\n0\r\nX: ", 408),
}


@pytest.mark.promise("R18")
def test_who_stops_halfway_is_cut_off_and_told_so_once_the_headers_were_whole(impatient: Served) -> None:
    answers = impatient.ask_at_once([sent for sent, _ in SLOW.values()])
    for (name, (_, expected)), answer in zip(SLOW.items(), answers, strict=True):
        if expected is None:
            assert answer == b"", name
        else:
            told = problem(answer)
            assert (told["status"], told["code"], told["retryable"]) == (expected, "REQUEST_TIMEOUT", True), name


def test_a_slow_body_is_not_told_so_once_its_answer_has_begun(impatient: Served) -> None:
    answer = impatient.ask(b"POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
    assert answer.endswith(b"held\r\n")
    impatient.wait_until_gone("/hold")


def test_a_body_that_trickles_is_cut_off_long_before_its_deadline(loop_factory: LoopFactory) -> None:
    limits = replace(IMPATIENT, body_s=3600.0, body_bytes_per_s_min=1_000_000)
    with serving(limits, loop_factory) as served:
        assert status(served.ask(_with(b"Content-Length: 100000", body=b"x" * 1000))) == 408


def test_a_connection_without_a_whole_next_request_is_closed_in_silence(impatient: Served) -> None:
    for answers in impatient.ask_at_once([_with(to=GET) + after for after in (b"", b"\r\n", b"GET /ec")]):
        assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 ") == 1


def outlast_every_deadline(served: Served) -> None:
    """Watch another connection be cut off, at the latest of all: what began before it would have been, too."""
    assert served.ask(b"") == b""


def test_an_ndjson_body_may_take_its_time(impatient: Served) -> None:
    with impatient.connected() as sock:
        sock.sendall(_with(b"Content-Type: application/x-ndjson", b"Content-Length: 2", body=b"x"))
        outlast_every_deadline(impatient)
        sock.sendall(b"y" + LAST)
        assert b"[xy]" in read_all(sock)


def test_a_body_that_the_application_does_not_read_may_take_its_time(impatient: Served) -> None:
    body = b"x" * 8_000_000
    with impatient.connected() as sock:
        head = b"POST /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        sender = threading.Thread(target=sock.sendall, args=(head + body,))
        sender.start()
        outlast_every_deadline(impatient)
        impatient.app.release()
        assert status(read_all(sock)) == 200
        sender.join()


def test_an_answer_may_take_its_time(impatient: Served) -> None:
    with impatient.connected() as sock:
        sock.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(sock, b"held\r\n")
        outlast_every_deadline(impatient)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    impatient.wait_until_gone("/hold")


@pytest.mark.promise("R15", "R18")
def test_a_reader_that_stops_reading_is_cut_off(impatient: Served) -> None:
    with impatient.connected() as sock:
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        impatient.wait_until_gone("/flood")
        assert not read_all(sock).endswith(b"0\r\n\r\n")


@pytest.mark.promise("R15")
def test_what_a_reader_that_was_cut_off_never_took_is_forgotten_by_the_kernel_too(impatient: Served) -> None:
    # A plain close leaves the send buffer to the kernel, which offers it to such a reader for minutes: 300 KB each.
    with impatient.connected() as sock:
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        impatient.wait_until_gone("/flood")
        with pytest.raises(ConnectionResetError):
            receive_to_the_end(sock)


def test_a_refused_client_that_never_stops_sending_is_cut_off(impatient: Served) -> None:
    with impatient.connected() as sock:
        sock.sendall(b"GARBAGE\r\n\r\n")
        assert status(read_all(sock)) == 400
        with pytest.raises(ConnectionError):
            send_without_end(sock)


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_beyond_the_ceiling_a_connection_is_answered_503_until_another_one_ends(
    loop_factory: LoopFactory, parser: Literal["httptools", "h11"]
) -> None:
    with serving(GuardLimits(connections_max=2), loop_factory, parser) as served:
        with served.connected() as first, served.connected() as second:
            for sock in (first, second):
                sock.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
                read_until(sock, b"held\r\n")
            answer = served.ask(b"")
            told = problem(answer)
            assert (told["status"], told["code"], told["retryable"]) == (503, "OVERLOADED", True)
            assert b"\r\nretry-after: " in answer
        for _ in range(2):
            served.wait_until_gone("/hold")
        assert status(served.ask(LAST)) == 200


def test_the_send_buffer_of_a_connection_is_bounded(strict: Served) -> None:
    with strict.connected() as sock:
        sock.sendall(_with(to=GET))
        read_until(sock, b"0\r\n\r\n")
        with accepted_from(sock) as accepted:
            # Linux tells the size with its own overhead: twice what was asked for.
            asked_bytes = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert asked_bytes in (STRICT.send_buffer_bytes, 2 * STRICT.send_buffer_bytes)


def accepted_from(client: socket.socket) -> socket.socket:
    """Return the server's end of a connection; it lives in this process."""
    for number in range(3, 1024):
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as end:
            if end.family == socket.AF_INET and end.getpeername() == client.getsockname():
                return end.dup()
    raise AssertionError("no such connection")


def test_h11_has_the_same_deadlines(loop_factory: LoopFactory) -> None:
    with serving(IMPATIENT, loop_factory, "h11") as served:
        sent = [b"", GET, _with(b"Content-Length: 2", body=b"x"), _with(to=GET)]
        *halfway, idle = served.ask_at_once(sent)
        assert halfway == [b"", b"", b""]
        assert idle.count(b"HTTP/1.1 200 ") == 1


def test_a_fault_of_our_own_is_not_blamed_on_the_client() -> None:
    class Faulty:
        def on_url(self, url: bytes) -> None:
            raise ZeroDivisionError

    parser = httptools.HttpRequestParser(Faulty())
    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        parser.feed_data(GET)
    with pytest.raises(httptools.HttpParserCallbackError):
        _refusal_in(caught.value)


TOKENS: Final = st.sampled_from(
    b"GET |POST |/x |/x|HTTP/1.1|HTTP/1.0|\r\n|\n|\r| |\t|:|,|;|0|abc|\x0b|\xff|\0|Host: a\r\n|X: y\r\n|chunked".split(
        b"|"
    )
    + b"Connection: close\r\n|Content-Length: 3\r\n|Content-Length: |Transfer-Encoding: chunked\r\n".split(b"|")
    + b"Transfer-Encoding:|3\r\nabc\r\n|0\r\n\r\n|Upgrade: x\r\nConnection: upgrade\r\n|Expect: 100-continue\r\n".split(
        b"|"
    )
)
HEADS: Final = st.sampled_from([GET, POST, CHUNKED, _with(b"Content-Length: 3")])


@settings(max_examples=150)
@given(st.lists(HEADS | TOKENS, min_size=1, max_size=12))
def test_no_request_is_read_otherwise_than_h11_reads_it(strict: Served, parts: list[bytes]) -> None:
    sent = b"".join(parts)
    strict.app.seen.clear()
    with strict.connected() as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)
    theirs = read_by_h11(sent)
    ours = [
        (method, [(name, value) for name, value in headers if name != b"upgrade"], body)
        for method, _, headers, body in strict.app.seen
    ]
    assert ours[: len(theirs)] == theirs[: len(ours)]


def read_by_h11(sent: bytes) -> list[tuple[str, list[tuple[bytes, bytes]], bytes]]:
    """Return the whole requests, up to the first that h11 refuses."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(sent)
    requests = []
    with suppress(h11.RemoteProtocolError):
        while isinstance(head := connection.next_event(), h11.Request):
            body = b""
            while isinstance(event := connection.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                break
            fields = [(name, value) for name, value in head.headers if name != b"upgrade"]
            requests.append((head.method.decode(), fields, body))
            connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                break
            connection.start_next_cycle()
    return requests
