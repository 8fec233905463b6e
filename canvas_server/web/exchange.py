"""One request and its answer, straight over ASGI; and what answers for every resource.

A handler takes an `Exchange` and raises a `CanvasError` where it refuses; here that becomes a problem.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from canvas_server.core.canvas import Author
from canvas_server.core.counts import Counts
from canvas_server.core.current import REQUEST_ID
from canvas_server.core.errors import CanvasError, InvalidFieldError, NotFoundError
from canvas_server.core.ids import CanvasRef, is_canvas_ref
from canvas_server.core.operation import Unit
from canvas_server.web.auth import Caller, author_of
from canvas_server.web.body import ClientGoneError, read_body
from canvas_server.web.gate import OPEN, Gate, Need
from canvas_server.web.problems import NO_STORE, Headers, MethodNotAllowedError, problem_answer, problem_of

log = logging.getLogger(__name__)
access = logging.getLogger("canvas_server.access")

_UNITS: Final[Mapping[bytes, Unit]] = {b"": "utf16", b"unit=utf16": "utf16", b"unit=codepoint": "codepoint"}
"""What nearly all queries of a request with operations are."""

_CLIENT_GONE: Final = 499
"""Counted and logged for who left before an answer; nobody is told."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that are counted by name: a client may make up as many as it likes."""
_LONG_S: Final = 0.5
"""A body that took longer to come may have outlasted the rights of who sent it."""

Handler: TypeAlias = Callable[["Exchange"], Awaitable[None]]


class Guarded(NamedTuple):
    """A handler behind the gate."""

    need: Need
    handler: Handler


class UploadRefusedError(Exception):
    """A streamed request ended at a line.

    Args:
        error: why.
        line: its number, from 1.
        accepted_ops: how many operations before it were accepted.
    """

    def __init__(self, error: CanvasError, line: int, accepted_ops: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.line = line
        self.accepted_ops = accepted_ops


_OP_IDS_TOLD: Final = 10


class Request:
    """What a request says, its body aside."""

    __slots__ = ("_caller", "gate", "headers", "ref", "scope")

    _counts = False
    """Whether wrong credentials count; what is refused here is asked again as an `Exchange`."""

    def __init__(self, scope: Scope, gate: Gate, ref: str) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.ref = CanvasRef(ref)
        """The canvas that the path names; empty where it names none."""
        self.gate = gate
        self._caller: Caller | None = None

    @property
    def path(self) -> str:
        """The path, without the query."""
        path: str = self.scope["path"]
        return path

    def query(self) -> dict[str, list[str]]:
        """Return the query's parameters.

        Raises:
            InvalidFieldError: there are too many, or they are not UTF-8.
        """
        raw: bytes = self.scope["query_string"]
        if not raw:
            return {}
        try:
            return parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=200, errors="strict")
        except ValueError as error:
            raise InvalidFieldError("the query cannot be read", hint="Encode it as a URL wants it.") from error

    def parameter(self, name: str) -> str | None:
        """Return a parameter of the query, the last one of that name."""
        return self.query().get(name, [None])[-1]

    @property
    def unit(self) -> Unit:
        """How the client counts offsets; raises `InvalidFieldError` for a unit that there is not."""
        query: bytes = self.scope["query_string"]
        if query in _UNITS:
            return _UNITS[query]
        match self.parameter("unit"):
            case None | "utf16":
                return "utf16"
            case "codepoint":
                return "codepoint"
            case _:
                raise InvalidFieldError(
                    "unit is utf16 or codepoint", pointer="/unit", hint="Say unit=utf16 or unit=codepoint."
                )

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a parameter that is true or false."""
        value = self.parameter(name)
        if value is None:
            return default
        if value not in ("true", "false", "1", "0"):
            raise InvalidFieldError(f"{name} is true or false", pointer=f"/{name}", hint=f"Say {name}=true.")
        return value in ("true", "1")

    def author(self, client_id: str | None = None) -> Author:
        """Return who sends the request; raises as `caller` and `author_of` do."""
        return author_of(self.caller(), self.headers, client_id)

    @property
    def is_known(self) -> bool:
        """Whether it comes with good credentials."""
        try:
            self.caller()
        except CanvasError:
            return False
        return True

    def caller(self) -> Caller:
        """Return who asks; raises as `Gate.caller` does."""
        if self._caller is None:
            ticket = self.parameter("ticket") if b"ticket=" in self.scope["query_string"] else None
            self._caller = self.gate.caller(self.scope, self.headers, ticket, counts=self._counts)
        return self._caller


class Exchange(Request):
    """A request, and the way to answer it."""

    __slots__ = ("_need", "op_ids", "ops", "receive", "send", "status")

    _counts = True

    def __init__(self, scope: Scope, receive: Receive, send: Send, gate: Gate, ref: str) -> None:
        super().__init__(scope, gate, ref)
        self._need = OPEN
        self.receive = receive
        self.send = send
        self.status = 0
        """Of the answer, once it has begun."""
        self.ops = 0
        """How many operations were read."""
        self.op_ids: list[str] = []
        """The names of the first of them."""

    def note_op(self, op_id: str) -> None:
        """Take note of an operation that was read, for the log."""
        self.ops += 1
        if self.ops <= _OP_IDS_TOLD:
            self.op_ids.append(op_id)

    async def admit(self, need: Need) -> None:
        """Ask whoever comes for what the route needs; raises as the gate does."""
        self._need = need
        if not need.known:
            return
        caller = self.caller()
        if need.right is not None:
            caller.check(need.right)
        if need.level is not None:
            await self.gate.check_canvas(caller, self.ref, need.level)
        elif not need.bound:
            caller.check_unbound()

    async def body(self, bytes_max: int) -> bytes:
        """Read the body; raises as `read_body` does.

        Whoever takes long to send it is asked once more: the rights may be lost in between.
        """
        started_s = perf_counter()
        body = await read_body(self.receive, self.headers, bytes_max)
        if perf_counter() - started_s > _LONG_S:
            self._caller = None
            await self.admit(self._need)
        return body

    async def answer(
        self, status: int, body: bytes = b"", content_type: bytes = b"application/json", headers: Headers | None = None
    ) -> None:
        """Send the whole answer."""
        fields = [(b"content-length", b"%d" % len(body))] if status not in (204, 304) else []
        if body:
            fields.append((b"content-type", content_type))
        if headers:
            fields += headers
        if all(name != b"cache-control" for name, _value in fields):
            fields.append(NO_STORE)
        self.status = status
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})


class Resource:
    """ASGI application for one path: a handler for each method it knows.

    Args:
        gate: asks who comes.
        handlers: by method.
        head: whether GET answers HEAD.
        route: the template of the path, under which requests are counted.
        logs: whether each request is logged.
        unknown: there is nothing under the path at all.
        counts: is told of answers and refusals.
    """

    def __init__(
        self,
        gate: Gate,
        handlers: Mapping[str, Guarded],
        *,
        head: bool = True,
        route: str = "",
        logs: bool = False,
        unknown: bool = False,
        counts: Counts | None = None,
    ) -> None:
        self._gate = gate
        self._handlers = dict(handlers)
        if head and "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]
        self._route = route
        self._logs = logs
        self._unknown = unknown
        self._counts = Counts() if counts is None else counts
        self._requests = self._counts.requests_of(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; its canvas is the path parameter `ref`."""
        await self.serve(scope, receive, send, scope.get("path_params", {}).get("ref", ""))

    async def serve(self, scope: Scope, receive: Receive, send: Send, ref: str) -> None:
        """Serve a request to a canvas."""
        exchange = Exchange(scope, receive, send, self._gate, ref)
        scope.setdefault("state", {})["route"] = self._route
        started_s = perf_counter() if self._logs else 0.0
        try:
            await self._handle(exchange)
        except CanvasError as error:
            await self._refuse(exchange, error)
        except UploadRefusedError as refused:
            await self._refuse(exchange, refused.error, refused)
        except ClientGoneError:
            exchange.status = _CLIENT_GONE
        except Exception:
            # The one place that catches all: whatever our bug is, the client gets an answer and the log the story.
            log.exception("request failed", extra={"method": scope["method"], "path": scope["path"]})
            mistake = CanvasError("the server made a mistake", hint="Send the same op_ids again, once.")
            await self._refuse(exchange, mistake, instance=REQUEST_ID.get())
        method = scope["method"]
        self._requests.take(method if method in _METHODS else "other", exchange.status or _CLIENT_GONE)
        if self._logs:
            _log(exchange, took_ms=round((perf_counter() - started_s) * 1000, 3))

    async def _handle(self, exchange: Exchange) -> None:
        if self._unknown:
            raise NotFoundError("there is nothing under this path", hint="See /docs for what there is.")
        guarded = self._handlers.get(exchange.scope["method"])
        if guarded is None:
            raise MethodNotAllowedError(", ".join(sorted(self._handlers)))
        if exchange.ref and not is_canvas_ref(exchange.ref):
            raise NotFoundError(
                "no canvas can have that name", hint="Use letters, digits, '.', '_' and '-', 128 at most."
            )
        await exchange.admit(guarded.need)
        await guarded.handler(exchange)

    async def _refuse(
        self,
        exchange: Exchange,
        error: CanvasError,
        refused: UploadRefusedError | None = None,
        instance: str = "",
    ) -> None:
        self._counts.refuse("application", error.code)
        await _refuse(exchange, error, refused, instance)


def _log(exchange: Exchange, took_ms: float) -> None:
    scope = exchange.scope
    facts = {"method": scope["method"], "path": scope["path"], "status": exchange.status, "took_ms": took_ms}
    if exchange.ops:
        facts |= {"ops": exchange.ops, "op_ids": exchange.op_ids}
    access.info("request", extra={**facts, "client": exchange.gate.proxies.address_of(scope, exchange.headers)})


async def _refuse(
    exchange: Exchange, error: CanvasError, refused: UploadRefusedError | None = None, instance: str = ""
) -> None:
    if exchange.status:
        log.warning("refused after the answer began", extra={"path": exchange.path, "code": error.code})
        return
    problem = problem_of(error, instance or exchange.path)
    if refused is not None:
        problem.line, problem.accepted_ops = refused.line, refused.accepted_ops
    status, headers, body = problem_answer(error, problem)
    exchange.status = status
    await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": body})
