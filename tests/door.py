"""The application without sockets: whole requests in, whole answers out, for tests that ask thousands of times.

It is the same application that a server runs, with its rules of who may come in. What reads bytes off the wire is not
here, and of a stream only the beginning is read.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message

_STREAM: Final = b"text/event-stream"


class Asked(NamedTuple):
    """A request, as it goes over the wire."""

    method: str
    target: bytes
    """Path and query."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


class Answer(NamedTuple):
    """An answer, as it comes over the wire; of a stream its first piece."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def head(self) -> bytes:
        """The header fields in lower case."""
        return b"".join(b"%b: %b\r\n" % field for field in self.headers).lower()

    @property
    def is_stream(self) -> bool:
        return _STREAM in self.head


async def through_the_door(app: ASGIApp, asked: Asked) -> Answer:
    """Ask an application in process; whoever is sent a stream leaves after the first piece of it."""
    path, _, query = asked.target.partition(b"?")
    given = dict(asked.headers)
    fixed = [(b"host", b"localhost"), (b"content-length", b"%d" % len(asked.body))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [*(field for field in fixed if field[0] not in given), *asked.headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    told: list[Message] = []
    requests: list[Message] = [{"type": "http.request", "body": asked.body, "more_body": False}]

    async def receive() -> Message:
        # A stream waits here until its reader is gone, which is at once.
        return requests.pop() if requests else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        told.append(message)

    await app(scope, receive, send)
    assert told, "nobody answered"
    start, *rest = told
    assert start["type"] == "http.response.start", start
    parts = [message.get("body", b"") for message in rest]
    answer = Answer(start["status"], tuple((bytes(k), bytes(v)) for k, v in start["headers"]), b"".join(parts))
    assert answer.is_stream or not rest[-1].get("more_body", False), "an answer has no end"
    return answer
