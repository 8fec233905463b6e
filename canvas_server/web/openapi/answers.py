"""Answers: what an endpoint gives, and the problems with which it refuses, grouped by status."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.core.quota import QuotaExceededError
from canvas_server.web.openapi.schemas import reference
from canvas_server.web.problems import Problem, status_of

PROBLEM_TYPE: Final = "application/problem+json"


class Media(NamedTuple):
    """One form of a body: its media type, the schema of it (or of each of its items), and an example."""

    type: str
    schema: dict[str, object]
    example: object = None

    def told(self) -> dict[str, object]:
        """Return it as OpenAPI has it."""
        told: dict[str, object] = {"schema": self.schema}
        if self.example is not None:
            told["example"] = msgspec.to_builtins(self.example)
        return told


class Answer(NamedTuple):
    """What an endpoint answers when it does what it was asked."""

    status: int
    description: str
    media: tuple[Media, ...] = ()
    headers: tuple[str, ...] = ()

    def told(self) -> dict[str, object]:
        """Return it as OpenAPI has it."""
        told: dict[str, object] = {"description": self.description}
        if self.headers:
            told["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in self.headers}
        if self.media:
            told["content"] = {media.type: media.told() for media in self.media}
        return told


def json_media(kind: type[msgspec.Struct] | str, example: object = None) -> Media:
    """Return the form of a JSON body."""
    return Media("application/json", reference(kind), example)


def problems(kinds: Iterable[type[CanvasError]]) -> dict[str, object]:
    """Return the refusals of an endpoint by status, and `default` for those that any request can meet."""
    by_status: dict[int, list[type[CanvasError]]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind.__new__(kind)), []).append(kind)
    told: dict[str, object] = {str(status): _refusal(kinds) for status, kinds in sorted(by_status.items())}
    told["default"] = {"$ref": "#/components/responses/Refused"}
    return told


def _refusal(kinds: Sequence[type[CanvasError]]) -> dict[str, object]:
    lines = [f"`{kind.code}`: {_first_line(kind)}" for kind in kinds]
    told: dict[str, object] = {"description": "\n\n".join(lines), "x-codes": [kind.code for kind in kinds]}
    if any(kind is QuotaExceededError or hasattr(kind, "retry_after_s") for kind in kinds):
        told["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    told["content"] = {PROBLEM_TYPE: {"schema": reference(Problem)}}
    return told


def refused_anywhere() -> dict[str, object]:
    """Return the refusal that comes before, or instead of, what an endpoint has to say."""
    codes = (
        (HTTPStatus.BAD_REQUEST, "INVALID_REQUEST", "this is not HTTP as RFC 9112 has it"),
        (HTTPStatus.FORBIDDEN, "ORIGIN_NOT_ALLOWED", "a web page of another origin asks"),
        (HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "`Allow` names the methods there are"),
        (HTTPStatus.REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "the body did not arrive in time"),
        (HTTPStatus.MISDIRECTED_REQUEST, "HOST_NOT_ALLOWED", "`Host` is not a name of this server"),
        (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HEADERS_TOO_LARGE", "send fewer or shorter headers"),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "the server made a mistake"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "OVERLOADED", "too many connections are open"),
    )
    lines = [f"{status.value} `{code}`: {why}." for status, code, why in codes]
    return {
        "description": "Any other refusal.\n\n" + "\n\n".join(lines),
        "content": {PROBLEM_TYPE: {"schema": reference(Problem)}},
    }


def _first_line(kind: type[CanvasError]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]
