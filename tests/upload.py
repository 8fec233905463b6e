"""A request for tests whose body is sent piece by piece over a raw socket; no read waits longer than `PATIENCE_S`."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple

from tests.listener import PATIENCE_S


class Answer(NamedTuple):
    """What the server says."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class Upload:
    """A POST that has begun; its body is chunked.

    Args:
        port: of the server.
        target: path and query.
        content_type: of the body.
        headers: besides.
    """

    def __init__(
        self,
        port: int,
        target: str,
        content_type: str = "application/x-ndjson",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = [f"POST {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Type: {content_type}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._sock.sendall("\r\n".join([*head, "Transfer-Encoding: chunked", "", ""]).encode())

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sock.close()

    def fileno(self) -> int:
        """Return the descriptor, which is readable once there is an answer or the connection is cut."""
        return self._sock.fileno()

    def send(self, piece: bytes) -> None:
        """Send one piece, as a chunk of its own."""
        # A server that has answered already may close; what it said can still be read.
        with suppress(ConnectionError):
            self._sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    def line(self, value: object) -> None:
        """Send one line of JSON."""
        self.send(json.dumps(value).encode() + b"\n")

    def end(self) -> Answer:
        """End the body and return the answer."""
        with suppress(ConnectionError):
            self._sock.sendall(b"0\r\n\r\n")
        return self.answer()

    def answer(self) -> Answer:
        """Return the answer, which may come before the end of the body."""
        with self._sock.makefile("rb") as raw:
            status = int(raw.readline().split()[1])
            headers = {}
            while (line := raw.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = json.loads(raw.read(int(headers["content-length"])))
        return Answer(status, headers, body)
