"""An endpoint: one method of one path, and what several of them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from canvas_server.core.errors import (
    CanvasError,
    DrainingError,
    InvalidFieldError,
    InvalidJsonError,
    NotFoundError,
    OverloadedError,
    StorageCorruptError,
    StorageUnavailableError,
    TooLargeError,
)
from canvas_server.web.openapi.answers import Answer, Media
from canvas_server.web.problems import AuthRequiredError, MediaTypeError

Method: TypeAlias = Literal["get", "put", "post", "patch", "delete"]
Refusals: TypeAlias = tuple[type[CanvasError], ...]

CANVAS: Final = "/api/v2/canvas/{ref}"
"""The path of a canvas."""

OPENING: Final[Refusals] = (
    NotFoundError,
    OverloadedError,
    StorageUnavailableError,
    StorageCorruptError,
    DrainingError,
)
"""What can stop a request that needs an open canvas."""

KEEPING: Final[Refusals] = (StorageUnavailableError, StorageCorruptError)
"""What can be wrong with what is kept."""

READING_BODY: Final[Refusals] = (
    InvalidJsonError,
    AuthRequiredError,
    TooLargeError,
    MediaTypeError,
    InvalidFieldError,
)
"""What can be wrong with a body, or with who sends it."""


class Endpoint(NamedTuple):
    """One method of one path.

    `parameters` are names of `parameters`; `refusals` those that only its own work can meet.
    """

    method: Method
    path: str
    id: str
    tag: str
    summary: str
    answers: Sequence[Answer]
    description: str = ""
    parameters: Sequence[str] = ()
    body: Sequence[Media] = ()
    body_required: bool = True
    refusals: Refusals = ()
