"""The parameters of paths, queries and headers, by the name under which endpoints refer to them."""

from __future__ import annotations

from typing import Final, Literal

from canvas_server.core.ids import CANVAS_REF_PATTERN, CLIENT_ID_PATTERN, CONTINUATION_ID_PATTERN
from canvas_server.web.openapi import examples

Parameter = dict[str, object]


def parameters() -> dict[str, Parameter]:
    """Return all parameters by name."""
    return _PARAMETERS


def _parameter(
    place: Literal["path", "query", "header"], name: str, description: str, schema: object, example: object = None
) -> Parameter:
    told: Parameter = {"name": name, "in": place, "description": description, "schema": schema}
    if place == "path":
        told["required"] = True
    if example is not None:
        told["example"] = example
    return told


def _text(pattern: str | None = None) -> dict[str, object]:
    return {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}


def _number(default: int, maximum: int) -> dict[str, object]:
    return {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}


_VERSION: Final = "An ETag, its `<seq>-<chain>`, or a number of operations"

_PARAMETERS: Final[dict[str, Parameter]] = {
    "ref": _parameter("path", "ref", "Names the canvas.", _text(CANVAS_REF_PATTERN), examples.REF),
    "op_id": _parameter("path", "op_id", "Names the operation.", _text(CONTINUATION_ID_PATTERN), "ada-1"),
    "unit": _parameter(
        "query",
        "unit",
        "How offsets and lengths are counted: `utf16` as in JavaScript, `codepoint` as in Python.",
        {"enum": ["utf16", "codepoint"], "default": "utf16"},
    ),
    "at": _parameter("query", "at", f"{_VERSION}: the past to read.", _text(), examples.FIRST.cursor),
    "section": _parameter("query", "section", "Id of a heading, as the outline has it.", _text(), "ideas"),
    "after": _parameter("query", "after", f"{_VERSION}: where to begin; the beginning if left out.", _text(), "0"),
    "history_limit": _parameter("query", "limit", "Events in one answer, at most.", _number(100, 1000)),
    "list_limit": _parameter("query", "limit", "Canvases on one page, at most.", _number(50, 200)),
    "cursor": _parameter("query", "cursor", "`next_cursor` of the page before.", _text("^[0-9]{1,19}$")),
    "refs": {
        **_parameter(
            "query",
            "ref",
            "The canvases to hear of; given once for each.",
            {"type": "array", "items": _text(CANVAS_REF_PATTERN), "minItems": 1, "maxItems": 64},
            [examples.REF],
        ),
        "required": True,
        "style": "form",
        "explode": True,
    },
    "last_event_id": _parameter(
        "query", "last_event_id", "Id of the last event that was heard, where the header cannot be set.", _text()
    ),
    "last_event_ids": {
        **_parameter(
            "query",
            "last_event_id",
            "`<ref>:<seq>-<chain>`: the last id that was heard of a canvas; given once for each.",
            {"type": "array", "items": _text()},
        ),
        "style": "form",
        "explode": True,
    },
    "snapshot": _parameter(
        "query",
        "snapshot",
        "Whether the text comes first, unless the listener resumes.",
        {"type": "boolean", "default": True},
    ),
    "client_id": _parameter(
        "query", "client_id", "As `X-Client-Id`, where the header cannot be set.", _text(CLIENT_ID_PATTERN)
    ),
    "X-Client-Id": _parameter(
        "header",
        "X-Client-Id",
        "A random id of this tab or program: tells it from others of the same actor.",
        _text(CLIENT_ID_PATTERN),
    ),
    "Last-Event-ID": _parameter(
        "header", "Last-Event-ID", "Id of the last event that was heard: the stream goes on after it.", _text()
    ),
    "If-None-Match": _parameter(
        "header", "If-None-Match", "A version that is known: if it is the newest, the answer is 304.", _text()
    ),
}
