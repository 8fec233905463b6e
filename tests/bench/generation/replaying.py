"""Replay: a late reader of a long answer that is told from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, time
from typing import Final, NamedTuple
from uuid import uuid4

from canvas_server.core.job import Job, JobEvent, JobId, JobSpec
from canvas_server.core.job_event import Chunk, Complete, Payload, Result, Step, event_of
from canvas_server.storage.database import open_database
from canvas_server.storage.jobs import SqliteJobStore
from tests.bench.generation.readers import JOBS, NOTHING, Reader, ask, read
from tests.bench.generation.servers import generating_in
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, in_turns, loaded
from tests.bench.servers import Server
from tests.double.running import Double

CHUNKS: Final = 10_000
WHOLE_MS_GOAL: Final = 200

_WHOLE: Final = "the whole stream"
_TIMES_A_SECOND: Final = 2
"""Each is read, for each second that a rate is measured."""

_READERS: Final = 10


class _Replay(NamedTuple):
    took_ms: float
    received_bytes: int


def replaying(plan: Plan) -> Group:
    """Measure reading a job that has ended."""
    with TemporaryDirectory() as data_dir:
        job_id = asyncio.run(_make(Path(data_dir)))
        with Double.spawn() as double, generating_in(data_dir, double) as server:
            told = in_turns(plan, _measures(server, job_id, max(2, round(plan.seconds * _TIMES_A_SECOND))))
    rows = []
    for name, runs in told.items():
        replays = [each for run in runs for each in run]
        took_ms = median(each.took_ms for each in replays)
        values = [
            Value("p50", took_ms, "ms"),
            Value("worst", max(each.took_ms for each in replays), "ms"),
            Value("received", replays[0].received_bytes / 1024, "KB"),
        ]
        goal = [Beside(took_ms, "ms", WHOLE_MS_GOAL, at_most=True)] if name == _WHOLE else []
        rows.append(Row(name, values, goal))
    note = "From before the connection is made until the last byte is there."
    return Group(f"Generation: replay of a job with {CHUNKS:,} chunks", note, rows)


def _measures(server: Server, job_id: JobId, times: int) -> Mapping[str, Callable[[], list[_Replay]]]:
    stream, middle = partial(_streamed, server.port, job_id), str(CHUNKS // 2)
    wanted = {
        _WHOLE: partial(stream, ""),
        "from the middle": partial(stream, middle),
        f"{_READERS} readers at once, until the last has all": partial(_all_streamed, server.port, job_id),
        "all chunks as one JSON": partial(_as_json, server.port, job_id),
    }
    return {name: partial(_repeated, each, times) for name, each in wanted.items()}


def _repeated(replay: Callable[[], Coroutine[None, None, _Replay]], times: int) -> list[_Replay]:
    return [loaded(replay()) for _ in range(times)]


async def _streamed(port: int, job_id: JobId, last_event_id: str) -> _Replay:
    began_s = perf_counter()
    heard = {"Last-Event-ID": last_event_id} if last_event_id else NOTHING
    reader = await read(port, Reader(f"{JOBS}/{job_id}/stream", heard))
    assert reader.chunks == CHUNKS - max(0, int(last_event_id or 0) - 1)
    return _Replay((perf_counter() - began_s) * 1000, reader.received_bytes)


async def _all_streamed(port: int, job_id: JobId) -> _Replay:
    replays = await asyncio.gather(*(_streamed(port, job_id, "") for _ in range(_READERS)))
    return _Replay(max(each.took_ms for each in replays), sum(each.received_bytes for each in replays))


async def _as_json(port: int, job_id: JobId) -> _Replay:
    answer = await ask(port, "GET", f"/api/chat/chunks/{job_id}")
    assert len(answer.body["chunks"]) == CHUNKS
    return _Replay(answer.took_ms, answer.size_bytes)


async def _make(data_dir: Path) -> JobId:
    """Store a job that has ended, as if a server had run it."""
    now_ms = round(time() * 1000)
    job = Job(
        id=JobId(str(uuid4())),
        user="local",
        kind="human",
        spec=JobSpec(prompt="Write.", provider="demo", model="demo", max_output_tokens=CHUNKS),
        state="completed",
        stage="ended",
        created_unix_ms=now_ms,
        ended_unix_ms=now_ms,
    )
    async with open_database(data_dir) as database:
        await SqliteJobStore(database).create(job, _events())
    return job.id


def _events() -> list[JobEvent]:
    """Return the events of an answer: a step, the chunks, and its end."""
    chunks = [Chunk(content=f" word-{seq}", seq=seq, attempt=1) for seq in range(2, CHUNKS + 2)]
    chars = sum(len(chunk.content) for chunk in chunks)
    end = Complete(total_tokens=CHUNKS, cost=0.0, result=Result(finish="stop", chars=chars))
    payloads: list[Payload] = [Step(step="generating"), *chunks, end]
    return [event_of(payload, seq, 1) for seq, payload in enumerate(payloads, 1)]
