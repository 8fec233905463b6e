"""A reader of `ops:listen` for tests: a raw socket, and a parser that takes only what the server promises to send.

The server promises less than server-sent events allow: an optional `id`, one `data` line of JSON, a blank line, and one
`retry` at the very start. Whatever else comes fails the test. No read waits longer than `PATIENCE_S`.
"""

from __future__ import annotations

import json
import re
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

PATIENCE_S: Final = 20.0
"""Only a failing test waits that long."""

_STATE_ID: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127}:)?[0-9]+-[0-9a-f]{16}")


@dataclass(frozen=True)
class Event:
    """One event as it came."""

    id: str | None
    data: dict[str, Any]

    @property
    def type(self) -> str:
        kind: str = self.data["type"]
        return kind

    def __getitem__(self, field: str) -> Any:
        return self.data[field]


class Frames:
    """Cuts a stream into events, however it was cut into pieces; strict."""

    def __init__(self) -> None:
        self._rest = b""
        self._count = 0
        self.retry_ms: int | None = None

    @property
    def is_between_events(self) -> bool:
        return not self._rest

    def feed(self, piece: bytes) -> Iterator[Event]:
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            yield self._event(block.decode())

    def _event(self, block: str) -> Event:
        lines = block.split("\n")
        if lines[0].startswith("retry: "):
            assert self._count == 0, "retry comes first, and once"
            self.retry_ms = int(lines.pop(0).removeprefix("retry: "))
        self._count += 1
        event_id = None
        if lines[0].startswith("id: "):
            event_id = lines.pop(0).removeprefix("id: ")
            assert _STATE_ID.fullmatch(event_id), event_id
        assert len(lines) == 1, lines
        assert lines[0].startswith("data: "), lines
        data = json.loads(lines[0].removeprefix("data: "))
        assert isinstance(data, dict)
        assert isinstance(data["type"], str)
        return Event(event_id, data)


class Listener:
    """A connection to a stream, open from the moment it is made.

    Args:
        port: of the server.
        target: path and query.
        headers: of the request.
        receive_buffer_bytes: of the kernel; small for a reader that is to be slow.
    """

    def __init__(
        self, port: int, target: str, headers: Mapping[str, str] | None = None, receive_buffer_bytes: int = 0
    ) -> None:
        self._sock = socket.socket()
        self._sock.settimeout(PATIENCE_S)
        if receive_buffer_bytes:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self._sock.connect(("127.0.0.1", port))
        fields = {"Host": f"127.0.0.1:{port}", "Accept": "text/event-stream", **(headers or {})}
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self._raw = self._sock.makefile("rb")
        self._events: deque[Event] = deque()
        self.frames = Frames()
        self.has_ended = False
        self.status = int(self._raw.readline().split()[1])
        self.headers = dict(self._read_fields())

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Go, without a word."""
        self._raw.close()
        self._sock.close()

    def next(self) -> Event:
        """Return the event that comes next; there must be one."""
        while not self._events:
            assert self._read_chunk(), "the stream has ended"
        return self._events.popleft()

    def take(self, count: int) -> list[Event]:
        """Return the events that come next."""
        return [self.next() for _ in range(count)]

    def until(self, kind: str, **fields: object) -> list[Event]:
        """Return the events up to the first of that type, with those fields, this one included."""
        events = [self.next()]
        while events[-1].type != kind or any(events[-1].data.get(name) != value for name, value in fields.items()):
            events.append(self.next())
        return events

    def expect(self, kind: str, **fields: object) -> Event:
        """Return the first event of that type, with those fields; those before it are passed over."""
        return self.until(kind, **fields)[-1]

    def rest(self) -> list[Event]:
        """Return the events until the server ends the stream, in good order."""
        while self._read_chunk():
            pass
        assert self.frames.is_between_events, "the stream ended within an event"
        events = list(self._events)
        self._events.clear()
        return events

    def _read_fields(self) -> Iterator[tuple[str, str]]:
        while (line := self._raw.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def _read_chunk(self) -> bool:
        """Read one piece of the body; return whether there was one."""
        if self.has_ended:
            return False
        size = int(self._raw.readline(), 16)
        piece = self._raw.read(size)
        assert len(piece) == size, "cut off within a chunk"
        assert self._raw.readline() == b"\r\n"
        self.has_ended = size == 0
        self._events.extend(self.frames.feed(piece))
        return not self.has_ended
