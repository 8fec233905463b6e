"""A submission: the operations of one request, in order (PROTOCOL section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from canvas_server.core.canvas import Author, Canvas, Outcome
from canvas_server.core.event import Ack, in_utf16
from canvas_server.core.event import Outcome as OutcomeEvent
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Continuation, Operation, Unit, continue_operation, continued_op_id


class Submission:
    """Runs the operations of one request.

    After the first conflict or error the rest are not run. An operation without a version stands on the one before.
    """

    def __init__(self, canvas: Canvas, author: Author, unit: Unit, limits: Limits) -> None:
        self._canvas = canvas
        self._author = author
        self._unit = unit
        self._limits = limits
        self._base: str | None = None
        self._failed = False
        self._line_op_id = ""
        self._last_op_id = ""
        self._continued = 0
        self._ended_in_cr = False

    @property
    def canvas(self) -> Canvas:
        """The canvas that the operations go to."""
        return self._canvas

    @property
    def author(self) -> Author:
        """Who sends them."""
        return self._author

    def step(self, operation: Operation | Continuation, now_ms: int) -> Outcome:
        """Run the next operation, or say that it is not run."""
        base = None
        if isinstance(operation, Continuation):
            operation = self._named(operation)
        else:
            self._line_op_id, self._continued = operation.op_id, 0
            self._ended_in_cr = (operation.content or "").endswith("\r")
            base = self._base if operation.client_version is None else operation.client_version
        if base is None:
            base = self._canvas.version.etag
        self._last_op_id = operation.op_id
        if self._failed:
            return Outcome(self._canvas.conflict(operation.op_id, "not_executed", base, self._author))
        outcome = self._canvas.submit(operation, base, self._unit, self._author, self._limits, now_ms)
        if isinstance(outcome.event, Ack):
            self._base = outcome.event.server_version
        else:
            self._failed = True
        return outcome

    def events(self, operations: Sequence[Operation], now_ms: int) -> list[OutcomeEvent]:
        """Run operations; return what is told of each to its author, who counts as the request does."""
        events = []
        for operation in operations:
            outcome = self.step(operation, now_ms)
            event = outcome.event
            if self._unit == "utf16" and isinstance(event, Ack) and outcome.applied is not None:
                event = in_utf16(event, outcome.applied.wide_spans)
            events.append(event)
        return events

    def fail(self) -> None:
        """Run nothing more of this request."""
        self._failed = True

    def _named(self, continuation: Continuation) -> Operation:
        """Return the operation that a continuation line stands for."""
        self._continued += 1
        op_id = continued_op_id(self._line_op_id, self._continued)
        return continue_operation(op_id, self._last_op_id, self._second_half(continuation.content))

    def _second_half(self, content: str) -> str:
        """Return content without the LF of a CRLF whose CR the line before ended with: that was a line end already."""
        whole = content[1:] if self._ended_in_cr and content.startswith("\n") else content
        if content:
            self._ended_in_cr = content.endswith("\r")
        return whole
