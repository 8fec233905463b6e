"""Examples of money, presets and dialogues, as the server tells them after the job of `job_examples`."""

from __future__ import annotations

from typing import Final

from canvas_server.core.preset import Configuration, Metadata
from canvas_server.generation.presets import Validation, Warned
from canvas_server.web.costs import EntriesBody, EntryBody, PriceBody, ProviderUsage, UsageBody
from canvas_server.web.dialogues import SavedBody
from canvas_server.web.openapi.job_examples import JOB_ID, QUOTA
from canvas_server.web.presets import CheckedPreset, PresetList

_MONTH: Final = "2026-11"
_CREATED_UNIX_MS: Final = 1_795_301_054_946
_SETTLED_UNIX_MS: Final = 1_795_301_055_511

USAGE: Final = UsageBody("local", _MONTH, QUOTA, (ProviderUsage("demo", 0.0, 0.0, _SETTLED_UNIX_MS),))
ENTRIES: Final = EntriesBody(
    "local",
    _MONTH,
    "EUR",
    (
        EntryBody(
            job_id=JOB_ID,
            call=1,
            provider="demo",
            model="demo",
            state="settled",
            input_tokens=7,
            cached_tokens=0,
            output_tokens=12,
            estimated=False,
            cost=0.0,
            price=PriceBody(0.0, 0.0, 0.0, "1970-01-01"),
            created_unix_ms=_CREATED_UNIX_MS,
            settled_unix_ms=_SETTLED_UNIX_MS,
        ),
    ),
)
NEW_QUOTA: Final[dict[str, object]] = {"quota": 25.0}

PRESET_ID: Final = "cab6256a-3b39-48d9-b61a-665e2ab87bfa"
PRESET: Final[dict[str, object]] = {
    "name": "Opening",
    "configuration": {"characters": ["char-001", "char-009"], "region": "Avili"},
}
CHECKED_PRESET: Final = CheckedPreset(
    id=PRESET_ID,
    name="Opening",
    metadata=Metadata(created="2026-11-21T22:44:20.780Z", modified="2026-11-21T22:44:20.780Z"),
    configuration=Configuration(characters=("char-001", "char-009"), region="Avili"),
    validation=Validation(
        valid=False,
        warnings=(
            Warned(
                code="preset.character_missing",
                field="characters",
                id="char-009",
                message="The character “char-009” no longer exists.",
            ),
        ),
    ),
)
PRESETS: Final = PresetList((), ())

DIALOGUE: Final[dict[str, object]] = {"title": "Scene", "nodes": [{"id": "n1", "line": "Bonjour."}]}
SAVED: Final = SavedBody("scene-1", True, False, '"4079382551335da93be37b371a251618"', "2026-11-21T22:44:20.784Z")
STORED_DIALOGUE: Final[dict[str, object]] = {
    **DIALOGUE,
    "version": SAVED.version,
    "saved_at": SAVED.saved_at,
    "saved_for": "local",
}
