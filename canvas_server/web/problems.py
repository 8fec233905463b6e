"""Refusals as HTTP shows them: RFC 9457 problems. The only place that knows statuses.

`CanvasError` says what is wrong and what to do; here it gets its status and becomes bytes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec

from canvas_server.core.errors import (
    CanvasError,
    DrainingError,
    ExistsError,
    InvalidFieldError,
    InvalidJsonError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    StorageCorruptError,
    StorageUnavailableError,
    TooLargeError,
)
from canvas_server.core.quota import QuotaExceededError
from canvas_server.generation.cost import amount_of
from canvas_server.generation.enqueue import KeyReusedError
from canvas_server.generation.presets import PresetsFullError
from canvas_server.generation.pricing import PriceUnknownError
from canvas_server.generation.providers.failures import NotConfiguredError, ProviderError, UnknownModelError

Headers: TypeAlias = list[tuple[bytes, bytes]]

NO_STORE: Final = (b"cache-control", b"no-store")
"""Nothing that was answered is kept by anybody on the way, unless the answer says how."""
"""Header fields as ASGI has them: names in lower case, in the order received."""


class AuthRequiredError(CanvasError):
    """The credentials are missing or not known."""

    code = "AUTH_REQUIRED"


class AuthExpiredError(AuthRequiredError):
    """The credentials were good once; their time is over."""

    code = "AUTH_EXPIRED"


class ForbiddenError(CanvasError):
    """The caller is known, and may not do this."""

    code = "FORBIDDEN"


class MethodNotAllowedError(CanvasError):
    """The resource does not know the method; `allowed` names those it knows."""

    code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: str) -> None:
        super().__init__("this resource does not know that method", hint=f"Use {allowed}.")
        self.allowed = allowed


class MediaTypeError(CanvasError):
    """The body is not of a type that the resource reads."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class TimedOutError(CanvasError):
    """The body did not arrive in time."""

    code = "REQUEST_TIMEOUT"
    retry_after_s = 1


_STATUSES: Final[tuple[tuple[type[CanvasError], int], ...]] = (
    (AuthRequiredError, 401),
    (ForbiddenError, 403),
    (MethodNotAllowedError, 405),
    (TimedOutError, 408),
    (MediaTypeError, 415),
    (InvalidJsonError, 400),
    (InvalidFieldError, 422),
    (PresetsFullError, 409),
    (KeyReusedError, 409),
    (InvalidRequestError, 400),
    (NotFoundError, 404),
    (ExistsError, 409),
    (TooLargeError, 413),
    (RateLimitedError, 429),
    (QuotaExceededError, 429),
    (PriceUnknownError, 422),
    (NotConfiguredError, 422),
    (UnknownModelError, 422),
    (ProviderError, 502),
    (OverloadedError, 503),
    (DrainingError, 503),
    (StorageUnavailableError, 503),
    (StorageCorruptError, 503),
)


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    hint: str
    retryable: bool
    pointer: str | None = None
    """JSON Pointer to the field that is wrong."""
    line: int | None = None
    """Of a streamed request: the number of the line that is wrong, from 1."""
    accepted_ops: int | None = None
    """Of a streamed request: how many operations before it were accepted."""
    limit: float | None = None
    """Of a refusal for the quota, as are the next three: what may be spent in the month, in the currency."""
    spent: float | None = None
    reserved: float | None = None
    resets_at: str | None = None


def status_of(error: CanvasError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_of(error: CanvasError, instance: str, line: int | None = None, accepted_ops: int | None = None) -> Problem:
    """Return the problem that tells an error.

    `instance` is the path of the request, or its id where the log tells what went wrong here.
    """
    status = status_of(error)
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=str(error),
        instance=instance,
        code=error.code,
        hint=error.hint,
        # A quota is no matter of trying again, though its month ends.
        retryable=hasattr(error, "retry_after_s") and not isinstance(error, QuotaExceededError),
        pointer=getattr(error, "pointer", None) if status == HTTPStatus.UNPROCESSABLE_ENTITY else None,
        line=line,
        accepted_ops=accepted_ops,
    )
    if isinstance(error, QuotaExceededError):
        problem.limit = amount_of(error.standing.quota_micros)
        problem.spent = amount_of(error.standing.spent_micros)
        problem.reserved = amount_of(error.standing.reserved_micros)
        problem.resets_at = error.resets_at
    return problem


def problem_bytes(problem: Problem, retry_after_s: int | None) -> tuple[Headers, bytes]:
    """Return header fields and body of the answer that tells a problem."""
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body)), NO_STORE]
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    return headers, body


def problem_answer(error: CanvasError, problem: Problem) -> tuple[int, Headers, bytes]:
    """Return status, header fields and body of the answer that tells a problem of an error."""
    headers, body = problem_bytes(problem, getattr(error, "retry_after_s", None))
    if isinstance(error, MethodNotAllowedError):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, AuthRequiredError):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, DrainingError | TimedOutError):
        # After a body that never came to its end no other request can.
        headers.append((b"connection", b"close"))
    return problem.status, headers, body
