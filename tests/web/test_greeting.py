"""The TLS door: who has not shaken hands is bounded as everybody is, whatever he sends or keeps to himself."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from canvas_server.certificates import Certificate, certificate_in
from canvas_server.core.counts import Counts
from canvas_server.listening import Listening, bind
from canvas_server.server import ServerLimits, _Server, uvicorn_config
from canvas_server.web.connection import GuardLimits
from canvas_server.web.strangers import Strangers

Opened = Callable[..., AbstractContextManager["Doors"]]

PATIENCE_S: Final = 10.0
"""Only a failing test waits that long."""
PROMPT_S: Final = 3.0
LIMITS: Final = GuardLimits(look_s=0.05)
GET: Final = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HELLO_BEGINS: Final = b"\x16\x03\x01\x02\x00\x01"
LOOPS: Final = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]


@dataclass
class Doors:
    """A server with a TLS door and a plain one."""

    tls_port: int
    plain_port: int
    counts: Counts
    strangers: Strangers
    trusting: ssl.SSLContext

    def silent(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.tls_port), timeout=PATIENCE_S)

    def shaken(self) -> ssl.SSLSocket:
        return self.trusting.wrap_socket(self.silent(), server_hostname="127.0.0.1")

    def plain(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.plain_port), timeout=PATIENCE_S)

    def check_both_answer(self) -> None:
        for connect in (self.shaken, self.plain):
            began_s = time.monotonic()
            with connect() as sock:
                assert answered(sock)
            assert time.monotonic() - began_s < PROMPT_S


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("tls"), ["127.0.0.1"])


@pytest.fixture(params=LOOPS)
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    factory: Callable[[], asyncio.AbstractEventLoop] = request.param
    return factory


@pytest.fixture(params=["httptools", "h11"])
def opened(
    request: pytest.FixtureRequest, loop_factory: Callable[[], asyncio.AbstractEventLoop], certificate: Certificate
) -> Opened:
    def open_doors(limits: GuardLimits = LIMITS, strangers_max: int = 0) -> AbstractContextManager[Doors]:
        return doors(limits, strangers_max, request.param, loop_factory, certificate)

    return open_doors


@contextmanager
def doors(
    limits: GuardLimits,
    strangers_max: int,
    parser: Literal["httptools", "h11"],
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    certificate: Certificate,
) -> Iterator[Doors]:
    tls, plain = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    ports = tls.getsockname()[1], plain.getsockname()[1]
    counts, strangers = Counts(), Strangers(strangers_max)
    config = uvicorn_config(hello, ServerLimits(limits, parser), strangers=strangers, counts=counts)
    server = _Server(config, [Listening(tls, certificate.context()), Listening(plain)], "")
    faults: list[object] = []

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        await server.serve([])
        gc.collect()  # a task that failed unseen tells of it now
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(serve())
        except BaseException as error:  # noqa: BLE001 - told to the test
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: server.started)
        trusting = ssl.create_default_context(cafile=str(certificate.certificate))
        yield Doors(*ports, counts, strangers, trusting)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert not faults
    assert counts.connections == 0
    assert len(strangers) == 0


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.01)


def answered(sock: socket.socket, request: bytes = GET) -> bool:
    sock.sendall(request)
    return b"200 OK" in received(sock)


def received(sock: socket.socket) -> bytes:
    told = b""
    with suppress(ConnectionError, ssl.SSLEOFError):
        while piece := sock.recv(65536):
            told += piece
    return told


def is_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except ConnectionError:
        return False


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def open_ones(socks: list[socket.socket]) -> list[int]:
    return [index for index, sock in enumerate(socks) if is_open(sock)]


def test_of_the_silent_the_oldest_give_way_and_both_doors_answer(opened: Opened) -> None:
    with opened(strangers_max=8) as served, ExitStack() as stack:
        files = open_files()
        silent = [stack.enter_context(served.silent()) for _ in range(60)]
        for sock in silent[::2]:
            with suppress(OSError):
                sock.sendall(HELLO_BEGINS)
        until(lambda: open_ones(silent) == list(range(52, 60)))
        until(lambda: open_files() <= files + 60 + 8 + 1)
        assert served.counts.connections == 8
        served.check_both_answer()


def test_who_has_shaken_hands_and_must_give_way_does_even_if_he_does_not_close(opened: Opened) -> None:
    with opened(replace(LIMITS, linger_s=0.2), strangers_max=8) as served, ExitStack() as stack:
        shaken = [stack.enter_context(served.shaken()) for _ in range(20)]
        until(lambda: served.counts.connections == 8)
        assert b" 503 " in received(shaken[0])
        assert is_open(shaken[-1])


def test_beyond_all_the_silent_are_closed_at_once_until_one_ends(opened: Opened) -> None:
    with opened(replace(LIMITS, connections_max=4)) as served, ExitStack() as stack:
        silent = [stack.enter_context(served.silent()) for _ in range(12)]
        until(lambda: open_ones(silent) == [0, 1, 2, 3])
        assert served.counts.connections == 4
        assert served.counts.refusals["connection"] == {"OVERLOADED": 8}
        for sock in silent[:2]:
            sock.close()
        until(lambda: served.counts.connections == 2)
        served.check_both_answer()


def test_an_address_has_so_many_connections_before_and_after_the_handshake(opened: Opened) -> None:
    with opened(replace(LIMITS, connections_per_address_max=4)) as served, ExitStack() as stack:
        shaken = [stack.enter_context(served.shaken()) for _ in range(2)]
        silent = [stack.enter_context(served.silent()) for _ in range(6)]
        until(lambda: open_ones(silent) == [0, 1])
        assert received(stack.enter_context(served.silent())) == b""
        assert b" 503 " in received(stack.enter_context(served.plain()))
        assert served.counts.connections == 4
        with (
            socket.create_connection(("127.0.0.1", served.tls_port), PATIENCE_S, ("127.0.0.9", 0)) as other,
            served.trusting.wrap_socket(other, server_hostname="127.0.0.1") as sock,
        ):
            assert answered(sock)
        assert open_ones(silent) == [0, 1]
        assert all(map(is_open, shaken))


def test_a_handshake_that_takes_too_long_gives_its_place_back(opened: Opened) -> None:
    with opened(replace(LIMITS, handshake_s=2.0)) as served, served.silent() as silent:
        until(lambda: served.counts.connections == 1)
        assert received(silent) == b""
        until(lambda: served.counts.connections == 0)
        assert served.counts.expired == {"handshake": 1}


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HELLO_BEGINS, b"\x16\x03\x01\x00\x02\x01\x00"]
)
def test_a_handshake_that_fails_gives_its_place_back(opened: Opened, sent: bytes) -> None:
    with opened(strangers_max=4) as served:
        for _ in range(10):
            with served.silent() as sock:
                sock.sendall(sent)
        until(lambda: served.counts.connections == 0)
        assert len(served.strangers) == 0
        served.check_both_answer()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_request_that_comes_with_the_last_flight_of_the_handshake_is_answered(
    opened: Opened, version: ssl.TLSVersion
) -> None:
    with opened() as served, served.silent() as sock:
        served.trusting.maximum_version = version
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = served.trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        for byte in GET:
            tls.write(bytes([byte]))
        sock.sendall(outgoing.read())
        told = b""
        while b"hello" not in told:
            with suppress(ssl.SSLWantReadError):
                told += tls.read(65536)
                continue
            piece = sock.recv(65536)
            assert piece
            incoming.write(piece)


def test_handshakes_under_way_end_when_the_server_does(opened: Opened) -> None:
    with ExitStack() as stack:
        with opened(strangers_max=4) as served:
            silent = [stack.enter_context(served.silent()) for _ in range(3)]
            silent[0].sendall(HELLO_BEGINS)
            until(lambda: served.counts.connections == 3)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < PROMPT_S
        assert [received(sock) for sock in silent] == [b""] * 3
        with pytest.raises(ConnectionError):
            served.silent()


def test_a_crowd_of_good_clients_is_served_and_nothing_is_left_of_it(opened: Opened) -> None:
    with opened(replace(LIMITS, keep_alive_s=PATIENCE_S)) as served, ExitStack() as stack:
        crowd = [stack.enter_context(served.shaken()) for _ in range(40)]
        assert served.counts.connections == 40
        assert all(answered(sock) for sock in crowd)
        for sock in crowd:
            sock.close()
        until(lambda: served.counts.connections == 0)
