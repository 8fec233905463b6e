"""What is done with a canvas as a whole: create, read, list, rename, close, delete."""

from __future__ import annotations

from typing import Final

from canvas_server.core.errors import (
    DrainingError,
    ExistsError,
    InvalidFieldError,
    NotFoundError,
    OverloadedError,
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
    OutlineBody,
    PreviewBody,
    TitleBody,
)
from canvas_server.web.openapi import examples
from canvas_server.web.openapi.answers import Answer, Media, json_media
from canvas_server.web.openapi.endpoint import CANVAS, OPENING, READING_BODY, Endpoint, Refusals
from canvas_server.web.openapi.schemas import reference
from canvas_server.web.problems import AuthRequiredError

_CREATED: Final = Answer(201, "Created; on disk.", (json_media(CanvasState),), ("ETag", "Location"))
_CREATING: Final[Refusals] = (*READING_BODY, ExistsError, DrainingError, StorageUnavailableError)
_UNCHANGED: Final = Answer(304, "`If-None-Match` names this version.", headers=("ETag",))
_WHOLE_OR_SECTION: Final[dict[str, object]] = {"anyOf": [reference("CanvasState"), reference("SectionState")]}

WRITING: Final = (
    Endpoint(
        "put",
        CANVAS,
        "createCanvas",
        "Canvases",
        "Create a canvas",
        (_CREATED,),
        parameters=("ref", "unit"),
        body=(json_media(CreateBody, examples.CREATE),),
        body_required=False,
        refusals=(*_CREATING, NotFoundError),
    ),
    Endpoint(
        "post",
        "/api/v2/canvas",
        "createCanvasAnywhere",
        "Canvases",
        "Create a canvas under a ref of the server's choice",
        (_CREATED,),
        parameters=("unit",),
        body=(json_media(CreateAnywhereBody, examples.CREATE),),
        body_required=False,
        refusals=_CREATING,
    ),
    Endpoint(
        "patch",
        CANVAS,
        "changeTitle",
        "Canvases",
        "Change the title",
        (Answer(200, "Changed; on disk.", (json_media(CanvasInfo),), ("ETag",)),),
        parameters=("ref",),
        body=(json_media(TitleBody, {"title": examples.TITLE}),),
        refusals=(*READING_BODY, NotFoundError, DrainingError, StorageUnavailableError),
    ),
    Endpoint(
        "post",
        f"{CANVAS}:close",
        "closeCanvas",
        "Canvases",
        "Save a canvas and end its streams",
        (Answer(200, "The version that is on disk.", (json_media(ClosedBody),), ("ETag",)),),
        "It is opened again by whoever asks for it next.",
        ("ref",),
        refusals=(NotFoundError, StorageUnavailableError),
    ),
    Endpoint(
        "delete",
        CANVAS,
        "deleteCanvas",
        "Canvases",
        "Delete a canvas with its history",
        (Answer(204, "Gone."),),
        parameters=("ref",),
        refusals=(AuthRequiredError, InvalidFieldError, NotFoundError, DrainingError, StorageUnavailableError),
    ),
)

READING: Final = (
    Endpoint(
        "get",
        CANVAS,
        "readCanvas",
        "Canvases",
        "Read a canvas, a section of it, or its past",
        (
            Answer(
                200,
                "The canvas, or with `section` that section. With `Accept: text/markdown` the bare text.",
                (
                    Media("application/json", _WHOLE_OR_SECTION),
                    Media("text/markdown", {"type": "string"}, examples.CONTENT),
                ),
                ("ETag",),
            ),
            _UNCHANGED,
        ),
        parameters=("ref", "at", "section", "unit", "If-None-Match"),
        refusals=(InvalidFieldError, *OPENING),
    ),
    Endpoint(
        "get",
        f"{CANVAS}/outline",
        "readOutline",
        "Canvases",
        "Read the headings",
        (
            Answer(200, "The headings, in order.", (json_media(OutlineBody),), ("ETag",)),
            _UNCHANGED,
        ),
        parameters=("ref", "unit", "If-None-Match"),
        refusals=(InvalidFieldError, *OPENING),
    ),
    Endpoint(
        "get",
        f"{CANVAS}/preview",
        "readPreview",
        "Canvases",
        "Read a canvas as HTML that runs nothing and fetches nothing",
        (
            Answer(
                200, "The HTML of the newest text, or with `at` of a past one.", (json_media(PreviewBody),), ("ETag",)
            ),
            _UNCHANGED,
        ),
        "Images that would have to be fetched are links that say where they lead.",
        ("ref", "at", "If-None-Match"),
        refusals=(InvalidFieldError, TooLargeError, OverloadedError, *OPENING),
    ),
    Endpoint(
        "get",
        "/api/v2/canvas",
        "listCanvases",
        "Canvases",
        "List canvases, newest first",
        (Answer(200, "A page of them.", (json_media(CanvasList),)),),
        parameters=("list_limit", "cursor"),
        refusals=(InvalidFieldError, StorageUnavailableError),
    ),
)
