"""Streaming text into a canvas as it comes, token by token, in one request of NDJSON.

Each text that is written is a line, and each line an operation: it is applied as it arrives. A request that breaks off
is made again under the same names, from the last full line on, so what was applied already changes nothing. A line that
meets a conflict is sent again, after what stands of the text before it. Lines that a crash made the server forget are
edits of the session from then on, and so is what follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import msgspec

from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.client.courier import ANSWER_S, TEMPORARY, Courier
from canvas_server.client.cutting import LineCutter
from canvas_server.client.errors import (
    BusyError,
    ClientError,
    EndedError,
    OperationError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from canvas_server.client.opened import OpenCanvas, View
from canvas_server.client.unsaved import Op
from canvas_server.core.event import Ack, Conflict, Failure, Outcome

log = logging.getLogger(__name__)

SEGMENT_LINES: Final = 200
"""Lines under one full line: so many are sent again at most when a request breaks off."""
WAITING_LINES_MAX: Final = 10_000
KEEP_ALIVE_S: Final = 10.0
"""Of silence, after which a blank line says that there is more to come."""
_CHUNK_CHARS: Final = 16_384
"""Of one line; a longer text is cut."""
_ATTEMPTS: Final = 8
_PAUSE_S: Final = 0.1
_PAUSE_S_MAX: Final = 5.0
_GONE: Final = frozenset({"UNKNOWN_OP", "TARGET_NOT_FOUND", "TARGET_AMBIGUOUS"})


@dataclass
class _Segment:
    """A full line and those that continue it."""

    op: Op
    lines: list[_Line] = field(default_factory=list)


@dataclass
class _Line:
    content: str
    op_id: str = ""
    is_acked: bool = False


class StreamWriter:
    """Writes one text; use it as an async context manager, which waits until all of it was applied.

    When the block is left by an exception, what was written so far stays, and no more is sent.

    Args:
        canvas: that is written to.
        courier: of the canvas.
        opening: the first line, without content.
    """

    def __init__(self, canvas: OpenCanvas, courier: Courier, opening: Op) -> None:
        self.op_id = str(opening["op_id"])
        """Of the first line; `<op_id>.<n>` and `<op_id>-<m>` follow."""
        self._canvas = canvas
        self._courier = courier
        self._opening = opening
        self._waiting: list[_Line] = []
        self._segments: list[_Segment] = []
        self._by_id: dict[str, _Line] = {}
        self._named = 0
        self._cutter = LineCutter(opening)
        self._unacked = 0
        self._last_acked = ""
        self._point: int | None = None
        self._failure: Conflict | Failure | None = None
        self._attempts = 0
        self._was_cut = False
        """Whether it is not known what became of the last request."""
        self._is_closed = False
        self._as_edits = False
        self._error: ClientError | None = None
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> StreamWriter:
        if self._canvas.ended is not None:
            raise self._canvas.ended
        self._canvas.writers.append(self)
        self._canvas.viewers.append(self._look)
        self._task = asyncio.get_running_loop().create_task(self._deliver(), name="canvas-writer")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None:
                await self.aclose()
        finally:
            await self.stop()

    async def write(self, text: str) -> None:
        """Write a piece of text; waits while very much of it is under way.

        Raises:
            ClientError: no more can be written; `unwritten` says what was not.
        """
        if self._is_closed:
            raise EndedError("the writer is closed", hint="Open another with write_stream().")
        if self._canvas.ended is not None:
            raise self._canvas.ended
        self._waiting += map(_Line, self._cutter.cut(text, self._chars_max))
        self._more.set()
        await self._canvas.until(lambda: self._error is not None or len(self._waiting) < WAITING_LINES_MAX)
        self._check()

    async def aclose(self) -> None:
        """Write no more, and wait until all was applied; raises as `write` does."""
        self._waiting += map(_Line, self._cutter.end(self._chars_max))
        self._is_closed = True
        self._more.set()
        if self._task is not None:
            await asyncio.wait({self._task})
            self._check()
            if self.unwritten:
                raise self._canvas.ended or EndedError("the writer was stopped")

    @property
    def _chars_max(self) -> int:
        limits = self._canvas.limits
        return max(1, min(_CHUNK_CHARS, limits.ndjson_line_bytes_max // 16, limits.content_bytes_max // 4))

    @property
    def unwritten(self) -> str:
        """What is not known to be applied, in order."""
        lines = [line for segment in self._segments for line in segment.lines if not line.is_acked]
        return "".join(line.content for line in (*lines, *self._waiting)) + self._cutter.held

    async def stop(self) -> None:
        """Send no more, at once."""
        self._is_closed = True
        with suppress(ValueError):
            self._canvas.writers.remove(self)
            self._canvas.viewers.remove(self._look)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def hear(self, event: Outcome) -> None:
        """Take what became of an operation."""
        line = self._by_id.get(event.op_id)
        if line is None:
            return
        if isinstance(event, Ack):
            self._unacked -= not line.is_acked
            line.is_acked = True
            self._last_acked = event.op_id
            self._attempts = 0
        elif not line.is_acked and not (isinstance(event, Conflict) and event.reason == "not_executed"):
            self._failure = self._failure or event
            self._more.set()
        self._canvas.pulse()

    def adopt(self) -> None:
        """Lines that were acked and forgotten became edits: all that follows is one, too."""
        if self._last_acked:
            self._as_edits = True
            self._more.set()

    def _look(self, view: View) -> None:
        """Keep the place where the text goes on, whatever happens around it."""
        spots = view.changes.spots
        if view.ack is not None and view.ack.op_id in self._by_id and spots:
            last = spots[-1]
            self._point = last.end + view.changes.growth
        elif self._point is not None:
            self._point = view.changes.map_point(self._point, "before")

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _deliver(self) -> None:
        """Send until all was applied, or nothing more can be."""
        try:
            while not await self._is_done():
                await self._canvas.until(lambda: self._canvas.state == "live")
                if self._as_edits:
                    self._edit_rest()
                    await self._wait_for_more()
                else:
                    await self._request()
        except ClientError as error:
            self._error = error
        except Exception as error:
            log.exception("a writer failed", extra={"canvas": self._canvas.ref})
            self._error = ClientError(f"the writer failed: {error}", code="INTERNAL", hint="Report this.")
        finally:
            self._canvas.pulse()

    async def _is_done(self) -> bool:
        """Whether all that was given is applied and no more is to come; waits while there is nothing to do."""
        while not self.unwritten:
            if self._is_closed:
                if self._as_edits:
                    await self._canvas.until(lambda: self._canvas.replica.is_settled)
                return True
            await self._wait_for_more()
        return False

    async def _wait_for_more(self) -> None:
        self._more.clear()
        if not self._waiting and not self._is_closed:
            await self._more.wait()

    async def _request(self) -> None:
        """Make one request, and wait for what becomes of its lines."""
        self._failure, self._was_cut, was_cut = None, False, self._was_cut
        try:
            await self._canvas.connection.ask(
                "POST",
                f"{self._canvas.path}/ops:stream",
                query=[("unit", "codepoint")],
                content=self._body(),
                headers={"Content-Type": "application/x-ndjson"},
            )
            await self._await_outcomes()
        except (BusyError, UnreachableError, UnauthorizedError) as error:
            await self._pause(error)
        except RefusedError as error:
            if not error.retryable:
                raise
            await self._pause(error)
        if was_cut and self._was_cut:
            # The last copy may still be on its way: what becomes of the next, under the same names, is told.
            return
        if was_cut:
            await self._read_history()
        if self._mend():
            await asyncio.sleep(min(_PAUSE_S * 2.0 ** min(self._attempts, 10), _PAUSE_S_MAX))

    async def _read_history(self) -> None:
        """After a refusal: the lines that were sent twice may have been applied as the others; the history tells."""
        canvas = self._canvas
        if self._failure is not None:
            canvas.heal = canvas.heal or "history"
            canvas.pulse()
            await canvas.until(lambda: canvas.state == "live")
            line = self._by_id.get(self._failure.op_id)
            if line is not None and line.is_acked:
                self._failure = None

    async def _await_outcomes(self) -> None:
        canvas = self._canvas

        def are_known() -> bool:
            return not self._unacked or self._failure is not None or self._as_edits or not canvas.is_connected

        try:
            async with asyncio.timeout(ANSWER_S):
                await canvas.until(are_known)
        except TimeoutError:
            self._was_cut = True
            canvas.renew()

    async def _pause(self, error: ClientError) -> None:
        """Wait before the next attempt; the stream tells first whether the server is still the same."""
        self._attempts += 1
        self._was_cut = True
        if isinstance(error, UnauthorizedError) and self._attempts >= _ATTEMPTS:
            raise error
        if isinstance(error, UnreachableError):
            self._canvas.renew()
        pause_s = min(_PAUSE_S * 2.0 ** min(self._attempts, 10), _PAUSE_S_MAX)
        await asyncio.sleep(max(pause_s, error.retry_after_s) if isinstance(error, BusyError) else pause_s)

    def _mend(self) -> bool:
        """Have lines that were not applied sent under new names, or as edits, or give up.

        Returns:
            Whether it should wait before: for the server's disk.

        Raises:
            OperationError: nothing of it can be written.
        """
        if (failure := self._failure) is None:
            return False
        self._attempts += 1
        is_temporary = isinstance(failure, Failure) and failure.code in TEMPORARY
        if isinstance(failure, Failure) and failure.code in _GONE and self._last_acked:
            self._as_edits = True
            return False
        if not is_temporary and (isinstance(failure, Failure) or self._attempts >= _ATTEMPTS):
            raise OperationError(failure)
        lost = [line for segment in self._segments for line in segment.lines if not line.is_acked]
        self._forget_lines()
        self._waiting[:0] = lost
        return is_temporary

    def _edit_rest(self) -> None:
        """Insert what is left as an edit of the session."""
        text = self.unwritten
        self._forget_lines()
        self._waiting.clear()
        replica, point = self._canvas.replica, self._point
        if text:
            at = len(replica.text) if point is None else min(point, len(replica.text))
            changes = ChangeSet([Change(at, at, text)])
            replica.edit(changes)
            self._canvas.show(changes, "local")
            self._point = at + len(text)
            self._canvas.pulse()

    def _forget_lines(self) -> None:
        self._segments.clear()
        self._by_id.clear()
        self._unacked = 0

    async def _body(self) -> AsyncIterator[bytes]:
        """Yield the lines: first again those of a request that broke off, then what is written from now on."""
        self._segments = [segment for segment in self._segments if any(not line.is_acked for line in segment.lines)]
        is_first = True
        for segment in tuple(self._segments):
            for number, line in enumerate(segment.lines):
                yield self._encoded(line, None if number else segment.op, is_first=is_first)
                is_first = False
        segment_now: _Segment | None = None
        while not (self._failure or self._as_edits):
            if not self._waiting:
                if self._is_closed:
                    return
                if not await self._has_more():
                    yield b"\n"
                continue
            line = self._waiting.pop(0)
            op = None
            if segment_now is None or len(segment_now.lines) >= SEGMENT_LINES:
                op = self._head()
                segment_now = _Segment(op)
                self._segments.append(segment_now)
            self._name(line, segment_now)
            self._canvas.pulse()
            yield self._encoded(line, op, is_first=is_first)
            is_first = False

    async def _has_more(self) -> bool:
        """Wait for more to write; False after a long silence."""
        self._more.clear()
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                await self._more.wait()
        except TimeoutError:
            return False
        return True

    def _head(self) -> Op:
        """Return a full line: the opening, or one that goes on after what was written before it."""
        lines = [line for segment in self._segments for line in segment.lines]
        before = lines[-1].op_id if lines else self._last_acked
        if not before:
            return self._opening
        self._named += 1
        return {
            "op_id": f"{self.op_id}-{self._named}",
            "scope": "range",
            "action": "insert",
            "target": {"type": "op", "op": {"op_id": before}},
            "where": "after",
        }

    def _name(self, line: _Line, segment: _Segment) -> None:
        number = len(segment.lines)
        line.op_id = f"{segment.op['op_id']}.{number}" if number else str(segment.op["op_id"])
        segment.lines.append(line)
        self._unacked += 1
        self._by_id[line.op_id] = line
        self._canvas.replica.own_line(line.op_id)

    def _encoded(self, line: _Line, op: Op | None, *, is_first: bool) -> bytes:
        if op is None:
            return msgspec.json.encode({"content": line.content}) + b"\n"
        version = {"client_version": self._canvas.replica.version} if is_first else {}
        return msgspec.json.encode({**op, **version, "content": line.content}) + b"\n"
