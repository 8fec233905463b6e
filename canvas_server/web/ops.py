"""`POST ops:stream` and `ops:preview`: bytes become operations, and nothing is said of what becomes of them.

This is the hot path: the body is parsed once, straight into the types that check it, and handed to the room in the
same turn of the loop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Final

import msgspec

from canvas_server.core.errors import CanvasError, InvalidFieldError, TooLargeError
from canvas_server.core.event import Ack, Conflict, Failure
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Continuation, Operation, check_content, check_operation, continued_op_id
from canvas_server.core.submission import Submission
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.web.auth import Caller
from canvas_server.web.body import JSON, NDJSON, decode, expect_json, media_type, read_pieces
from canvas_server.web.exchange import Exchange, Request, UploadRefusedError
from canvas_server.web.problems import AuthRequiredError, MediaTypeError, TimedOutError
from canvas_server.web.streams import Streams


class OpsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `ops:stream` and `ops:preview`."""

    ops: Sequence[Operation]


class Accepted(msgspec.Struct, frozen=True):
    """The answer to operations that were taken; what became of them is told on the stream."""

    accepted: bool
    ops_count: int
    duration_ms: float


class Preview(msgspec.Struct, frozen=True):
    """What operations would do now."""

    events: Sequence[Ack | Conflict | Failure]
    server_version: str
    """The version that the canvas would have."""


_decode_ops: Final = msgspec.json.Decoder(OpsBody).decode
_decode_operation: Final = msgspec.json.Decoder(Operation).decode
_decode_continuation: Final = msgspec.json.Decoder(Continuation).decode
_encode: Final = msgspec.json.Encoder().encode
# Within JSON text a quote that ends a string is followed by a colon only behind a key.
_NAMES_OPERATION: Final = re.compile(rb'"op_id"\s*:')
_ACCEPTED_HEADERS: Final = (b"content-type", b"application/json")


def submit_at_once(request: Request, body: bytes, manager: CanvasStateManager) -> bytes | None:
    """Take the operations of a JSON request if that needs no waiting, and return the answer; else None.

    Raises:
        CanvasError: it is refused; nothing was taken.
    """
    started_s = perf_counter()
    limits = manager.settings.limits
    room = manager.get(request.ref)
    if room is None or media_type(request.headers) != JSON or len(body) > limits.body_bytes_max:
        return None
    caller = request.caller()
    caller.check("write")
    caller.check_canvas(request.ref, room.canvas.access, "write")
    operations = read_operations(body, limits)
    history = room.canvas.history
    if history.forgets and any(history.may_have_forgotten(operation.op_id) for operation in operations):
        return None
    return _submit(request, room, operations, manager, started_s)


async def stream_ops(exchange: Exchange, manager: CanvasStateManager, streams: Streams) -> None:
    """Serve `POST /api/v2/canvas/{ref}/ops:stream`."""
    started_s = perf_counter()
    kind = media_type(exchange.headers)
    if kind == JSON:
        limits = manager.settings.limits
        operations = read_operations(await exchange.body(limits.body_bytes_max), limits)
        _note(exchange, operations)
        room = manager.get(exchange.ref) or await manager.open(exchange.ref)
        if room.canvas.history.forgets:
            await manager.past.recall(room, [operation.op_id for operation in operations])
        await exchange.answer(202, _submit(exchange, room, operations, manager, started_s))
    elif kind == NDJSON:
        count = await _stream_lines(exchange, manager, streams)
        await exchange.answer(202, _accepted(count, started_s))
    else:
        raise MediaTypeError(
            "operations come as application/json or application/x-ndjson",
            hint="Set Content-Type to one of the two.",
        )


def _submit(
    request: Request, room: Room, operations: Sequence[Operation], manager: CanvasStateManager, started_s: float
) -> bytes:
    author, unit = request.author(), request.unit
    manager.check_admission()
    room.check_open()
    request.gate.check_ops(request.caller(), request.ref, len(operations))
    room.submit(room.begin(author, unit), operations)
    return _accepted(len(operations), started_s)


def _accepted(count: int, started_s: float) -> bytes:
    duration_ms = round((perf_counter() - started_s) * 1000, 3)
    return _encode(Accepted(accepted=True, ops_count=count, duration_ms=duration_ms))


async def preview_ops(exchange: Exchange, manager: CanvasStateManager) -> None:
    """Serve `POST /api/v2/canvas/{ref}/ops:preview`."""
    expect_json(exchange.headers)
    limits = manager.settings.limits
    operations = read_operations(await exchange.body(limits.body_bytes_max), limits)
    _note(exchange, operations)
    room = await manager.open(exchange.ref)
    exchange.gate.check_ops(exchange.caller(), exchange.ref, len(operations))
    await room.settled()
    events, twin = await room.preview(exchange.author(), exchange.unit, operations)
    await exchange.answer(200, _encode(Preview(events=events, server_version=twin.version.etag)))


def _note(exchange: Exchange, operations: Sequence[Operation]) -> None:
    for operation in operations:
        exchange.note_op(operation.op_id)


def read_operations(body: bytes, limits: Limits) -> Sequence[Operation]:
    """Read the operations of a JSON request.

    Raises:
        InvalidJsonError: it is not JSON.
        InvalidFieldError: an operation is not well-formed, or there are none, or too many.
    """
    operations = decode(_decode_ops, body).ops
    if not 1 <= len(operations) <= limits.ops_max:
        raise InvalidFieldError(
            f"a request holds 1 to {limits.ops_max} operations, not {len(operations)}",
            pointer="/ops",
            hint="Split it into several requests, or stream it as application/x-ndjson.",
        )
    for index, operation in enumerate(operations):
        check_operation(operation, limits, f"/ops/{index}")
    if operations[0].client_version is None:
        raise _no_version("/ops/0/client_version")
    return operations


class _Lines:
    """Cuts a body into lines as it arrives; holds at most one unfinished line."""

    def __init__(self, line_bytes_max: int) -> None:
        self._bytes_max = line_bytes_max
        self._parts: list[bytes] = []
        self._held = 0
        self.number = 0
        """Of the line yielded last, from 1."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that a piece completes, blank ones left out.

        Raises:
            TooLargeError: a line is too long.
        """
        *ends, rest = piece.split(b"\n")
        for end in ends:
            self._hold(end)
            yield from self._complete()
        self._hold(rest)

    def end(self) -> Iterator[bytes]:
        """Yield what is left when the body ends without a newline."""
        if self._held:
            yield from self._complete()

    def _hold(self, part: bytes) -> None:
        self._parts.append(part)
        self._held += len(part)
        if self._held > self._bytes_max:
            self.number += 1
            raise TooLargeError(f"a line is longer than {self._bytes_max} bytes", hint="Send shorter lines.")

    def _complete(self) -> Iterator[bytes]:
        line = b"".join(self._parts)
        self._parts, self._held = [], 0
        self.number += 1
        if line.strip():
            yield line


class _Upload:
    """One streamed request: lines in, operations into the room one by one.

    Args:
        exchange: the request.
        room: where they go.
        submission: of the request.
        limits: the bounds in force.
    """

    def __init__(self, exchange: Exchange, room: Room, submission: Submission, limits: Limits) -> None:
        self._exchange = exchange
        self._room = room
        self._submission = submission
        self._limits = limits
        self._continuable = False
        self._line_op_id = ""
        self._continued = 0
        self.accepted_ops = 0

    def take(self, line: bytes) -> Operation | Continuation:
        """Read one line.

        Raises:
            InvalidJsonError, InvalidFieldError: it is not an operation, nor the continuation of one.
        """
        if b'"op_id"' not in line or _NAMES_OPERATION.search(line) is None:
            continuation = decode(_decode_continuation, line)
            if not self._continuable:
                raise InvalidFieldError(
                    "there is no operation before it to continue", hint="Begin with a line that is an operation."
                )
            check_content(continuation.content, self._limits, "/content")
            return continuation
        operation = decode(_decode_operation, line)
        check_operation(operation, self._limits, "")
        if not self._continuable and operation.client_version is None:
            raise _no_version("/client_version")
        self._continuable = True
        return operation

    def _name(self, operation: Operation | Continuation) -> str:
        """Return the name of a line; a journal may be busy, and run the line only when others have come after it."""
        if isinstance(operation, Operation):
            self._line_op_id, self._continued = operation.op_id, 0
            return operation.op_id
        self._continued += 1
        return continued_op_id(self._line_op_id, self._continued)

    async def apply(self, line: bytes, manager: CanvasStateManager) -> None:
        """Read a line and hand it to the room; raises as `take` does."""
        operation = self.take(line)
        op_id = self._name(operation)
        self._exchange.note_op(op_id)
        if self._room.canvas.history.forgets:
            await manager.past.recall(self._room, [op_id])
        self._room.submit(self._submission, (operation,))
        self.accepted_ops += 1


async def _stream_lines(exchange: Exchange, manager: CanvasStateManager, streams: Streams) -> int:
    """Apply the lines of a streamed request as they arrive; return how many operations they were."""
    room = await manager.open(exchange.ref)
    limits = manager.settings.limits
    upload = _Upload(exchange, room, room.begin(exchange.author(), exchange.unit), limits)
    lines = _Lines(limits.ndjson_line_bytes_max)
    room.uploads += 1
    try:
        await _pump(exchange, manager, streams, upload, lines)
    except CanvasError as error:
        raise UploadRefusedError(error, lines.number, upload.accepted_ops) from error
    finally:
        room.uploads -= 1
    return upload.accepted_ops


async def _pump(
    exchange: Exchange, manager: CanvasStateManager, streams: Streams, upload: _Upload, lines: _Lines
) -> None:
    """Feed a body to an upload; silence, the stopping of the server and the loss of the right to write end it."""
    idle_s = manager.settings.limits.ndjson_idle_s
    clock, caller, is_over = asyncio.get_running_loop().time, exchange.caller(), asyncio.Event()

    def end() -> None:
        is_over.set()
        timer.reschedule(clock())

    async def take(line: bytes) -> None:
        await _pace(exchange, timer, is_over, idle_s)
        await upload.apply(line, manager)

    try:
        async with asyncio.timeout(idle_s) as timer:
            manager.add_upload(timer)
            try:
                with streams.held(caller, (exchange.ref,), end, "write"):
                    async for piece in read_pieces(exchange.receive):
                        manager.check_admission()
                        for line in lines.feed(piece):
                            await take(line)
                        if not is_over.is_set():
                            timer.reschedule(clock() + idle_s)
                    for line in lines.end():
                        await take(line)
            finally:
                manager.remove_upload(timer)
    except TimeoutError as error:
        manager.check_admission()
        if is_over.is_set():
            raise _no_longer(caller) from error
        raise TimedOutError(
            f"nothing came for {idle_s:g} s", hint="End the request, or send a line now and then."
        ) from error


async def _pace(exchange: Exchange, timer: asyncio.Timeout, is_over: asyncio.Event, idle_s: float) -> None:
    """Wait until the author may send one more operation: a stream is slowed down where a request would be refused.

    Raises:
        AuthRequiredError: the author may not send any more at all.
    """
    caller = exchange.caller()
    while not is_over.is_set() and (wait_s := exchange.gate.ops_wait_s(caller, exchange.ref, 1)):
        # That is no silence of the author.
        timer.reschedule(asyncio.get_running_loop().time() + wait_s + idle_s)
        await asyncio.sleep(wait_s)
    if is_over.is_set():
        raise _no_longer(caller)


def _no_longer(caller: Caller) -> AuthRequiredError:
    return AuthRequiredError(
        f"{caller.name} may not write here any more", hint="Ask the owner of the canvas, or sign in again."
    )


def _no_version(pointer: str) -> InvalidFieldError:
    return InvalidFieldError(
        "the first operation of a request names the version its author has seen",
        pointer=pointer,
        hint="Put the server_version that you know into client_version.",
    )
