"""One client connection, whatever parses it: how many there may be, and how long each may take for what.

Rule: a request pays nothing for its deadlines. What a connection is doing can be seen from outside, so one timer looks
at all of them and ends those it has seen at the same thing for too long. Deadlines are therefore up to two looks late.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import ClassVar, Final, Protocol

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from canvas_server.core.counts import Counts
from canvas_server.core.errors import OverloadedError
from canvas_server.web.admission import Refusal, problem
from canvas_server.web.problems import Headers
from canvas_server.web.strangers import Client, Strangers

_KIB: Final = 1024
_NDJSON: Final = b"application/x-ndjson"
_FORGET_UNSENT: Final = struct.pack("ii", 1, 0)
"""`struct linger`: on, for no time."""

TOO_MANY_CONNECTIONS: Final = Refusal(
    503,
    OverloadedError.code,
    "Too many connections are open.",
    "Close connections that are not used, or come back later.",
    OverloadedError.retry_after_s,
)


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What one connection may take, and all together.

    Attributes:
        handshake_s: from connecting to the end of the TLS handshake.
        first_byte_s: from there, or from connecting, to the first byte.
        headers_s: from the first byte of a request to the end of its headers.
        body_s: from there to the end of the body. An NDJSON body has no deadline here; its route has one for silence.
        body_grace_s: time from which a body must also have kept `body_bytes_per_s_min`.
        keep_alive_s: from an answer to the next request.
        stalled_write_s: how long the send buffer may stay full; more than streams allow, so that they can say goodbye.
        linger_s: how long a refused client may go on sending, so that it meets the answer before a reset.
        look_s: from one look at all connections to the next.
        header_bytes_max: request line and headers; likewise chunk sizes or trailers between two pieces of a body.
        connections_per_address_max: open connections of one address; 0 for as many as like.
        pipelined_max: requests that wait for the answer to an earlier one of their connection.
        send_buffer_bytes: the kernel's send buffer; Linux reserves twice that.
    """

    handshake_s: float = 10.0
    first_byte_s: float = 5.0
    headers_s: float = 10.0
    body_s: float = 30.0
    body_grace_s: float = 10.0
    body_bytes_per_s_min: int = _KIB
    keep_alive_s: float = 15.0
    stalled_write_s: float = 25.0
    linger_s: float = 2.0
    look_s: float = 0.5
    header_bytes_max: int = 64 * _KIB
    headers_max: int = 100
    pipelined_max: int = 128
    connections_max: int = 2048
    connections_per_address_max: int = 0
    send_buffer_bytes: int = 128 * _KIB


class Stage(Enum):
    """What a connection is doing, as far as a deadline depends on it."""

    HANDSHAKE = auto()
    CONNECTED = auto()
    HEADERS = auto()
    BODY = auto()
    ANSWER = auto()
    IDLE = auto()
    STALLED = auto()
    CLOSING = auto()
    REFUSED = auto()


class Connection(asyncio.Protocol, ABC):
    """What a connection gets in front of uvicorn's protocol: the ceiling, its send buffer, a place in the watch."""

    limits: ClassVar[GuardLimits]
    watch: ClassVar[Watch]
    strangers: ClassVar[Strangers]
    counts: ClassVar[Counts]

    loop: asyncio.AbstractEventLoop
    server_state: ServerState
    transport: asyncio.Transport

    peer: Client | None = None
    """Address and port of the other end; None where it has none."""
    take_place: Callable[[], None] | None = None
    """Frees the place that was held for this connection while it shook hands; None where there was none."""
    received_bytes = 0
    stalls_count = 0
    is_refused = False

    @abstractmethod
    def stage(self) -> tuple[Stage, object]:
        """See `stage_of`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or refuse it when there are too many."""
        super().connection_made(transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.send_buffer_bytes)
        peer = transport.get_extra_info("peername")
        self.peer = tuple(peer[:2]) if isinstance(peer, tuple) and peer else None
        if self.take_place is not None:
            self.take_place()
        if self.watch.has_room_for(self):
            self.watch.add(self, self.loop)
            self.strangers.add(self.peer, self._make_room)
        else:
            self.counts.refuse("connection", TOO_MANY_CONNECTIONS.code)
            self.tell(TOO_MANY_CONNECTIONS)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self.watch.discard(self)
        self.strangers.forget(self.peer)
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Give way to a newer stranger."""
        if self.stage()[0] in (Stage.CONNECTED, Stage.HEADERS):
            # Anywhere else it would stand in the midst of an answer, or be taken for that to the next request.
            self.tell(TOO_MANY_CONNECTIONS)
        # TLS waits for the other end to close as well, which is not to keep the place.
        self.is_refused = True
        self.transport.close()

    def pause_writing(self) -> None:
        """Note that the send buffer is full, once more."""
        self.stalls_count += 1
        super().pause_writing()

    def expire(self, stage: Stage) -> None:
        """End a connection that has been in `stage` for too long."""
        if stage in (Stage.STALLED, Stage.CLOSING, Stage.REFUSED):
            # Nobody takes what is still to be sent, and close would wait for that; so would the kernel, for minutes.
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET_UNSENT)
            self.transport.abort()
        else:
            self.transport.close()

    def tell(self, refusal: Refusal, more: Headers | None = None) -> None:
        """Write a refusal as the last answer of this connection, with `more` header fields."""
        headers, body = problem(refusal)
        fields = [b"%s: %s\r\n" % field for field in (*self.server_state.default_headers, *headers, *(more or ()))]
        status = b"HTTP/1.1 %d %s\r\n" % (refusal.status, HTTPStatus(refusal.status).phrase.encode())
        self.transport.write(b"".join([status, *fields, b"connection: close\r\n\r\n", body]))


class _Watched(Protocol):
    """What the watch looks at: a connection, or what will be one."""

    @property
    def peer(self) -> Client | None: ...
    @property
    def received_bytes(self) -> int: ...
    def stage(self) -> tuple[Stage, object]: ...
    def expire(self, stage: Stage, /) -> None: ...


@dataclass(frozen=True, slots=True)
class _Sighting:
    stage: Stage
    token: object
    since_s: float
    received_bytes: int


class Watch:
    """The connections of one server, and the timer that looks at them while there are any."""

    def __init__(self, limits: GuardLimits, counts: Counts) -> None:
        self._limits = limits
        self._counts = counts
        self._sightings: dict[_Watched, _Sighting | None] = {}
        self._by_host: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._deadlines_s = {
            Stage.HANDSHAKE: limits.handshake_s,
            Stage.CONNECTED: limits.first_byte_s,
            Stage.HEADERS: limits.headers_s,
            Stage.BODY: limits.body_s,
            Stage.ANSWER: math.inf,
            Stage.IDLE: limits.keep_alive_s,
            Stage.STALLED: limits.stalled_write_s,
            Stage.CLOSING: limits.stalled_write_s,
            Stage.REFUSED: limits.linger_s,
        }

    def __len__(self) -> int:
        return len(self._sightings)

    def has_room_for(self, connection: _Watched) -> bool:
        """Tell whether there may be one more, of all and of its address."""
        per_address_max = self._limits.connections_per_address_max
        if connection.peer is not None and per_address_max and self._by_host[connection.peer[0]] >= per_address_max:
            return False
        return len(self) < self._limits.connections_max

    def add(self, connection: _Watched, loop: asyncio.AbstractEventLoop) -> None:
        """Look at a connection from now on."""
        self._sightings[connection] = None
        self._counts.connections = len(self._sightings)
        if connection.peer is not None:
            self._by_host[connection.peer[0]] += 1
        if self._timer is None:
            self._timer = loop.call_later(self._limits.look_s, self._look, loop)

    def discard(self, connection: _Watched) -> None:
        """Look at a connection no longer."""
        if connection not in self._sightings:
            return
        del self._sightings[connection]
        self._counts.connections = len(self._sightings)
        if connection.peer is not None:
            host = connection.peer[0]
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for connection, sighting in tuple(self._sightings.items()):
            stage, token = connection.stage()
            if sighting is None or sighting.stage is not stage or sighting.token is not token:
                self._sightings[connection] = _Sighting(stage, token, now_s, connection.received_bytes)
            elif self._is_overdue(sighting, now_s, connection.received_bytes):
                expired, name = self._counts.expired, stage.name.lower()
                expired[name] = expired.get(name, 0) + 1
                connection.expire(stage)
        self._timer = loop.call_later(self._limits.look_s, self._look, loop) if self._sightings else None

    def _is_overdue(self, sighting: _Sighting, now_s: float, received_bytes: int) -> bool:
        lasted_s = now_s - sighting.since_s
        if lasted_s >= self._deadlines_s[sighting.stage]:
            return True
        if sighting.stage is not Stage.BODY or lasted_s < self._limits.body_grace_s:
            return False
        return received_bytes - sighting.received_bytes < lasted_s * self._limits.body_bytes_per_s_min


class _Cycle(Protocol):
    """A request and its answer, in the words of both of uvicorn's protocols."""

    scope: HTTPScope
    more_body: bool
    response_complete: bool


class _Visible(Protocol):
    """What the stage of a connection is seen from."""

    received_bytes: int
    stalls_count: int
    is_refused: bool

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def flow(self) -> FlowControl: ...
    @property
    def scope(self) -> Mapping[str, object] | None: ...
    @property
    def cycle(self) -> _Cycle | None: ...


def stage_of(connection: _Visible) -> tuple[Stage, object]:
    """Return what a connection is doing, and a token that stays the same object for as long as it does just that."""
    scope, cycle = connection.scope, connection.cycle
    if connection.is_refused:
        return Stage.REFUSED, None
    if connection.transport.is_closing():
        return Stage.CLOSING, None
    if connection.flow.write_paused:
        return Stage.STALLED, connection.stalls_count
    if scope is None:
        return (Stage.HEADERS if connection.received_bytes else Stage.CONNECTED), None
    if cycle is None or not has_whole_head(scope):
        return Stage.HEADERS, scope
    if cycle.response_complete:
        return Stage.IDLE, cycle
    if cycle.more_body and not connection.flow.read_paused and not _is_ndjson(cycle.scope):
        return Stage.BODY, cycle
    return Stage.ANSWER, cycle


def has_whole_head(scope: Mapping[str, object] | None) -> bool:
    """Tell whether all headers are there: uvicorn makes a scope when a request begins and names the method then."""
    return scope is not None and "method" in scope


def _is_ndjson(scope: HTTPScope) -> bool:
    return any(name == b"content-type" and value.lower().startswith(_NDJSON) for name, value in scope["headers"])
