"""The JSON of requests and answers about jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from canvas_server.core.job import CanvasOutput, Job, JobState
from canvas_server.core.quota import Standing
from canvas_server.generation.cost import CostControl, amount_of
from canvas_server.generation.enqueue import Enqueued
from canvas_server.generation.presets import Warned
from canvas_server.generation.request import JobRequest

JOBS_PATH = "/api/v1/dialogues/generate/jobs"

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]*$(?!\n)")]
Key = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]*$(?!\n)")]


class JobBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that starts a job."""

    prompt: Annotated[str, Meta(pattern=r"^[^\x00]*$")] = ""
    """What to write; may be left out where a preset says it."""
    provider: Name | None = None
    """openai, mistral, local or demo."""
    model: Name | None = None
    preset_id: Annotated[str, Meta(max_length=64)] | None = None
    schema: dict[str, object] | None = None
    """JSON Schema of an object: the answer is one that fits it."""
    max_output_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    canvas: CanvasOutput | None = None
    """Where the text is written as it comes."""
    idempotency_key: Key | None = None
    """The same key again answers with the same job."""

    def request(self) -> JobRequest:
        """Return it as the floor below knows it."""
        return JobRequest(**{name: getattr(self, name) for name in self.__struct_fields__})


class EstimateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a job may cost at most."""

    input_tokens: int
    max_output_tokens: int
    cost: float
    exact: bool
    """Whether the tokens were counted as the model itself counts them."""


class QuotaBody(msgspec.Struct, frozen=True, kw_only=True):
    """Where the user stands in this month; amounts in the currency."""

    limit: float
    spent: float
    reserved: float
    remaining: float
    percentage: float
    warning: bool
    resets_at: str
    currency: str


class StartedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was taken."""

    job_id: str
    state: JobState
    position: int | None
    """In the queue, 1 being the next; null when it runs."""
    stream_url: str
    cancel_url: str
    estimate: EstimateBody
    quota: QuotaBody
    warnings: Sequence[Warned]
    """Of the preset."""


class TokensBody(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that were paid."""

    input: int
    output: int
    cached: int
    estimated: bool


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job ended without its answer."""

    code: str
    message: str


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its owner sees it."""

    job_id: str
    state: JobState
    position: int | None
    attempt: int
    provider: str
    model: str
    preset_id: str | None
    canvas: CanvasOutput | None
    tokens: TokensBody
    cost: float
    cached: bool
    finish: str | None
    result: dict[str, object] | None
    error: ErrorBody | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    stream_url: str
    cancel_url: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    """So far; left out of lists."""


class JobsBody(msgspec.Struct, frozen=True):
    """Jobs, newest first."""

    jobs: Sequence[JobView]


class StoppedBody(msgspec.Struct, frozen=True, kw_only=True):
    """What came of cancelling."""

    job_id: str
    state: JobState
    stopped: bool
    """False: it did not stop in time and was left alone; whatever it still does is dropped."""
    abandoned: bool
    """Its provider did not let go of the connection in time."""


class ChunkBody(msgspec.Struct, frozen=True):
    """A stored piece of a job's text."""

    seq: int
    attempt: int
    content: str


class ChunksBody(msgspec.Struct, frozen=True, kw_only=True):
    """Stored chunks."""

    task_id: str
    state: JobState
    chunks: Sequence[ChunkBody]
    next_from_id: int
    """Where to go on; all that is stored was told when it is past the last event."""
    complete: bool
    """The job has ended and nothing comes after these."""


class ModelPrices(msgspec.Struct, frozen=True, kw_only=True):
    """For `per_tokens` tokens."""

    input: float
    cached: float
    output: float
    currency: str
    per_tokens: int


class ModelBody(msgspec.Struct, frozen=True, kw_only=True):
    """What can be chosen."""

    provider: str
    model: str
    label: str
    configured: bool
    free: bool
    prices: ModelPrices | None


class DefaultModel(msgspec.Struct, frozen=True):
    """Who answers a request that names nobody."""

    provider: str
    model: str


class ModelsBody(msgspec.Struct, frozen=True):
    """All that can be chosen."""

    default: DefaultModel
    models: Sequence[ModelBody]


def quota_of(standing: Standing, costs: CostControl) -> QuotaBody:
    """Return where a user stands."""
    return QuotaBody(
        limit=amount_of(standing.quota_micros),
        spent=amount_of(standing.spent_micros),
        reserved=amount_of(standing.reserved_micros),
        remaining=amount_of(standing.remaining_micros),
        percentage=standing.percentage,
        warning=costs.warns(standing),
        resets_at=costs.resets_at(standing.month).isoformat(),
        currency=costs.currency,
    )


def started(taken: Enqueued, position: int | None, costs: CostControl) -> StartedBody:
    """Return the answer to a request that was taken."""
    job = taken.job
    return StartedBody(
        job_id=job.id,
        state=job.state,
        position=position,
        stream_url=f"{JOBS_PATH}/{job.id}/stream",
        cancel_url=f"{JOBS_PATH}/{job.id}/cancel",
        estimate=EstimateBody(
            input_tokens=job.input_tokens,
            max_output_tokens=job.spec.max_output_tokens,
            cost=amount_of(job.estimate_micros),
            exact=taken.tokens_exact,
        ),
        quota=quota_of(taken.standing, costs),
        warnings=taken.warnings,
    )


def view(job: Job, position: int | None, text: str | msgspec.UnsetType = msgspec.UNSET) -> JobView:
    """Return a job as its owner sees it."""
    usage = job.usage
    return JobView(
        job_id=job.id,
        state=job.state,
        position=position,
        attempt=job.attempt,
        provider=job.spec.provider,
        model=job.spec.model,
        preset_id=job.spec.preset_id,
        canvas=job.spec.canvas,
        tokens=TokensBody(
            input=usage.input_tokens if usage else 0,
            output=usage.output_tokens if usage else 0,
            cached=usage.cached_tokens if usage else 0,
            estimated=usage.estimated if usage else False,
        ),
        cost=amount_of(job.cost_micros),
        cached=job.cached,
        finish=job.finish,
        result=job.result,
        error=ErrorBody(code=job.error_code, message=job.error_message or "") if job.error_code else None,
        created_at=_time(job.created_unix_ms),
        started_at=_time(job.started_unix_ms) if job.started_unix_ms else None,
        ended_at=_time(job.ended_unix_ms) if job.ended_unix_ms else None,
        stream_url=f"{JOBS_PATH}/{job.id}/stream",
        cancel_url=f"{JOBS_PATH}/{job.id}/cancel",
        text=text,
    )


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
