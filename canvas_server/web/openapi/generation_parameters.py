"""The parameters of jobs, money, presets and dialogues."""

from __future__ import annotations

from typing import Final

from canvas_server.core.ids import CANVAS_REF_PATTERN
from canvas_server.core.preset import PRESET_ID_PATTERN
from canvas_server.web.openapi.job_examples import JOB_ID
from canvas_server.web.openapi.money_examples import PRESET_ID
from canvas_server.web.openapi.parameter import Parameter, flag, number, parameter, text

_COUNT: Final = {"type": "integer", "minimum": 0, "default": 0}
_MONTH: Final = "^(?:19[7-9][0-9]|[2-9][0-9]{3})-(?:0[1-9]|1[0-2])$"

GENERATION_PARAMETERS: Final[dict[str, Parameter]] = {
    "job_id": parameter("path", "job_id", "Names the job.", text(PRESET_ID_PATTERN), JOB_ID),
    "task_id": parameter("path", "task_id", "The `job_id`.", text(PRESET_ID_PATTERN), JOB_ID),
    "preset": parameter("path", "id", "Names the preset: a UUID in lower case.", text(PRESET_ID_PATTERN), PRESET_ID),
    "dialogue": parameter(
        "path", "id", "Names the dialogue, or the canvas of which it is a copy.", text(CANVAS_REF_PATTERN), "scene-1"
    ),
    "user_of_quota": parameter("path", "user", "Name of an actor, or `local`.", {"type": "string", "maxLength": 128}),
    "active": parameter("query", "active", "Only jobs that have not ended.", flag(default=False)),
    "all": parameter("query", "all", "Everybody's jobs; for an admin only, else one's own.", flag(default=False)),
    "from_id": parameter("query", "from_id", "The first id that is wanted, where the header cannot be set.", _COUNT, 4),
    "heard_of_job": parameter(
        "header", "Last-Event-ID", "Id of the last event that was heard: the stream goes on after it.", _COUNT, 4
    ),
    "heard_of_any_job": parameter(
        "header",
        "Last-Event-ID",
        "`<job_id>.<seq>` of the last event that was heard: that job is gone on with, and none is started.",
        text(),
        f"{JOB_ID}.4",
    ),
    "prompt": parameter("query", "prompt", "What to write.", text("^[^\\x00]*$"), "A scene at the old bridge."),
    "provider": parameter("query", "provider", "`openai`, `mistral`, `local` or `demo`.", text(), "demo"),
    "model": parameter("query", "model", "Its name, as the provider knows it.", text(), "demo"),
    "preset_id": parameter("query", "preset_id", "A preset that makes the prompt.", text(PRESET_ID_PATTERN)),
    "max_output_tokens": parameter(
        "query", "max_output_tokens", "Length of the answer, at most.", number(4096, 1_000_000)
    ),
    "idempotency_key": parameter(
        "query", "idempotency_key", "The same key again gives the same job.", text("^[\\x21-\\x7e]{1,128}$"), "scene-1"
    ),
    "month": parameter("query", "month", "Year and month; this one if left out.", text(_MONTH), "2026-11"),
    "user": parameter("query", "user", "Somebody else, for an admin only.", text()),
    "of_provider": parameter("query", "provider", "Only its calls.", text(), "demo"),
    "entries_limit": parameter("query", "limit", "Lines in one answer, at most.", number(50, 200)),
    "force": parameter("query", "force", "Something empty may go over content.", flag(default=False)),
    "Accept-Language": parameter("header", "Accept-Language", "`fr` or `en`, for what people read.", text(), "en"),
}
