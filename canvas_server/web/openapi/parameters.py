"""The parameters of paths, queries and headers, by the name under which endpoints refer to them."""

from __future__ import annotations

from typing import Final

from canvas_server.core.identity import USER_NAME_PATTERN
from canvas_server.core.ids import CANVAS_REF_PATTERN, CLIENT_ID_PATTERN, CONTINUATION_ID_PATTERN
from canvas_server.web.openapi import examples
from canvas_server.web.openapi.generation_parameters import GENERATION_PARAMETERS
from canvas_server.web.openapi.parameter import Parameter, flag, number, parameter, text


def parameters() -> dict[str, Parameter]:
    """Return all parameters by name."""
    return {**_PARAMETERS, **GENERATION_PARAMETERS}


_VERSION: Final = "An ETag, its `<seq>-<chain>`, or a number of operations"

_PARAMETERS: Final[dict[str, Parameter]] = {
    "ref": parameter("path", "ref", "Names the canvas.", text(CANVAS_REF_PATTERN), examples.REF),
    "op_id": parameter("path", "op_id", "Names the operation.", text(CONTINUATION_ID_PATTERN), "ada-1"),
    "user_name": parameter("path", "name", "Names the user.", text(USER_NAME_PATTERN), "ada"),
    "token_id": parameter("path", "id", "Names the token, without being it.", text("^[0-9a-f]{16}$")),
    "all_tokens": parameter("query", "all", "Those of everybody, for an admin.", flag(default=False)),
    "unit": parameter(
        "query",
        "unit",
        "How offsets and lengths are counted: `utf16` as in JavaScript, `codepoint` as in Python.",
        {"enum": ["utf16", "codepoint"], "default": "utf16"},
    ),
    "at": parameter("query", "at", f"{_VERSION}: the past to read.", text(), examples.FIRST.cursor),
    "section": parameter("query", "section", "Id of a heading, as the outline has it.", text(), "ideas"),
    "after": parameter("query", "after", f"{_VERSION}: where to begin; the beginning if left out.", text(), "0"),
    "history_limit": parameter("query", "limit", "Events in one answer, at most.", number(100, 1000)),
    "list_limit": parameter("query", "limit", "Canvases on one page, at most.", number(50, 200)),
    "cursor": parameter("query", "cursor", "`next_cursor` of the page before.", text("^[0-9]{1,19}$")),
    "refs": {
        **parameter(
            "query",
            "ref",
            "The canvases to hear of; given once for each.",
            {"type": "array", "items": text(CANVAS_REF_PATTERN), "minItems": 1, "maxItems": 64},
            [examples.REF],
        ),
        "required": True,
        "style": "form",
        "explode": True,
    },
    "last_event_id": parameter(
        "query", "last_event_id", "Id of the last event that was heard, where the header cannot be set.", text()
    ),
    "last_event_ids": {
        **parameter(
            "query",
            "last_event_id",
            "`<ref>:<seq>-<chain>`: the last id that was heard of a canvas; given once for each.",
            {"type": "array", "items": text()},
        ),
        "style": "form",
        "explode": True,
    },
    "snapshot": parameter(
        "query",
        "snapshot",
        "Whether the text comes first, unless the listener resumes.",
        flag(default=True),
    ),
    "client_id": parameter(
        "query", "client_id", "As `X-Client-Id`, where the header cannot be set.", text(CLIENT_ID_PATTERN)
    ),
    "X-Client-Id": parameter(
        "header",
        "X-Client-Id",
        "A random id of this tab or program: tells it from others of the same actor.",
        text(CLIENT_ID_PATTERN),
    ),
    "Last-Event-ID": parameter(
        "header", "Last-Event-ID", "Id of the last event that was heard: the stream goes on after it.", text()
    ),
    "If-None-Match": parameter(
        "header", "If-None-Match", "A version that is known: if it is the newest, the answer is 304.", text()
    ),
}
