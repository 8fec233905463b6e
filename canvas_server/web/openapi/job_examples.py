"""Examples of jobs: what the demonstration made of `JOB` in the canvas of `examples`, shortened to one chunk."""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.job import CanvasOutput
from canvas_server.core.job_event import CanvasResult, Chunk, Complete, Metadata, QuotaShare, Queued, Result, Step
from canvas_server.core.operation import HeadingTarget
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
