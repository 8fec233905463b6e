"""What is done with operations, and how their outcomes are heard."""

from __future__ import annotations

from typing import Final

from canvas_server.core.errors import InvalidFieldError, NotFoundError, StorageCorruptError
from canvas_server.web.canvas_bodies import HistoryBody, PresenceBody
from canvas_server.web.openapi import examples
from canvas_server.web.openapi.answers import Answer, Media, json_media
from canvas_server.web.openapi.endpoint import CANVAS, OPENING, READING_BODY, Endpoint, Refusals
from canvas_server.web.openapi.schemas import reference
from canvas_server.web.ops import Accepted, OpsBody, Preview
from canvas_server.web.problems import AuthRequiredError, TimedOutError

_ACCEPTED: Final = Accepted(accepted=True, ops_count=1, duration_ms=0.231)
_OPS_DESCRIPTION: Final = (
    "202 is technical: the request was well-formed and every `op_id` in it gets exactly one `ack`, `conflict` or"
    " `error` on the stream.\n\n"
    "As `application/json`: 1 to 100 operations that are run in order, with no other author's operation between them;"
    " after the first that is not applied the rest are not run.\n\n"
    "As `application/x-ndjson`: one operation a line, each applied as its line arrives, for as long as the sender"
    " streams. A line that holds only `content` goes on with the text of the line before it, wherever that is by now;"
    " its id is `<op_id of the last full line>.<n>`. A bad line ends the request with a problem that tells the `line`"
    " and how many operations before it were accepted (`accepted_ops`). Schema and example are those of one line."
)
_STREAM_DESCRIPTION: Final = (
    "Frames have `data:` with one line of JSON, and `id:` where the event made a version. Schema and example are those"
    " of one event.\n\n"
    "`start` comes first, then what was missed since the last event id, or a `snapshot`. Once a stream was asked for,"
    " what the server cannot do now is told as `200` with `retry:` and `bye`, since browsers come back from nothing"
    " else."
)


def operations() -> tuple[Endpoint, ...]:
    """Return the endpoints that change a canvas, and those that tell what became of it."""
    ack = examples.outcomes()[0]
    preview = Preview(events=(ack,), server_version=ack.server_version)
    history = HistoryBody(examples.REF, ack.server_version, (ack,), None)
    outcome: dict[str, object] = {"anyOf": [reference("Ack"), reference("Conflict"), reference("Failure")]}
    return (
        Endpoint(
            "post",
            f"{CANVAS}/ops:stream",
            "submitOperations",
            "Operations",
            "Submit operations",
            (Answer(202, "Taken. Listen for what becomes of it.", (json_media(Accepted, _ACCEPTED),)),),
            _OPS_DESCRIPTION,
            ("ref", "unit", "X-Client-Id"),
            (json_media(OpsBody, examples.OPS), _line_media()),
            refusals=(*READING_BODY, TimedOutError, *OPENING),
        ),
        Endpoint(
            "post",
            f"{CANVAS}/ops:preview",
            "previewOperations",
            "Operations",
            "Say what operations would do now",
            (Answer(200, "The events that there would be.", (json_media(Preview, preview),)),),
            "Changes nothing, and nobody hears of it.",
            ("ref", "unit", "X-Client-Id"),
            (json_media(OpsBody, examples.OPS),),
            refusals=(*READING_BODY, *OPENING),
        ),
        Endpoint(
            "get",
            f"{CANVAS}/ops",
            "readHistory",
            "Operations",
            "Read the history",
            (Answer(200, "The acks after `after`, oldest first.", (json_media(HistoryBody, history),)),),
            parameters=("ref", "after", "history_limit", "unit"),
            refusals=(InvalidFieldError, *OPENING),
        ),
        Endpoint(
            "get",
            f"{CANVAS}/ops/{{op_id}}",
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
            refusals=(InvalidFieldError, *OPENING),
        ),
    )


def listening() -> tuple[Endpoint, ...]:
    """Return the endpoints by which all hear of all."""
    asked = ("unit", "snapshot", "client_id", "X-Client-Id", "Last-Event-ID")
    refusals: Refusals = (AuthRequiredError, NotFoundError, InvalidFieldError, StorageCorruptError)
    return (
        Endpoint(
            "get",
            f"{CANVAS}/ops:listen",
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
            f"{CANVAS}/presence",
            "tellPresence",
            "Listening",
            "Say where one is",
            (Answer(204, "Told to all who listen; gone again after `ttl_ms`."),),
            parameters=("ref", "unit", "X-Client-Id"),
            body=(json_media(PresenceBody, examples.PRESENCE),),
            refusals=(*READING_BODY, *OPENING),
        ),
    )


def _events() -> tuple[Answer, ...]:
    return (Answer(200, "The stream.", (Media("text/event-stream", reference("Event"), examples.outcomes()[0]),)),)


def _line_media() -> Media:
    schema: dict[str, object] = {
        "description": "Each line: an operation, or the continuation of the line before it.",
        "anyOf": [reference("Operation"), reference("Continuation")],
    }
    return Media("application/x-ndjson", schema, examples.LINE)
