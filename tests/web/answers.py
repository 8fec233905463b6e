"""What an answer must be whatever was asked; and a way to ask anything, for bytes that no client library would send."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

import canvas_server
from tests.listener import PATIENCE_S

STREAM: Final = b"content-type: text/event-stream"
SLOWEST_S_MAX: Final = 5.0
"""For any one answer; most of what it takes is the machine's other work."""

_DOCS: Final = Path(canvas_server.__file__).parent / "docs"
CODES: Final = {
    code: int(status)
    for name in ("protocol.md", "generation.md")
    for status, code in re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", (_DOCS / name).read_text(), re.MULTILINE)
}
"""The status of each code that a refusal may have, as the documents list them."""


class Problem(msgspec.Struct):
    """A refusal: all of these are always there."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    hint: str
    retryable: bool


class Told(NamedTuple):
    """An answer as it came."""

    status: int
    head: bytes
    body: bytes

    @property
    def is_stream(self) -> bool:
        return STREAM in self.head

    @property
    def code(self) -> str:
        """Of a refusal; empty for what is none."""
        return judged(self.status, self.head, self.body)


def judged(status: int, head: bytes, body: bytes) -> str:
    """Check an answer and return its code: no fault of the server's, and a refusal that is a listed problem."""
    assert 200 <= status < 500, (status, body)
    if status < 400:
        return ""
    assert b"application/problem+json" in head, (status, head)
    problem = msgspec.json.decode(body, type=Problem)
    assert problem.status == status == CODES[problem.code], problem
    assert problem.title
    assert problem.detail
    assert problem.hint
    return problem.code


def asked(port: int, request: bytes) -> Told:
    """Send bytes over a connection of their own and return the answer to them; of a stream only its head."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        sock.sendall(request)
        received = b""
        while not _is_whole(received) and (piece := sock.recv(65536)):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    head = head.lower()
    assert head.startswith(b"http/1.1 "), (request[:200], received)
    return Told(int(head.split()[1]), head, body[: _length(head)])


def request(method: bytes, target: bytes, fields: dict[bytes, bytes], body: bytes = b"") -> bytes:
    """Return a request, after which the connection closes; nothing is checked or encoded."""
    given = {b"Host": b"localhost", b"Connection": b"close", b"Content-Length": b"%d" % len(body), **fields}
    lines = [b"%b: %b\r\n" % field for field in given.items()]
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target, b"".join(lines), body)


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end or head.startswith(b"HTTP/1.1 100"):
        return False
    return STREAM in head or len(body) >= _length(head.lower())


def _length(head: bytes) -> int:
    """Return how long the body is, if there is one."""
    told = re.search(rb"\r\ncontent-length: ([0-9]+)", head)
    return int(told[1]) if told else 0
