"""Jobs of generation as a command sees them: started once, followed through every break, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from canvas_server.core.job_event import Chunk, Complete, JobFailure, Metadata, Queued, Step

if TYPE_CHECKING:
    from canvas_server.client.connection import Connection

JOBS: Final = "/api/v1/dialogues/generate/jobs"
MODELS: Final = "/api/v1/models"
BUILT_IN: Final = "demo"
Told: TypeAlias = Step | Chunk | Metadata | Complete | JobFailure | Queued

_SILENCE_S: Final = 45.0
_TRIES: Final = 4
_BREAKS_MAX: Final = 30
"""Streams in a row that broke off with nothing told; a server takes seconds to start again."""
_PAUSE_S: Final = 1.0

_decode_told: Final = msgspec.json.Decoder(Told).decode


class Quota(msgspec.Struct, frozen=True):
    """Where whoever started it stands."""

    currency: str


class Started(msgspec.Struct, frozen=True):
    """A job that was taken."""

    job_id: str
    state: str
    quota: Quota
    warnings: list[dict[str, object]] = []


class _Usage(msgspec.Struct, frozen=True):
    total: Quota


class _Model(msgspec.Struct, frozen=True):
    provider: str
    configured: bool = False


class _Models(msgspec.Struct, frozen=True):
    default: _Model
    models: list[_Model]


class Stopped(msgspec.Struct, frozen=True):
    """What came of cancelling."""

    job_id: str
    state: str
    stopped: bool


class Heard(msgspec.Struct, frozen=True):
    """An event, and how it was told."""

    told: Told
    raw: bytes


async def stand_in(connection: Connection) -> str | None:
    """Return who writes where the server's own choice cannot be asked: `demo`, or nobody if it can, or demo cannot.

    Raises:
        ClientError: it was refused, or no server answers.
    """
    from canvas_server.client.connection import decoded  # noqa: PLC0415 - only commands that ask need it

    told = decoded((await connection.ask("GET", MODELS)).content, _Models)
    configured = {model.provider for model in told.models if model.configured}
    return BUILT_IN if told.default.provider not in configured and BUILT_IN in configured else None


async def start(connection: Connection, wanted: Mapping[str, object]) -> Started:
    """Start a job; however often the request has to be sent, it is one.

    Raises:
        ClientError: it was refused, or no server answers.
    """
    from canvas_server.client.connection import decoded  # noqa: PLC0415 - only commands that ask need it
    from canvas_server.client.errors import UnreachableError  # noqa: PLC0415 - as above
    from canvas_server.client.names import new_name  # noqa: PLC0415 - as above

    body = {**wanted, "idempotency_key": new_name("cli-")}
    for number in range(_TRIES):
        try:
            answer = await connection.ask("POST", JOBS, body=body)
        except UnreachableError:
            if number == _TRIES - 1:
                raise
            await asyncio.sleep(_PAUSE_S)
        else:
            return decoded(answer.content, Started)
    raise AssertionError


async def follow(connection: Connection, job_id: str) -> AsyncGenerator[Heard]:
    """Yield what a job tells from its beginning to its end, each event once.

    Raises:
        ClientError: there is no such job, or the server is gone for good.
    """
    from canvas_server.client.errors import BusyError, UnreachableError  # noqa: PLC0415 - as above

    next_id, breaks = 1, 0
    while True:
        try:
            async with aclosing(_listen(connection, job_id, next_id)) as told:
                async for number, heard in told:
                    breaks = 0
                    next_id = number + 1 if number else next_id
                    yield heard
                    if isinstance(heard.told, Complete | JobFailure):
                        return
        except (UnreachableError, BusyError):
            if breaks >= _BREAKS_MAX:
                raise
        breaks += 1
        await asyncio.sleep(_PAUSE_S)


async def currency(connection: Connection) -> str:
    """Return in what costs are told."""
    return (await connection.read("/api/v1/costs/usage", _Usage)).total.currency


async def cancel(connection: Connection, job_id: str) -> Stopped:
    """Stop a job; answers when it has stopped.

    Raises:
        ClientError: it could not be asked to.
    """
    from canvas_server.client.connection import decoded  # noqa: PLC0415 - as above

    answer = await connection.ask("POST", f"{JOBS}/{job_id}/cancel")
    return decoded(answer.content, Stopped)


async def _listen(connection: Connection, job_id: str, next_id: int) -> AsyncGenerator[tuple[int, Heard]]:
    from canvas_server.client.stream import EventStreamParser  # noqa: PLC0415 - as above

    parser = EventStreamParser()
    path, query = f"{JOBS}/{job_id}/stream", [("from_id", str(next_id))]
    async with connection.stream(path, query, _SILENCE_S) as pieces:
        async for piece in pieces:
            for frame in parser.feed(piece):
                if frame.data and b'"type":"heartbeat"' not in frame.data:
                    yield int(frame.id or 0), Heard(_decode_told(frame.data), frame.data)
