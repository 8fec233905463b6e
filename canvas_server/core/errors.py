"""The tree of errors: what can be raised, and the stable code each carries.

A refusal that is a normal answer of the protocol (a conflict, a target that is not there) is a value, never
an exception: see `core.decide`. What is here stops a request as a whole.

    CanvasError
    ├── ConfigError             the settings cannot be used
    ├── InvalidRequestError     the caller must change the request
    │   ├── InvalidJsonError        it cannot be parsed at all
    │   └── InvalidFieldError       it parses, but a field is wrong (JSON Pointer in `pointer`)
    ├── NotFoundError           there is nothing under that name
    ├── ExistsError             the name is taken
    ├── TooLargeError           a limit on size
    ├── RateLimitedError        come back later: too much from this caller
    ├── OverloadedError         come back later: too much from everybody
    ├── DrainingError           come back later: the server is stopping
    ├── StorageUnavailableError the durable store does not answer now
    └── StorageCorruptError     the durable store holds what cannot be read
"""

from __future__ import annotations

from typing import ClassVar


class CanvasError(Exception):
    """Something went wrong that a caller can act on.

    Attributes:
        code: stable, upper case; part of the protocol.
        hint: one imperative sentence that says what to do next; may be empty.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(CanvasError):
    """The settings cannot be used; the message names the key and its source."""

    code = "CONFIG_INVALID"


class InvalidRequestError(CanvasError):
    """The request is wrong and sending it again will not help."""

    code = "INVALID_REQUEST"


class InvalidJsonError(InvalidRequestError):
    """The body is not JSON as RFC 8259 means it, in UTF-8, of bounded depth."""

    code = "INVALID_JSON"


class InvalidFieldError(InvalidRequestError):
    """A field has a value that it cannot have.

    Attributes:
        pointer: RFC 6901 JSON Pointer to the field, `""` for the whole body.
    """

    code = "INVALID_FIELD"

    def __init__(self, message: str, *, pointer: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.pointer = pointer


class NotFoundError(CanvasError):
    """There is nothing under that name."""

    code = "NOT_FOUND"


def no_canvas(ref: str) -> NotFoundError:
    """Return the error for a ref that names nothing, or nothing that whoever asks may know of."""
    return NotFoundError(f"there is no canvas {ref}", hint="Check the ref, or create the canvas.")


class ExistsError(CanvasError):
    """The name is taken."""

    code = "CANVAS_EXISTS"


class TooLargeError(CanvasError):
    """The request is larger than a limit allows."""

    code = "TOO_LARGE"


class RateLimitedError(CanvasError):
    """This caller asks too much; `retry_after_s` says when to come back."""

    code = "RATE_LIMITED"
    retry_after_s = 1


class OverloadedError(CanvasError):
    """The server holds as much as it may."""

    code = "OVERLOADED"
    retry_after_s = 2


class DrainingError(CanvasError):
    """The server is stopping and takes nothing more."""

    code = "DRAINING"
    retry_after_s = 3


class StorageUnavailableError(CanvasError):
    """The durable store does not answer; nothing was changed."""

    code = "STORAGE_UNAVAILABLE"
    retry_after_s = 2


class StorageCorruptError(CanvasError):
    """The durable store holds something that cannot be read; it is left as it is."""

    code = "STORAGE_CORRUPT"
