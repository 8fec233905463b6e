"""The desk by the door: requests that need no waiting are answered where they are parsed.

Rule: what is answered here is what the application would answer, by the same code; all else goes its ordinary way.
For a request of one small operation, a task and the two messages of ASGI would cost more than the operation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from canvas_server.web.admission import AtOnce

log = logging.getLogger(__name__)

_FIELDS: Final = b"content-length: %d\r\ncontent-type: application/json\r\n%s\r\n"


class _Connection(Protocol):
    """What the desk needs of a connection."""

    server_state: ServerState


class Desk:
    """Answers for all connections of a server.

    Args:
        at_once: the application, as far as it need not wait.
    """

    def __init__(self, at_once: AtOnce) -> None:
        self._at_once = at_once
        self._default_headers: Sequence[tuple[bytes, bytes]] = ()
        self._head = b""

    def answers(self, connection: _Connection, cycle: RequestResponseCycle) -> bool:
        """Answer a request, or tell that it must go its ordinary way; nothing has happened then."""
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.flow.write_paused:
            return False
        if cycle.scope["method"] != "POST":
            return False
        try:
            body = self._at_once(cycle.scope, bytes(cycle.body))  # type: ignore[arg-type]  # it is a dict
        except Exception:
            # Whatever our bug is, on its ordinary way the request gets an answer.
            log.exception("request failed at the desk", extra={"path": cycle.scope["path"]})
            return False
        if body is None:
            return False
        self._send(connection, cycle, body)
        return True

    def _send(self, connection: _Connection, cycle: RequestResponseCycle, body: bytes) -> None:
        headers = connection.server_state.default_headers
        if headers is not self._default_headers:  # they change with the date
            self._default_headers = headers
            self._head = b"".join([b"HTTP/1.1 202 Accepted\r\n", *(b"%s: %s\r\n" % field for field in headers)])
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"%s%s%s" % (self._head, _FIELDS % (len(body), close), body))
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
