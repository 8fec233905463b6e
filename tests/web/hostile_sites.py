"""Web pages of others, for tests: a server with a blank page, and a resolver that says where each name leads.

The resolver is a SOCKS 5 proxy (RFC 1928): a browser hands it names instead of looking them up, sends the very bytes
that it would send anyway, and so goes wherever the test wants, now here and then there.
"""

from __future__ import annotations

import socket
import socketserver
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

Address = tuple[str, int]
Resolver = Callable[[str, int], Address]

_PAGE: Final = b"<!doctype html><title>hostile</title><p>hostile"
_PIECE_BYTES: Final = 65_536


class HostileServer(ThreadingHTTPServer):
    """Serves a blank page under every path, and remembers the cookies that it was sent."""

    daemon_threads = True

    def __init__(self, address: Address) -> None:
        super().__init__(address, _Handler)
        self.cookies: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, HostileServer)
        self.server.cookies += self.headers.get_all("Cookie", [])
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_PAGE)))
        self.end_headers()
        self.wfile.write(_PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        return


class _Names(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, resolve: Resolver) -> None:
        super().__init__(("127.0.0.1", 0), _Socks)
        self.resolve = resolve


class _Socks(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Names)
        client: socket.socket = self.request
        _, methods = _exactly(client, 2)
        _exactly(client, methods)
        client.sendall(b"\x05\x00")
        _, _, _, kind = _exactly(client, 4)
        name = _exactly(client, _exactly(client, 1)[0]).decode() if kind == 3 else socket.inet_ntoa(_exactly(client, 4))
        (port,) = struct.unpack("!H", _exactly(client, 2))
        try:
            upstream = socket.create_connection(self.server.resolve(name, port), timeout=10)
        except OSError:
            client.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        with upstream:
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            back = Thread(target=_pump, args=(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)
            back.join()


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the browser went away")
        data += piece
    return data


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(_PIECE_BYTES):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def hostile_server(host: str = "127.0.0.1", port: int = 0) -> Iterator[HostileServer]:
    """Serve a hostile page until the block ends."""
    with HostileServer((host, port)) as server, _running(server):
        yield server


@contextmanager
def names(resolve: Resolver) -> Iterator[str]:
    """Answer for all names until the block ends; yield the address of the proxy."""
    with _Names(resolve) as server, _running(server):
        yield f"socks5://127.0.0.1:{server.server_address[1]}"


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
