"""The document: everything the other modules say, in the places where OpenAPI 3.1 wants it."""

from __future__ import annotations

from typing import Final

from canvas_server import __version__
from canvas_server.core.errors import RateLimitedError
from canvas_server.web.openapi.answers import problems, refused_anywhere
from canvas_server.web.openapi.endpoint import Endpoint, Refusals
from canvas_server.web.openapi.endpoints import TAGS, endpoints
from canvas_server.web.openapi.parameters import parameters
from canvas_server.web.openapi.schemas import schemas
from canvas_server.web.problems import AuthExpiredError, AuthRequiredError, ForbiddenError

_DESCRIPTION: Final = (
    "Markdown canvases that people and programs edit together. One server decides; everybody hears the same events in"
    " the same order.\n\n"
    "Listen with `GET ops:listen`, write with `POST ops:stream`. Every change names the version its author saw; what"
    " became of it is told on the stream: `ack`, `conflict` or `error`.\n\n"
    "Beside canvases: language models that write, into a canvas or not, as jobs that survive a crash; what they cost;"
    " presets and saved dialogues.\n\n"
    "Each refusal is a problem (RFC 9457) with a stable `code` and a `hint` that says what to do. Where there is GET"
    " there is HEAD, streams excepted. Limits are the default settings; `start` tells those in force."
)
_FOR_EVERYBODY: Final = ("/healthz", "/readyz")
_FOR_ANYBODY_KNOWN: Final = ("/api/v2/me",)
_HEADERS: Final[dict[str, object]] = {
    "ETag": {"description": "The version.", "schema": {"type": "string"}},
    "Location": {"description": "Path of what was made.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "X-Quota-Warning": {
        "description": "How much of the month's quota is used, once it is nearly all.",
        "schema": {"type": "string", "pattern": "^[0-9.]+%$"},
    },
}


def openapi_document() -> dict[str, object]:
    """Return the description."""
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints():
        paths.setdefault(endpoint.path, {})[endpoint.method] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "canvas-server", "version": __version__, "description": _DESCRIPTION},
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "parameters": parameters(),
            "headers": _HEADERS,
            "responses": {"Refused": refused_anywhere()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _refusals(endpoint: Endpoint) -> Refusals:
    """Return what an endpoint may refuse for, credentials and rights included, which nearly all ask for."""
    asked = () if endpoint.path in _FOR_EVERYBODY else (AuthRequiredError, AuthExpiredError, RateLimitedError)
    right = () if endpoint.path in (*_FOR_EVERYBODY, *_FOR_ANYBODY_KNOWN) else (ForbiddenError,)
    return tuple(dict.fromkeys((*asked, *right, *endpoint.refusals)))


def _operation(endpoint: Endpoint) -> dict[str, object]:
    answers = {str(answer.status): answer.told() for answer in endpoint.answers}
    told: dict[str, object] = {
        "operationId": endpoint.id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "responses": {**answers, **problems(_refusals(endpoint))},
    }
    if endpoint.path in _FOR_EVERYBODY:
        told["security"] = []
    if endpoint.description:
        told["description"] = endpoint.description
    if endpoint.parameters:
        told["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in endpoint.parameters]
    if endpoint.body:
        told["requestBody"] = {
            "required": endpoint.body_required,
            "content": {media.type: media.told() for media in endpoint.body},
        }
    return told
