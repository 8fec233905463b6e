"""What the stream of a job tells: each event one JSON object with a `type`, stored before anybody hears it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from canvas_server.core.job import EventKind, JobEvent, JobState

StepName: TypeAlias = Literal["prompting", "generating", "validating", "complete"]

DATA_BYTES_MAX = 256 * 1024
"""A result larger than this is told by URL only: some readers take no event over 512 KiB."""


class Step(Struct, frozen=True, kw_only=True, tag_field="type", tag="step"):
    """A job goes on to its next step."""

    step: StepName
    retry_in_ms: int | UnsetType = UNSET
    """The provider was busy or failed, and is asked again after so long."""
    reattached: Literal[True] | UnsetType = UNSET
    """The provider's stream was lost and is taken up again, at no cost."""
    continued: Literal[True] | UnsetType = UNSET
    """The answer broke off and is gone on with, which pays its input again."""


class Chunk(Struct, frozen=True, kw_only=True, tag_field="type", tag="chunk"):
    """The next piece of the text; a reader drops what it has of an earlier `attempt`."""

    content: str
    seq: int
    attempt: int


class QuotaShare(Struct, frozen=True, kw_only=True):
    """Where the user stands, in percent of the quota and in the currency."""

    percentage: float
    remaining: float
    warning: bool


class Metadata(Struct, frozen=True, kw_only=True, tag_field="type", tag="metadata"):
    """What was used so far."""

    tokens: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    """Counted here; at the end, whether the provider did not tell."""
    cost: float
    quota: QuotaShare


class CanvasResult(Struct, frozen=True, kw_only=True):
    """What a job wrote into a canvas."""

    ref: str
    server_version: str
    ops: int


class Result(Struct, frozen=True, kw_only=True):
    """What came of a job."""

    finish: str
    """`stop`, or `length`: the answer is as long as it may be."""
    chars: int
    """Of the text, in code points."""
    data: dict[str, object] | UnsetType | None = UNSET
    """Of a job with a schema: the answer. Left out where it is too large for an event; `GET` of the job has it."""
    canvas: CanvasResult | UnsetType = UNSET


class Complete(Struct, frozen=True, kw_only=True, tag_field="type", tag="complete"):
    """The job is done; the last event."""

    total_tokens: int
    cost: float
    result: Result
    cached: Literal[True] | UnsetType = UNSET


class JobFailure(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """The job ended without its answer; the last event. What was told before stays."""

    message: str
    code: str
    hint: str
    state: JobState
    text_chars: int
    """How much text is kept."""


class JobNamed(Struct, frozen=True, kw_only=True, tag_field="type", tag="job"):
    """Which job answers: the first event of a stream that began with a question; never stored, its id is `<job>.0`."""

    job_id: str
    stream_url: str
    cancel_url: str


class Queued(Struct, frozen=True, kw_only=True, tag_field="type", tag="queued"):
    """Where a waiting job stands, 1 being the next; told to who listens, never stored, without an id."""

    position: int


Payload: TypeAlias = Step | Chunk | Metadata | Complete | JobFailure

_encode = msgspec.json.Encoder().encode
_decode_chunk = msgspec.json.Decoder(Chunk).decode


def event_of(payload: Payload, seq: int, attempt: int, cursor: int | None = None) -> JobEvent:
    """Return an event as it is stored."""
    return JobEvent(seq, attempt, kind_of(payload), _encode(payload), cursor)


def kind_of(payload: Payload) -> EventKind:
    """Return the `type` of a payload."""
    match payload:
        case Step():
            return "step"
        case Chunk():
            return "chunk"
        case Metadata():
            return "metadata"
        case Complete():
            return "complete"
        case JobFailure():
            return "error"


def is_last(event: JobEvent) -> bool:
    """Whether no event comes after it."""
    return event.kind in ("complete", "error")


def text_of(event: JobEvent) -> str:
    """Return the text of a chunk."""
    return _decode_chunk(event.data).content
