"""Examples of jobs: what the demonstration makes of `JOB` in the canvas of `examples`, its words told as one chunk."""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.job import CanvasOutput
from canvas_server.core.job_event import (
    CanvasResult,
    Chunk,
    Complete,
    JobNamed,
    Metadata,
    Queued,
    QuotaShare,
    Result,
    Step,
)
from canvas_server.core.operation import HeadingPlace, HeadingTarget
from canvas_server.web.job_bodies import (
    JOBS_PATH,
    ChunkBody,
    ChunksBody,
    DefaultModel,
    EstimateBody,
    JobsBody,
    JobView,
    ModelBody,
    ModelPrices,
    ModelsBody,
    QuotaBody,
    StartedBody,
    StoppedBody,
    TokensBody,
)
from canvas_server.web.openapi.examples import REF

JOB_ID: Final = "c4ab3baf-cbf0-40d6-a3ea-c5830e6d4612"
_URL: Final = f"{JOBS_PATH}/{JOB_ID}"
_TEXT: Final = "**This is a demonstration.** No model was asked and nothing was spent:"

JOB: Final[dict[str, object]] = {
    "prompt": "Write a scene at the old bridge.",
    "provider": "demo",
    "max_output_tokens": 12,
    "canvas": {"ref": REF, "target": {"type": "heading", "heading": {"path": ["Ideas"]}}},
    "idempotency_key": "scene-1",
}
QUOTA: Final = QuotaBody(
    limit=10.0,
    spent=0.0,
    reserved=0.0,
    remaining=10.0,
    percentage=0.0,
    warning=False,
    resets_at="2026-12-01T00:00:00+01:00",
    currency="EUR",
)
STARTED: Final = StartedBody(
    job_id=JOB_ID,
    state="queued",
    position=None,
    stream_url=f"{_URL}/stream",
    cancel_url=f"{_URL}/cancel",
    estimate=EstimateBody(input_tokens=44, max_output_tokens=12, cost=0.0, exact=False),
    quota=QUOTA,
    warnings=(),
)
VIEW: Final = JobView(
    job_id=JOB_ID,
    state="completed",
    position=None,
    attempt=1,
    provider="demo",
    model="demo",
    preset_id=None,
    canvas=CanvasOutput(ref=REF, target=HeadingTarget(heading=HeadingPlace(path=("Ideas",)))),
    tokens=TokensBody(input=7, output=12, cached=0, estimated=False),
    cost=0.0,
    cached=False,
    finish="length",
    result=None,
    error=None,
    created_at="2026-11-21T22:44:14.944Z",
    started_at="2026-11-21T22:44:14.948Z",
    ended_at="2026-11-21T22:44:15.514Z",
    stream_url=f"{_URL}/stream",
    cancel_url=f"{_URL}/cancel",
    text=_TEXT,
)
JOBS: Final = JobsBody((msgspec.structs.replace(VIEW, text=msgspec.UNSET),))
STOPPED: Final = StoppedBody(job_id=JOB_ID, state="completed", stopped=True, abandoned=False)
CHUNKS: Final = ChunksBody(
    task_id=JOB_ID, state="completed", chunks=(ChunkBody(3, 1, _TEXT),), next_from_id=7, complete=True
)
MODELS: Final = ModelsBody(
    DefaultModel("openai", "gpt-5.2"),
    (
        ModelBody(
            provider="demo",
            model="demo",
            label="Demo · demo",
            configured=True,
            free=True,
            prices=ModelPrices(input=0.0, cached=0.0, output=0.0, currency="EUR", per_tokens=1_000_000),
        ),
    ),
)
CHUNK: Final = Chunk(content=_TEXT, seq=3, attempt=1)
JOB_EVENT_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    JobNamed(job_id=JOB_ID, stream_url=f"{_URL}/stream", cancel_url=f"{_URL}/cancel"),
    Queued(position=1),
    Step(step="prompting"),
    Step(step="generating"),
    CHUNK,
    Metadata(
        tokens=19,
        input_tokens=7,
        output_tokens=12,
        estimated=False,
        cost=0.0,
        quota=QuotaShare(percentage=0.0, remaining=10.0, warning=False),
    ),
    Step(step="complete"),
    Complete(
        total_tokens=19,
        cost=0.0,
        result=Result(
            finish="length",
            chars=len(_TEXT),
            canvas=CanvasResult(ref=REF, server_version='W/"9-a147d2e6ec7424fa"', ops=9),
        ),
    ),
)
