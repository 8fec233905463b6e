"""What can go wrong for a client, by what its caller can do about it.

    ClientError                 everything; `code`, `hint` and `retryable` say what is known
    ├── UnreachableError        no answer came: the server is not there, or the way to it is cut
    ├── RefusedError            the server refused the request; `status` and `problem` say how
    │   ├── UnauthorizedError       it does not know the credentials (401)
    │   ├── ForbiddenError          they do not allow this (403)
    │   ├── NotFoundError           there is no such canvas, version or operation (404)
    │   ├── ExistsError             the ref is taken (409)
    │   └── BusyError               it wants to be asked again after `retry_after_s` (408, 429, 503)
    ├── OperationError          an operation was not applied; `event` is its conflict or error
    └── EndedError              the canvas is deleted, or this session of it is closed

A conflict that `send` gets is an answer and no exception; `OperationError` is raised only by what cannot go on without
the operation, such as `write_stream`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.core.event import Conflict, Failure


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something cannot be done now, as the server told it (RFC 9457)."""

    code: str
    message: str = msgspec.field(name="detail", default="")
    hint: str = ""
    status: int = 0
    """0: it was no answer of HTTP."""
    retryable: bool = False
    pointer: str | None = None
    """JSON Pointer of the field that is wrong."""
    line: int | None = None
    """Of a streamed request: the number of the line that was refused, from 1."""
    accepted_ops: int | None = None
    """Of a streamed request: how many operations before it were accepted."""


class ClientError(CanvasError):
    """Something a client was asked for did not happen."""

    code = "CLIENT"

    def __init__(self, message: str, *, code: str = "", hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        if code:
            self.code = code  # type: ignore[misc] # the server has more codes than there are classes here
        self.retryable = retryable
        """Whether the very same may succeed later."""


class UnreachableError(ClientError):
    """No answer came; whether the server took the request is not known."""

    code = "UNREACHABLE"

    def __init__(self, message: str, *, hint: str = "Check that the server runs, and its address.") -> None:
        super().__init__(message, hint=hint, retryable=True)


class RefusedError(ClientError):
    """The server refused; nothing was applied but what `problem.accepted_ops` tells."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message, code=problem.code, hint=problem.hint, retryable=problem.retryable)
        self.problem = problem
        self.status = problem.status


class UnauthorizedError(RefusedError):
    """The server does not know the credentials."""


class ForbiddenError(RefusedError):
    """The credentials do not allow this."""


class NotFoundError(RefusedError):
    """There is nothing under that name, or nothing that one may know of."""


class ExistsError(RefusedError):
    """The ref is taken."""


class BusyError(RefusedError):
    """The server takes it later."""

    def __init__(self, problem: Problem, retry_after_s: float) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


class OperationError(ClientError):
    """An operation was not applied."""

    def __init__(self, event: Conflict | Failure) -> None:
        if isinstance(event, Conflict):
            super().__init__(f"conflict: {event.reason}", code=event.reason, hint=event.hint, retryable=True)
        else:
            super().__init__(event.message, code=event.code, hint=event.hint)
        self.event = event


class EndedError(ClientError):
    """There is no canvas to write to any more, or this session of it was closed."""

    code = "ENDED"


_KINDS: Final[dict[int, type[RefusedError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ExistsError,
}
_CODES: Final = {401: "AUTH_REQUIRED", 403: "FORBIDDEN", 404: "NOT_FOUND"}
"""Where an answer has no body."""
_BUSY: Final = frozenset({408, 425, 429, 502, 503, 504})
_RETRY_AFTER_S: Final = 1.0


def refusal(status: int, body: bytes, retry_after: str | None) -> RefusedError:
    """Return the error that an answer means.

    Args:
        status: of HTTP, 400 or more.
        body: a problem as JSON, or whatever something on the way put there.
        retry_after: the header of that name, in seconds.
    """
    try:
        told = msgspec.json.decode(body, type=Problem)
        problem = msgspec.structs.replace(told, status=status)
    except msgspec.MsgspecError:
        problem = Problem(
            code=_CODES.get(status, "HTTP_ERROR"),
            message=f"the server answered {status}",
            hint="Check the address: this is no answer of a canvas-server.",
            status=status,
            retryable=status in _BUSY,
        )
    if status in _BUSY:
        is_number = retry_after is not None and retry_after.isdecimal()
        return BusyError(problem, float(retry_after) if is_number and retry_after else _RETRY_AFTER_S)
    return _KINDS.get(status, RefusedError)(problem)


def problem_of(error: ClientError) -> Problem:
    """Return what an error says, as a value that can be kept."""
    if isinstance(error, RefusedError):
        return error.problem
    return Problem(code=error.code, message=str(error), hint=error.hint, retryable=error.retryable)
