"""What each path does, in the order of PROTOCOL section 2; the paths are those of `web.routes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from canvas_server.core.errors import (
    CanvasError,
    DrainingError,
    ExistsError,
    InvalidFieldError,
    InvalidJsonError,
    NotFoundError,
    OverloadedError,
    StorageCorruptError,
    StorageUnavailableError,
    TooLargeError,
)
from canvas_server.web.canvas_bodies import (
    CanvasInfo,
    CanvasList,
    CanvasState,
    ClosedBody,
    CreateAnywhereBody,
    CreateBody,
    HistoryBody,
    OutlineBody,
    PresenceBody,
    TitleBody,
)
from canvas_server.web.health import Alive, Readiness
from canvas_server.web.openapi import examples
from canvas_server.web.openapi.answers import Answer, Media, json
from canvas_server.web.openapi.schemas import reference
from canvas_server.web.ops import Accepted, OpsBody, Preview
from canvas_server.web.problems import AuthRequiredError, MediaTypeError, TimedOutError

Method: TypeAlias = Literal["get", "put", "post", "patch", "delete"]
Refusals: TypeAlias = tuple[type[CanvasError], ...]


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


TAGS: Final = {
    "Canvases": "Create, read, list, rename, close and delete.",
    "Operations": "Change a canvas. What became of a change is told on the stream, never in the answer.",
    "Listening": "Everything that happens, as server-sent events.",
    "Service": "For whoever runs the server.",
}

_CANVAS: Final = "/api/v2/canvas/{ref}"
_TEXT: Final = "text/markdown"
_PATCHED: Final = {"title": examples.TITLE}
_ACCEPTED: Final = Accepted(accepted=True, ops_count=1, duration_ms=0.231)
_STORE: Final[Refusals] = (StorageUnavailableError, StorageCorruptError, DrainingError)
_OPENING: Final[Refusals] = (NotFoundError, OverloadedError, *_STORE)
_READING_BODY: Final[Refusals] = (InvalidJsonError, AuthRequiredError, TooLargeError, MediaTypeError, InvalidFieldError)

_OPS_DESCRIPTION: Final = (
    "202 is technical: the request was well-formed and every `op_id` in it gets exactly one `ack`, `conflict` or"
    " `error` on the stream.\n\n"
    "As `application/json`: 1 to 100 operations that are run in order, with no other author's operation between them;"
    " after the first that is not applied the rest are not run.\n\n"
    "As `application/x-ndjson`: one operation a line, each applied as its line arrives, for as long as the sender"
    " streams. A line that holds only `content` goes on with the text of the line before it, wherever that is by now;"
    " its id is `<op_id of the last full line>.<n>`. A bad line ends the request with a problem that tells the `line`"
    " and how many operations before it were accepted (`accepted_ops`)."
)
_STREAM_DESCRIPTION: Final = (
    "Frames have `data:` with one line of JSON, and `id:` where the event made a version. The schema is that of one"
    " event.\n\n"
    "`start` comes first, then what was missed since the last event id, or a `snapshot`. Once a stream was asked for,"
    " what the server cannot do now is told as `200` with `retry:` and `bye`, since browsers come back from nothing"
    " else."
)


def _events() -> tuple[Answer, ...]:
    return (Answer(200, "The stream.", (Media("text/event-stream", reference("Event"), examples.stream()),)),)


def _line_media() -> Media:
    schema: dict[str, object] = {
        "description": "Each line: an operation, or the continuation of the line before it.",
        "anyOf": [reference("Operation"), reference("Continuation")],
    }
    return Media("application/x-ndjson", schema, examples.ndjson())


def _operations() -> tuple[Endpoint, ...]:
    ack = examples.outcomes()[0]
    preview = Preview(events=(ack,), server_version=ack.server_version)
    history = HistoryBody(examples.REF, ack.server_version, (ack,), None)
    outcome: dict[str, object] = {"anyOf": [reference("Ack"), reference("Conflict"), reference("Failure")]}
    return (
        Endpoint(
            "post",
            f"{_CANVAS}/ops:stream",
            "submitOperations",
            "Operations",
            "Submit operations",
            (Answer(202, "Taken. Listen for what becomes of it.", (json(Accepted, _ACCEPTED),)),),
            _OPS_DESCRIPTION,
            ("ref", "unit", "X-Client-Id"),
            (json(OpsBody, examples.OPS), _line_media()),
            refusals=(*_READING_BODY, TimedOutError, *_OPENING),
        ),
        Endpoint(
            "post",
            f"{_CANVAS}/ops:preview",
            "previewOperations",
            "Operations",
            "Say what operations would do now",
            (Answer(200, "The events that there would be.", (json(Preview, preview),)),),
            "Changes nothing, and nobody hears of it.",
            ("ref", "unit", "X-Client-Id"),
            (json(OpsBody, examples.OPS),),
            refusals=(*_READING_BODY, *_OPENING),
        ),
        Endpoint(
            "get",
            f"{_CANVAS}/ops",
            "readHistory",
            "Operations",
            "Read the history",
            (Answer(200, "The acks after `after`, oldest first.", (json(HistoryBody, history),)),),
            parameters=("ref", "after", "history_limit", "unit"),
            refusals=(InvalidFieldError, *_OPENING),
        ),
        Endpoint(
            "get",
            f"{_CANVAS}/ops/{{op_id}}",
            "readOutcome",
            "Operations",
            "Read what became of an operation",
            (
                Answer(
                    200,
                    "Its ack, from memory or history; or its conflict or error, while that is in memory.",
                    (Media("application/json", outcome, ack),),
                ),
            ),
            parameters=("ref", "op_id", "unit"),
            refusals=(InvalidFieldError, *_OPENING),
        ),
    )


def _listening() -> tuple[Endpoint, ...]:
    asked = ("unit", "snapshot", "client_id", "X-Client-Id", "Last-Event-ID")
    refusals: Refusals = (AuthRequiredError, NotFoundError, InvalidFieldError, StorageCorruptError)
    return (
        Endpoint(
            "get",
            f"{_CANVAS}/ops:listen",
            "listen",
            "Listening",
            "Hear everything that happens to a canvas",
            _events(),
            _STREAM_DESCRIPTION,
            ("ref", "last_event_id", *asked),
            refusals=refusals,
        ),
        Endpoint(
            "get",
            "/api/v2/ops:listen",
            "listenToSeveral",
            "Listening",
            "Hear of several canvases over one connection",
            _events(),
            "As for one canvas, but ids are `<ref>:<seq>-<chain>`; a canvas without a last event id gets a snapshot.",
            ("refs", "last_event_ids", *asked),
            refusals=refusals,
        ),
        Endpoint(
            "post",
            f"{_CANVAS}/presence",
            "tellPresence",
            "Listening",
            "Say where one is",
            (Answer(204, "Told to all who listen; gone again after `ttl_ms`."),),
            parameters=("ref", "unit", "X-Client-Id"),
            body=(json(PresenceBody, examples.PRESENCE),),
            refusals=(*_READING_BODY, *_OPENING),
        ),
    )


def _reading() -> tuple[Endpoint, ...]:
    whole: dict[str, object] = {"anyOf": [reference("CanvasState"), reference("SectionState")]}
    return (
        Endpoint(
            "get",
            _CANVAS,
            "readCanvas",
            "Canvases",
            "Read a canvas, a section of it, or its past",
            (
                Answer(
                    200,
                    "The canvas, or with `section` that section. With `Accept: text/markdown` the bare text.",
                    (Media("application/json", whole), Media(_TEXT, {"type": "string"}, examples.CONTENT)),
                    ("ETag",),
                ),
                Answer(304, "`If-None-Match` names this version.", headers=("ETag",)),
            ),
            parameters=("ref", "at", "section", "unit", "If-None-Match"),
            refusals=(InvalidFieldError, *_OPENING),
        ),
        Endpoint(
            "get",
            f"{_CANVAS}/outline",
            "readOutline",
            "Canvases",
            "Read the headings",
            (
                Answer(200, "The headings, in order.", (json(OutlineBody),), ("ETag",)),
                Answer(304, "`If-None-Match` names this version.", headers=("ETag",)),
            ),
            parameters=("ref", "unit", "If-None-Match"),
            refusals=(InvalidFieldError, *_OPENING),
        ),
        Endpoint(
            "get",
            "/api/v2/canvas",
            "listCanvases",
            "Canvases",
            "List canvases, newest first",
            (Answer(200, "A page of them.", (json(CanvasList),)),),
            parameters=("list_limit", "cursor"),
            refusals=(InvalidFieldError, StorageUnavailableError),
        ),
    )


def _writing() -> tuple[Endpoint, ...]:
    created = Answer(201, "Created; on disk.", (json(CanvasState),), ("ETag", "Location"))
    creating: Refusals = (*_READING_BODY, ExistsError, DrainingError, StorageUnavailableError)
    return (
        Endpoint(
            "put",
            _CANVAS,
            "createCanvas",
            "Canvases",
            "Create a canvas",
            (created,),
            parameters=("ref", "unit"),
            body=(json(CreateBody, examples.CREATE),),
            body_required=False,
            refusals=(*creating, NotFoundError),
        ),
        Endpoint(
            "post",
            "/api/v2/canvas",
            "createCanvasAnywhere",
            "Canvases",
            "Create a canvas under a ref of the server's choice",
            (created,),
            parameters=("unit",),
            body=(json(CreateAnywhereBody, examples.CREATE),),
            body_required=False,
            refusals=creating,
        ),
        Endpoint(
            "patch",
            _CANVAS,
            "changeTitle",
            "Canvases",
            "Change the title",
            (Answer(200, "Changed; on disk.", (json(CanvasInfo),), ("ETag",)),),
            parameters=("ref",),
            body=(json(TitleBody, _PATCHED),),
            refusals=(*_READING_BODY, NotFoundError, DrainingError, StorageUnavailableError),
        ),
        Endpoint(
            "post",
            f"{_CANVAS}:close",
            "closeCanvas",
            "Canvases",
            "Save a canvas and end its streams",
            (Answer(200, "The version that is on disk.", (json(ClosedBody),), ("ETag",)),),
            "It is opened again by whoever asks for it next.",
            ("ref",),
            refusals=(NotFoundError, StorageUnavailableError),
        ),
        Endpoint(
            "delete",
            _CANVAS,
            "deleteCanvas",
            "Canvases",
            "Delete a canvas with its history",
            (Answer(204, "Gone."),),
            parameters=("ref",),
            refusals=(AuthRequiredError, InvalidFieldError, NotFoundError, DrainingError, StorageUnavailableError),
        ),
    )


def _service() -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            "get", "/healthz", "isAlive", "Service", "Is it alive?", (Answer(200, "It answers.", (json(Alive),)),)
        ),
        Endpoint(
            "get",
            "/readyz",
            "isReady",
            "Service",
            "Can it do its work?",
            (
                Answer(200, "It can.", (json(Readiness, Readiness(ready=True, reasons=())),)),
                Answer(503, "It cannot: `reasons` says why.", (json(Readiness),)),
            ),
        ),
    )


def endpoints() -> tuple[Endpoint, ...]:
    """Return all endpoints of the API; the page and its files are none of it."""
    return (*_writing(), *_reading(), *_operations(), *_listening(), *_service())
