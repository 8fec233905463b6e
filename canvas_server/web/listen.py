"""`GET ops:listen`: the one stream on which everything is told, driven directly over ASGI.

Whoever publishes writes to the connection in the same turn of the loop; there is no task and no queue a listener.
Only a connection that does not take what is sent gets a task, until it does or its time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Final, NamedTuple

import msgspec
from starlette.types import Message, Send

from canvas_server.core.counts import Counts
from canvas_server.core.errors import (
    CanvasError,
    DrainingError,
    InvalidFieldError,
    NotFoundError,
    OverloadedError,
    StorageCorruptError,
)
from canvas_server.core.event import Bye, ByeReason
from canvas_server.core.ids import CanvasRef, is_canvas_ref
from canvas_server.core.operation import Unit
from canvas_server.state.arrivals import Resume
from canvas_server.state.listener import Sink
from canvas_server.state.log import frame_of
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.web.exchange import Exchange
from canvas_server.web.problems import AuthRequiredError
from canvas_server.web.streams import Streams

STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How streams are kept."""

    refs_max: int = 64
    max_age_s: float = 43_200.0
    slow_write_s: float = 20.0
    retry_ms_min: int = 1_000
    retry_ms_max: int = 5_000


class Request(NamedTuple):
    """What a reader asks for."""

    refs: tuple[CanvasRef, ...]
    cursors: dict[CanvasRef, str]
    unit: Unit
    wants_snapshot: bool
    many: bool


class AsgiSink(Sink):
    """A connection to a reader.

    Args:
        send: the ASGI callable; steps through without waiting unless the client does not read.
        retry_ms: told in `bye`.
        slow_write_s: how long one write may take.
        counts: is told when it is ended, and why.
    """

    def __init__(self, send: Send, retry_ms: int, slow_write_s: float, counts: Counts) -> None:
        super().__init__()
        self.ready = False
        self._send = send
        self._retry_ms = retry_ms
        self._slow_write_s = slow_write_s
        self._counts = counts
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._farewell: ByeReason | None = None
        self._farewell_begun = False

    def write(self, frames: bytes) -> None:
        """Send frames; when the client does not read, a task waits until it does."""
        self._step({"type": "http.response.body", "body": frames, "more_body": True})

    def end(self, reason: ByeReason | None) -> None:
        """End the connection; with the next write that it takes, if it takes none now."""
        if self._over:
            return
        self._over = True
        self._farewell = reason
        if reason is not None:
            self._counts.dropped[reason] += 1
        if reason != "slow":
            for listener in self.listeners:
                self.owe(listener)
        self.leave()
        if self.ready:
            self.begin()

    def leave(self) -> None:
        """Listen no more."""
        for listener in self.listeners:
            listener.room.leave(listener)
        self.listeners.clear()

    def begin(self) -> None:
        """Take writes from now on."""
        self.ready = True
        self.catch_up()
        if self._over and self.ready:
            self._say_goodbye()

    def forget(self) -> None:
        """The client is gone: write nothing more."""
        self._over = True
        self.ready = False
        self.leave()
        if self._task is not None:
            self._task.cancel()

    def _say_goodbye(self) -> None:
        self.leave()
        self.ready = False
        self._farewell_begun = True
        body = b"" if self._farewell is None else frame_of(Bye(reason=self._farewell, retry_ms=self._retry_ms))
        self._step({"type": "http.response.body", "body": body, "more_body": False})

    def _step(self, message: Message) -> None:
        sending = self._send(message)
        assert isinstance(sending, Coroutine)
        try:
            blocked_on = sending.send(None)
        except StopIteration:
            return
        except OSError:
            self.forget()
            return
        self.ready = False
        self._task = asyncio.ensure_future(self._finish(sending, blocked_on))

    async def _finish(self, sending: Coroutine[object, None, None], blocked_on: object) -> None:
        """Wait until the client reads again; give it up when that takes too long."""
        timeout_s = None if self._farewell_begun else self._slow_write_s
        try:
            async with asyncio.timeout(timeout_s):
                await _resume(sending, blocked_on)
        except TimeoutError:
            # Should it read again before the server cuts the connection, it must hear that it missed something.
            self.end("slow")
            self._say_goodbye()
        except OSError:
            self._over = True
            self.leave()
        else:
            self._task = None
            if not self._farewell_begun:
                self.begin()


async def listen(exchange: Exchange, manager: CanvasStateManager, streams: Streams, settings: StreamSettings) -> None:
    """Serve `GET /api/v2/canvas/{ref}/ops:listen` and `GET /api/v2/ops:listen?ref=...`."""
    request = _request(exchange, settings)
    caller = exchange.caller()
    for ref in request.refs:
        await exchange.gate.check_canvas(caller, ref, "read")
    client_id = exchange.author(exchange.parameter("client_id")).client_id or manager.ids.name()
    retry_ms = manager.ids.between(settings.retry_ms_min, settings.retry_ms_max)
    sink = AsgiSink(exchange.send, retry_ms, settings.slow_write_s, manager.counts)
    frames = b"retry: %d\n" % retry_ms
    try:
        frames += await _arrive(exchange, manager, streams, request, sink, client_id)
    except BaseException as error:
        sink.leave()
        if not isinstance(error, CanvasError) or isinstance(
            error, NotFoundError | StorageCorruptError | AuthRequiredError
        ):
            raise
        refusal: ByeReason = "shutdown" if isinstance(error, DrainingError) else "overload"
        await _begin(exchange)
        sink.end(refusal)
        await exchange.send({"type": "http.response.body", "body": frames, "more_body": True})
        sink.begin()
        return
    max_age = _end_of_life(sink, manager, settings.max_age_s)
    manager.counts.streams += 1
    try:
        with streams.held(caller, request.refs, lambda: sink.end("revoked")):
            await _begin(exchange)
            await exchange.send({"type": "http.response.body", "body": frames, "more_body": True})
            sink.begin()
            while (await exchange.receive())["type"] != "http.disconnect":
                pass
    finally:
        manager.counts.streams -= 1
        max_age.cancel()
        sink.forget()


async def _begin(exchange: Exchange) -> None:
    exchange.status = 200
    await exchange.send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})


async def _arrive(
    exchange: Exchange, manager: CanvasStateManager, streams: Streams, request: Request, sink: AsgiSink, client_id: str
) -> bytes:
    """Listen to all canvases that a reader asks for, and return what it is told first.

    It may do so at that moment, and until the caller next waits.

    Raises:
        AuthRequiredError: its credentials ended meanwhile.
        OverloadedError: too many listen.
    """
    caller, frames = exchange.caller(), b""
    for ref in request.refs:
        room = await _readable(manager, ref)
        if manager.listeners >= manager.settings.listeners_max:
            raise OverloadedError("too many listen", hint="Try again later.")
        resume = Resume(request.cursors.get(ref), request.wants_snapshot)
        frames += room.join(sink, request.unit, client_id, resume, many=request.many)
    if not streams.may_begin(caller, request.refs):
        raise AuthRequiredError("these credentials are good for it no more", hint="Sign in again.")
    if streams.is_full_for(caller):
        raise OverloadedError("this user listens to as many streams as one may", hint="Close one of them.")
    return frames


async def _readable(manager: CanvasStateManager, ref: CanvasRef) -> Room:
    """Open a room, and return it when it may be read: until the caller next waits.

    A reader of many joins each as soon as that is so: of many busy ones there is always one that may not be read.
    """
    while True:
        room = await manager.open(ref)
        await room.settled()
        if not room.gone:
            return room


def _request(exchange: Exchange, settings: StreamSettings) -> Request:
    """Read which canvases a reader asks for, and from where.

    Raises:
        InvalidFieldError: none, too many, or a name that no canvas can have.
    """
    unit, wants_snapshot = exchange.unit, exchange.flag("snapshot", default=True)
    query = exchange.query()
    given = query.get("last_event_id", [])
    header = exchange.headers.get(b"last-event-id")
    if exchange.ref:
        last = header.decode("latin-1") if header else (given[-1] if given else None)
        return Request((exchange.ref,), {exchange.ref: last} if last else {}, unit, wants_snapshot, many=False)
    refs = tuple(dict.fromkeys(CanvasRef(ref) for ref in query.get("ref", [])))
    if not 1 <= len(refs) <= settings.refs_max or not all(map(is_canvas_ref, refs)):
        raise InvalidFieldError(
            f"ref names 1 to {settings.refs_max} canvases", pointer="/ref", hint="Say ?ref=a&ref=b."
        )
    if header:
        given = [*given, header.decode("latin-1")]
    cursors = {}
    for position in given:
        ref, _, cursor = position.rpartition(":")
        cursors[CanvasRef(ref)] = cursor
    return Request(refs, cursors, unit, wants_snapshot, many=True)


def _end_of_life(sink: AsgiSink, manager: CanvasStateManager, max_age_s: float) -> asyncio.TimerHandle:
    """Have a connection ended at about its greatest age, not all of them at once."""
    age_s = max_age_s * manager.ids.between(900, 1_100) / 1_000
    return asyncio.get_running_loop().call_later(age_s, sink.end, "max_age")


@coroutine
def _resume(sending: Coroutine[object, None, None], blocked_on: object) -> Generator[object, None, None]:
    """Go on, inside a task, with a coroutine that was stepped by hand up to where it waits."""
    try:
        while True:
            try:
                yield blocked_on
            except BaseException as error:  # noqa: BLE001 - handed on to the coroutine, whose answer counts
                blocked_on = sending.throw(error)
            else:
                blocked_on = sending.send(None)
    except StopIteration:
        return
