"""The desk by the door: requests that need no waiting are answered without a task.

Rule: what is answered here is what the application would answer, by the same code; all else goes its ordinary way.
For a request of one small operation, a task and the two messages of ASGI would cost more than the operation.

Those that arrive in one turn of the loop are first all read, then all asked, then all answered. After a system call a
processor has forgotten much of what it knew of the program, so like work is cheaper in a row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from canvas_server.core.current import REQUEST_ID
from canvas_server.web.admission import AtOnce
from canvas_server.web.request_id import RequestIds

log = logging.getLogger(__name__)

_FIELDS: Final = (
    b"x-request-id: %s\r\ncontent-length: %d\r\ncontent-type: application/json\r\ncache-control: no-store\r\n%s\r\n"
)


class _Connection(Protocol):
    """What the desk needs of a connection."""

    loop: asyncio.AbstractEventLoop
    server_state: ServerState

    def start_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Have a request answered in its ordinary way."""
        ...


class _Visitor(NamedTuple):
    """A request that waits at the desk."""

    connection: _Connection
    cycle: RequestResponseCycle
    app: ASGI3Application


class Desk:
    """Answers for all connections of a server.

    Args:
        at_once: the application, as far as it need not wait.
        request_ids: names the requests.
    """

    def __init__(self, at_once: AtOnce, request_ids: RequestIds) -> None:
        self._at_once = at_once
        self._request_ids = request_ids
        self._visitors: list[_Visitor] = []
        self._default_headers: Sequence[tuple[bytes, bytes]] = ()
        self._head = b""

    def take(self, connection: _Connection, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let a request that has begun wait until all that arrives in this turn of the loop is read."""
        if not self._visitors:
            connection.loop.call_soon(self.serve)
        self._visitors.append(_Visitor(connection, cycle, app))

    def serve(self) -> None:
        """Answer those that wait, or send them their ordinary way."""
        visitors, self._visitors = self._visitors, []
        bodies = [self._answer(visitor.cycle) for visitor in visitors]
        for visitor, body in zip(visitors, bodies, strict=True):
            try:  # no other shall fail with it
                self._see_off(visitor, body)
            except Exception:
                log.exception("connection failed at the desk", extra={"request_id": self._id(visitor)})
                visitor.cycle.transport.abort()

    def _id(self, visitor: _Visitor) -> str:
        return self._request_ids.of(visitor.cycle.scope)

    def serve_all(self) -> None:
        """Serve those that wait, and those that were behind them on their connections."""
        while self._visitors:
            self.serve()

    def _see_off(self, visitor: _Visitor, body: bytes | None) -> None:
        connection, cycle, app = visitor
        if body is None:
            connection.start_task(cycle, app)
        elif not cycle.disconnected:
            self._send(connection, cycle, body)

    def _answer(self, cycle: RequestResponseCycle) -> bytes | None:
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.flow.write_paused:
            return None
        if cycle.scope["method"] != "POST":
            return None
        # Each sets its own, and what runs here has a context of its own, so nothing need be put back.
        REQUEST_ID.set(self._request_ids.of(cycle.scope))
        try:
            return self._at_once(cycle.scope, bytes(cycle.body))  # type: ignore[arg-type]  # it is a dict
        except Exception:
            # Whatever our bug is, on its ordinary way the request gets an answer.
            log.exception("request failed at the desk", extra={"path": cycle.scope["path"]})
            return None

    def _send(self, connection: _Connection, cycle: RequestResponseCycle, body: bytes) -> None:
        headers = connection.server_state.default_headers
        if headers is not self._default_headers:  # they change with the date
            self._default_headers = headers
            self._head = b"".join([b"HTTP/1.1 202 Accepted\r\n", *(b"%s: %s\r\n" % field for field in headers)])
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        request_id = cycle.scope["state"]["request_id"].encode()  # `_answer` has seen to it
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"%s%s%s" % (self._head, _FIELDS % (request_id, len(body), close), body))
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
