"""The rest of the world, as a browser sees it in tests: a socket that counts who comes, under any name there is."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

MAKERS: Final = (
    "google.com",
    "*.google.com",
    "*.googleapis.com",
    "*.gvt1.com",
    "*.gstatic.com",
    "*.googleusercontent.com",
)
"""Whom Chromium asks of its own accord: these names lead nowhere. What a page asks of them is seen as its request."""


class Outside:
    """Counts.

    Attributes:
        port: where it listens.
        heard: the first line of whatever came, or empty where nothing was said.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[str] = []

    @property
    def args(self) -> list[str]:
        """What a browser is started with, so that all names but that of the server under test lead here."""
        makers = "".join(f"MAP {name} ~NOTFOUND, " for name in MAKERS)
        rules = f"{makers}MAP * 127.0.0.1:{self.port}, EXCLUDE 127.0.0.1"
        return [f"--host-resolver-rules={rules}", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def outside() -> Iterator[Outside]:
    """Listen until the block ends."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 2

        def handle(self) -> None:
            try:
                first = self.rfile.readline(4096).decode("latin-1")
            except OSError:
                first = ""
            world.heard.append(first)
            if first.startswith(("GET", "POST", "HEAD")):
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
                )

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        world = Outside(server.server_address[1])
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield world
        finally:
            server.shutdown()
            thread.join()
