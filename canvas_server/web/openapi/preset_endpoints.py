"""What is done with presets and saved dialogues."""

from __future__ import annotations

from typing import Final

from canvas_server.core.dialogue import EmptyOverContentError
from canvas_server.core.errors import ExistsError, NotFoundError
from canvas_server.generation.presets import PresetsFullError
from canvas_server.web.dialogues import SavedBody
from canvas_server.web.openapi import money_examples
from canvas_server.web.openapi.answers import Answer, Media, json_media
from canvas_server.web.openapi.endpoint import KEEPING, READING_BODY, Endpoint
from canvas_server.web.presets import CheckedPreset, PresetBody, PresetList
from canvas_server.web.problems import AuthRequiredError

_PRESETS: Final = "/api/v1/presets"
_PRESET: Final = f"{_PRESETS}/{{id}}"
_DIALOGUE: Final = "/api/v1/dialogues/{id}"
_ANY_OBJECT: Final[dict[str, object]] = {"type": "object"}
_CHECKED: Final = json_media(CheckedPreset, money_examples.CHECKED_PRESET)
_BODY: Final = json_media(PresetBody, money_examples.PRESET)

PRESETS: Final = (
    Endpoint(
        "get",
        _PRESETS,
        "listPresets",
        "Presets",
        "List presets, by name",
        (Answer(200, "All, not checked.", (json_media(PresetList, money_examples.PRESETS),)),),
        refusals=(AuthRequiredError, *KEEPING),
    ),
    Endpoint(
        "post",
        _PRESETS,
        "createPreset",
        "Presets",
        "Create a preset",
        (Answer(201, "Created; on disk.", (_CHECKED,), ("Location",)),),
        parameters=("Accept-Language",),
        body=(_BODY,),
        refusals=(*READING_BODY, PresetsFullError, *KEEPING),
    ),
    Endpoint(
        "get",
        _PRESET,
        "readPreset",
        "Presets",
        "Read a preset, checked against the world",
        (Answer(200, "With what is obsolete in it, which is never an error.", (_CHECKED,)),),
        parameters=("preset", "Accept-Language"),
        refusals=(AuthRequiredError, NotFoundError, *KEEPING),
    ),
    Endpoint(
        "put",
        _PRESET,
        "replacePreset",
        "Presets",
        "Replace a preset, or create one under this id",
        (
            Answer(200, "Replaced; on disk.", (_CHECKED,)),
            Answer(201, "Created; on disk.", (_CHECKED,), ("Location",)),
        ),
        parameters=("preset", "Accept-Language"),
        body=(_BODY,),
        refusals=(*READING_BODY, NotFoundError, PresetsFullError, *KEEPING),
    ),
    Endpoint(
        "delete",
        _PRESET,
        "deletePreset",
        "Presets",
        "Delete a preset",
        (Answer(204, "Gone."),),
        parameters=("preset",),
        refusals=(AuthRequiredError, NotFoundError, *KEEPING),
    ),
)

DIALOGUES: Final = (
    Endpoint(
        "get",
        _DIALOGUE,
        "readDialogue",
        "Dialogues",
        "Read a saved dialogue, or the copy of a canvas",
        (
            Answer(
                200,
                "As it was saved, with `version`, `saved_at` and `saved_for`.",
                (Media("application/json", _ANY_OBJECT, money_examples.STORED_DIALOGUE),),
                ("ETag",),
            ),
            Answer(304, "`If-None-Match` names this version.", headers=("ETag",)),
        ),
        parameters=("dialogue", "If-None-Match"),
        refusals=(AuthRequiredError, NotFoundError, *KEEPING),
    ),
    Endpoint(
        "put",
        _DIALOGUE,
        "saveDialogue",
        "Dialogues",
        "Save a dialogue",
        (Answer(200, "On disk.", (json_media(SavedBody, money_examples.SAVED),), ("ETag",)),),
        "Any JSON object; the last write wins. What is there already is not written again.",
        ("dialogue", "force"),
        (Media("application/json", _ANY_OBJECT, money_examples.DIALOGUE),),
        refusals=(*READING_BODY, NotFoundError, EmptyOverContentError, ExistsError, *KEEPING),
    ),
)
