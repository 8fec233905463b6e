"""The guard in front of the application: uvicorn's HTTP protocols, made strict and bounded.

Rule: nothing that a client sends, or does not send, holds memory or a connection beyond `GuardLimits`, and no request
that two programs could read differently reaches the application.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sized
from typing import ClassVar, Final, Literal

import httptools
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from canvas_server.core.counts import Counts
from canvas_server.core.errors import InvalidRequestError, OverloadedError
from canvas_server.web import request_id
from canvas_server.web.admission import TARGET_NOT_ALLOWED, AtOnce, Refusal
from canvas_server.web.connection import Connection, GuardLimits, Stage, Watch, stage_of
from canvas_server.web.desk import Desk
from canvas_server.web.request_id import RequestIds
from canvas_server.web.strangers import Strangers

log = logging.getLogger(__name__)

# The fields that say how a request is to be read and called, and what nearly all requests have of them.
_TELLING: Final = frozenset({b"host", b"transfer-encoding", b"expect", request_id.HEADER})
_ORDINARY: Final = [b"host"]
_SLASH: Final = ord("/")
_NUMBER_SIGN: Final = ord("#")


def _bad_request(detail: str, hint: str) -> Refusal:
    return Refusal(400, InvalidRequestError.code, detail, hint)


_MALFORMED: Final = _bad_request("This is not an HTTP request.", "Send requests as RFC 9112 has them.")
_VERSION_NOT_SPOKEN: Final = _bad_request("This version of HTTP is not spoken here.", "Use HTTP/1.1.")
_NOT_ONE_HOST: Final = _bad_request("The request has no Host header, or several.", "Name the server in Host, once.")
_CODING_NOT_SPOKEN: Final = _bad_request("Only HTTP/1.1's chunked coding is understood.", "Send the body as it is.")
_TUNNEL_NOT_OFFERED: Final = _bad_request("This server is no proxy.", "Do not send CONNECT.")
_HEADERS_TOO_LARGE: Final = Refusal(
    431, "HEADERS_TOO_LARGE", "The headers are too large or too many.", "Send fewer or shorter headers."
)
_BODY_TOO_SLOW: Final = Refusal(
    408, "REQUEST_TIMEOUT", "The body did not arrive in time.", "Send it again, with the same op_ids.", retry_after_s=1
)
_PIPELINE_FULL: Final = Refusal(
    503, OverloadedError.code, "Too many requests wait on this connection.", "Wait for answers.", retry_after_s=1
)


def guarded(
    limits: GuardLimits,
    *,
    parser: Literal["httptools", "h11"] = "httptools",
    at_once: AtOnce | None = None,
    strangers: Strangers | None = None,
    counts: Counts | None = None,
) -> type[asyncio.Protocol]:
    """Return the protocol of one server, bound to `limits`, for `uvicorn.Config(http=...)`.

    The watch over its connections belongs to that server and its event loop.

    Args:
        limits: what a connection may take.
        parser: what reads requests.
        at_once: answers what need not wait, which saves a task and half of uvicorn's work; only with httptools.
        strangers: take note of connections on which nobody has shown credentials.
        counts: is told of connections and refusals; what h11 refuses by itself is not counted.
    """
    counts = Counts() if counts is None else counts
    bound = {
        "limits": limits,
        "watch": Watch(limits, counts),
        "counts": counts,
        "strangers": Strangers() if strangers is None else strangers,
    }
    if parser == "h11":
        return type("_GuardedH11", (_GuardedH11,), bound)
    request_ids = RequestIds()
    desk = None if at_once is None else Desk(at_once, request_ids)
    return type("_GuardedHttpTools", (_GuardedHttpTools,), {**bound, "desk": desk, "request_ids": request_ids})


class _GuardedH11(Connection, H11Protocol):
    """h11 under the same ceiling and deadlines.

    h11 itself refuses an oversized head, a missing or second Host and HTTP/0.9; Content-Length beside Transfer-Encoding
    and a target that is no path are left to `web.admission`. It remains laxer: a bare LF ends a line, only the size of
    headers is bounded, half a head behind an answer counts as idle, and what it refuses is told in plain text.
    """

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        super().data_received(data)

    def stage(self) -> tuple[Stage, object]:
        return stage_of(self)


class _PipelineFlow(FlowControl):
    """Reads nothing more while requests wait in the pipeline; uvicorn's own lets the application resume reading."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if self.read_paused and not self._pipeline:
            super().resume_reading()


class _RefusedError(Exception):
    """Carries a refusal out of a callback of the parser."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class _GuardedHttpTools(Connection, HttpToolsProtocol):
    """httptools, made as strict as RFC 9112 wishes, and bounded."""

    desk: ClassVar[Desk | None]
    request_ids: ClassVar[RequestIds]

    # uvicorn starts these as None and declares otherwise.
    scope: HTTPScope | None  # type: ignore[assignment]
    cycle: RequestResponseCycle | None  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.headers = []
        self._running: RequestResponseCycle | None = None
        self._telling: list[bytes] = []
        self._is_deaf = False
        self._room_bytes = self.limits.header_bytes_max

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _PipelineFlow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the request received last that its client has gone, not the one being served.
        self._abandon()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio lets it keep the transport open
        """Close behind what was asked last: a client that sends no more may still wait for that."""
        self.loop.call_soon(self.transport.close)
        return True

    def stage(self) -> tuple[Stage, object]:
        return stage_of(self)

    def expire(self, stage: Stage) -> None:
        if stage is Stage.BODY:
            self._refuse(_BODY_TOO_SLOW)
        else:
            super().expire(stage)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, in pieces that cannot exceed the bound on headers unnoticed."""
        self.received_bytes += len(data)
        if len(data) <= self._room_bytes:
            self._parse(data)
            return
        rest = memoryview(data)
        while rest and not self._is_deaf:
            piece, rest = rest[: self._room_bytes], rest[self._room_bytes :]
            self._parse(piece)

    def _parse(self, piece: bytes | memoryview) -> None:
        """Parse a piece, and count it when it brings neither a request nor a part of a body.

        A head that begins behind another request in the same piece is counted from the next piece on only: its bound is
        less than twice as large.
        """
        if self._is_deaf:
            return
        cycle = self.cycle
        body_bytes = 0 if cycle is None else len(cycle.body)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            rest = piece[offer.args[0] :]
        except httptools.HttpParserError as error:
            self._refuse(_refusal_in(error))
            return
        else:
            brings = self.cycle is not cycle or (cycle is not None and len(cycle.body) != body_bytes)
            self._room_bytes = self.limits.header_bytes_max if brings else self._room_bytes - len(piece)
            if self._room_bytes <= 0 or len(self.headers) > self.limits.headers_max:
                self._refuse(_HEADERS_TOO_LARGE)
            return
        self._parse(self._decline() + rest)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self.desk is None or app is not self.app:
            self.start_task(cycle, app)
        else:
            self.desk.take(self, cycle, app)

    def start_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Have a request answered by the application, in a task; whatever the answer is, it tells the request's id."""
        named = (request_id.HEADER, self.request_ids.of(cycle.scope).encode())
        cycle.default_headers = [*cycle.default_headers, named]
        super()._start_asgi_task(cycle, app)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header as uvicorn does, and note those that say how the request is to be read."""
        name = name.lower()
        if name in _TELLING:
            self._telling.append(name)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, unless its head says that it must not be."""
        if (
            self._telling != _ORDINARY
            or len(self.headers) > self.limits.headers_max
            or self.url[0] != _SLASH
            or _NUMBER_SIGN in self.url
            or self.pipeline
            or self.parser.get_http_version() != "1.1"
        ):
            self._check_unusual_head()
        self._telling = []
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        # The parser goes on to report trailers, which uvicorn would add to the headers that were just checked.
        self.headers = []

    def _check_unusual_head(self) -> None:
        """Tell what may be from what must not, among heads that are not as nearly all are."""
        version = self.parser.get_http_version()
        if len(self.headers) > self.limits.headers_max:
            raise _RefusedError(_HEADERS_TOO_LARGE)
        if version not in ("1.1", "1.0"):
            raise _RefusedError(_VERSION_NOT_SPOKEN)
        hosts = self._values(b"host")
        if len(hosts) > 1 or (version == "1.1" and not hosts):
            raise _RefusedError(_NOT_ONE_HOST)
        codings = self._values(b"transfer-encoding")
        if codings and (version, codings) != ("1.1", [b"chunked"]):
            raise _RefusedError(_CODING_NOT_SPOKEN)
        if not self._asks_for_path():
            raise _RefusedError(TARGET_NOT_ALLOWED)
        if len(self.pipeline) >= self.limits.pipelined_max:
            raise _RefusedError(_PIPELINE_FULL)
        self.expect_100_continue = b"100-continue" in self._values(b"expect")
        assert self.scope is not None
        request_id.keep_chosen(self.scope, self.headers)

    def _values(self, of: bytes) -> list[bytes]:
        return [value.strip().lower() for name, value in self.headers if name == of]

    def _asks_for_path(self) -> bool:
        if self.url == b"*":
            return self.parser.get_method() == b"OPTIONS"
        return self.url[0] == _SLASH and _NUMBER_SIGN not in self.url

    def _should_upgrade(self) -> bool:
        """Have uvicorn leave alone a request whose rest the parser will not read; `_decline` sees to it."""
        if self.parser.get_method() == b"CONNECT":
            raise _RefusedError(_TUNNEL_NOT_OFFERED)
        return True

    def _decline(self) -> bytes:
        """Begin a request again without its offer to upgrade, as RFC 9110 section 7.8 allows, and return its new head.

        Clients of HTTP/2 offer it on any first request. The parser takes all that follows for the other protocol, even
        the body, which would then be parsed as the next request.
        """
        assert self.scope is not None
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        lines += [b"%s: %s" % (name, value) for name, value in self.scope["headers"] if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"\r\n"])

    def on_response_complete(self) -> None:
        """Go on to the next request; the watch takes the place of uvicorn's timer for each pause between two."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._running, app = self.pipeline.pop()
            self._start_asgi_task(self._running, app)

    def _refuse(self, refusal: Refusal) -> None:
        """Hear nothing more from this client, and tell it why where that cannot be taken for another answer."""
        self._is_deaf = True
        self.counts.refuse("connection", refusal.code)
        if self.desk is not None:
            self.desk.serve_all()  # what came whole before is answered first
        self._note(refusal)
        cycle = self.cycle
        if cycle is None or (self.scope is not cycle.scope and cycle.response_complete):
            self._end(refusal)
        elif self.scope is not cycle.scope:
            # What was asked before is still answered; the connection closes behind it.
            cycle.keep_alive = False
        else:
            is_unanswered = cycle is self._running and not cycle.response_started
            self._end(refusal if is_unanswered else None)

    def _note(self, refusal: Refusal) -> None:
        facts = {"code": refusal.code, "status": refusal.status, "detail": refusal.detail}
        client = self.client[0] if self.client else None
        log.info("request refused", extra={**facts, "client": client, "request_id": self._request_id()})

    def _request_id(self) -> str:
        """Return the id of the request that is being read; where none has begun, one for what came instead."""
        return self.request_ids.of({"state": {}} if self.scope is None else self.scope)

    def _end(self, refusal: Refusal | None) -> None:
        """Stop writing, and let arrive what is still on its way: unread bytes would reset the answer."""
        self._abandon()
        if refusal is not None:
            self.tell(refusal, [(request_id.HEADER, self._request_id().encode())])
        if self.transport.can_write_eof():
            self.is_refused = True
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()

    def _abandon(self) -> None:
        """Let no request write any more, and wake the one that waits for its client."""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.waiting_for_100_continue = False
            self._running.message_event.set()


def _refusal_in(error: httptools.HttpParserError) -> Refusal:
    """Return why the parser stopped: by itself, or because a callback would not go on.

    Raises:
        HttpParserCallbackError: a callback failed by our own fault.
    """
    cause = error.__context__
    if isinstance(cause, _RefusedError):
        return cause.refusal
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, httptools.HttpParserError):
        raise error
    return _MALFORMED
