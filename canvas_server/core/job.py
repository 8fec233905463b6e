"""A job: one generation, from the request to its last event.

Rule: every arrow of `Stage` is durable before the step it announces, so that whoever finds a job after a crash knows
what may have been paid already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NewType, TypeAlias

import msgspec

from canvas_server.core.event import Kind
from canvas_server.core.operation import Options, Target, Where
from canvas_server.core.usage import Usage

JobId = NewType("JobId", str)
"""A UUID in its one canonical spelling."""

JobState: TypeAlias = Literal["queued", "running", "completed", "failed", "cancelled", "interrupted"]
ENDED: Final[frozenset[JobState]] = frozenset({"completed", "failed", "cancelled", "interrupted"})

Stage: TypeAlias = Literal["reserved", "dispatched", "attached", "produced", "settled", "ended"]
"""reserved: its worst case is held, nothing was called. dispatched: the call may have reached the provider. attached:
the provider named its answer, which can be asked for again. produced: the answer is whole and stored. settled: paid.
Chunks come after dispatched or attached."""

FinishReason: TypeAlias = Literal["stop", "length"]
"""Why an answer ended: it was done, or as long as it may be."""

JsonObject: TypeAlias = Mapping[str, object]


class CanvasOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a job writes: a canvas and the fields of the operation that begins the text (PROTOCOL section 6)."""

    ref: str
    target: Target
    action: Literal["insert", "replace", "upsert_section"] = "insert"
    where: Where | None = None
    options: Options | None = None
    on_cancel: Literal["revert", "keep"] = "revert"


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; it never changes."""

    prompt: str
    """The whole prompt, that of the preset included."""
    provider: str
    model: str
    max_output_tokens: int
    preset_id: str | None = None
    schema: dict[str, object] | None = None
    """JSON Schema that the answer has to fit."""
    canvas: CanvasOutput | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands."""

    id: JobId
    user: str
    kind: Kind
    """Of whoever asked."""
    spec: JobSpec
    idempotency_key: str | None = None
    request_digest: str = ""
    """Tells whether the same key was used for another request."""
    request_id: str = ""
    """Of the request that made it, for the log."""
    unlimited: bool = False
    """An admin asked: the quota does not hold."""
    state: JobState = "queued"
    stage: Stage = "reserved"
    call: int = 0
    """How many times the provider was called: 0 before the first call."""
    attempt: int = 1
    """Grows when the text starts over; the chunks of an earlier attempt are to be dropped."""
    response_id: str | None = None
    """The provider's name of its answer."""
    input_tokens: int = 0
    """Of the prompt, as counted here."""
    output_tokens_max: int = 0
    """What the newest call may answer: less than was asked for where it goes on after what is there."""
    estimate_micros: int = 0
    """What one call may cost at most."""
    call_usage: Usage | None = None
    """Of the newest call, once its answer is whole: what is to be settled."""
    usage: Usage | None = None
    """Of all calls that are settled."""
    cost_micros: int = 0
    cached: bool = False
    """Answered from an earlier answer, at no cost."""
    finish: FinishReason | None = None
    result: dict[str, object] | None = None
    """Of a job with a schema: the answer."""
    cancel_requested: bool = False
    error_code: str | None = None
    error_message: str | None = None
    canvas_version: str | None = None
    """The version of the canvas when the job began to write into it."""
    created_unix_ms: int
    started_unix_ms: int | None = None
    ended_unix_ms: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


EventKind: TypeAlias = Literal["step", "chunk", "metadata", "complete", "error"]


class JobEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a job's stream, as it is stored and told."""

    seq: int
    """From 1, without a gap: the `id:` on the stream."""
    attempt: int
    kind: EventKind
    data: bytes
    """The JSON payload as it is told."""
    cursor: int | None = None
    """Of a chunk: where the provider's own stream goes on after it."""


class GenerationLog(msgspec.Struct, frozen=True, kw_only=True):
    """One line about one generation, written however it ended."""

    job_id: JobId
    user: str
    provider: str
    model: str
    state: JobState
    step: str
    """The last step it was in."""
    code: str | None
    """Of the error that ended it."""
    duration_ms: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    ended_unix_ms: int
