"""The stream of a job, for as many readers as want it; and the one GET that starts a job, for a bare EventSource.

Closing a stream stops nothing. Whoever comes back says what was heard last and gets what came after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent

from canvas_server.core.counts import Counts
from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.event import Bye
from canvas_server.core.job import Job, JobEvent
from canvas_server.core.job_event import JobNamed, Queued
from canvas_server.generation.cost import CostControl
from canvas_server.generation.request import JobRequest
from canvas_server.generation.stream import Feeds
from canvas_server.state.log import frame_of
from canvas_server.web.body import decode
from canvas_server.web.exchange import Exchange
from canvas_server.web.job_bodies import JOBS_PATH, JobBody
from canvas_server.web.jobs import Jobs, warning_of, whole_number
from canvas_server.web.listen import STREAM_HEADERS
from canvas_server.web.problems import Headers
from canvas_server.web.streams import Streams

_encode: Final = msgspec.json.Encoder().encode
_decode_body: Final = msgspec.json.Decoder(JobBody).decode
_PARAMETERS: Final = ("prompt", "provider", "model", "preset_id", "idempotency_key")


class StreamTimes(NamedTuple):
    """How streams of jobs keep time."""

    heartbeat_s: float
    """Between two signs of life."""
    slow_write_s: float
    """How long one write may take."""
    retry_ms: int
    """How long a reader is asked to wait before it comes back."""


class JobStreams:
    """The handlers.

    Args:
        jobs: find and start.
        open_streams: end those whose readers may hear no more.
        feeds: tell.
        costs: say whether to warn.
        counts: is told how many follow.
        times: of every stream.
    """

    def __init__(
        self,
        jobs: Jobs,
        open_streams: Streams,
        feeds: Feeds,
        costs: CostControl,
        counts: Counts,
        times: StreamTimes,
    ) -> None:
        self._jobs = jobs
        self._open_streams = open_streams
        self._feeds = feeds
        self._costs = costs
        self._counts = counts
        self._times = times

    async def stream(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/dialogues/generate/jobs/{job_id}/stream`."""
        job = await self._jobs.find(exchange, exchange.scope["path_params"]["job_id"])
        heard = exchange.headers.get(b"last-event-id")
        if heard is not None:
            after_seq = whole_number(heard.decode("latin-1"), "Last-Event-ID")
        else:
            after_seq = max(0, whole_number(exchange.parameter("from_id"), "from_id") - 1)
        await self._tell(exchange, job, after_seq)

    async def generate(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/generate/stream`: start a job and stream it; with `Last-Event-ID` only stream it."""
        heard = exchange.headers.get(b"last-event-id")
        if heard is not None:
            job_id, _, seq = heard.decode("latin-1").rpartition(".")
            job = await self._jobs.find(exchange, job_id)
            await self._tell(exchange, job, whole_number(seq, "Last-Event-ID"), f"{job.id}.")
            return
        taken = await self._jobs.take(exchange, _request(exchange), join=True)
        headers = warning_of(taken, self._costs)
        # Before anything is stored the reader has an id already: should it be cut off now, it buys nothing again.
        await self._tell(exchange, taken.job, 0, f"{taken.job.id}.", headers, _named(taken.job))

    async def _tell(
        self,
        exchange: Exchange,
        job: Job,
        after_seq: int,
        prefix: str = "",
        headers: Headers | None = None,
        opening: bytes = b"",
    ) -> None:
        if job.ended and not await self._jobs.has_events(job, after_seq):
            # An EventSource that heard the end comes back, until it is told that there is nothing more.
            await exchange.answer(204)
            return
        fields = {name.decode(): value.decode() for name, value in [*STREAM_HEADERS, *(headers or [])]}
        exchange.status = 200
        response = EventSourceResponse(
            self._frames(job, after_seq, prefix.encode(), opening),
            headers=fields,
            ping=self._times.heartbeat_s,
            ping_message_factory=_heartbeat,
            sep="\n",
            send_timeout=self._times.slow_write_s,
        )
        answering = asyncio.ensure_future(response(exchange.scope, exchange.receive, exchange.send))
        is_revoked = asyncio.Event()

        def end() -> None:
            is_revoked.set()
            answering.cancel()

        self._counts.job_streams += 1
        try:
            with self._open_streams.held(exchange.caller(), (), end):
                await answering
        except asyncio.CancelledError:
            if not is_revoked.is_set():
                raise
            bye = frame_of(Bye(reason="revoked", retry_ms=self._times.retry_ms))
            await exchange.send({"type": "http.response.body", "body": bye, "more_body": False})
        finally:
            self._counts.job_streams -= 1

    async def _frames(self, job: Job, after_seq: int, prefix: bytes, opening: bytes) -> AsyncIterator[bytes]:
        retry = b"retry: %d\n" % self._times.retry_ms
        if opening:
            yield retry + opening
            retry = b""
        async for told in self._feeds.follow(job.id, after_seq):
            yield retry + (_queued(told) if isinstance(told, int) else b"".join(_frame(e, prefix) for e in told))
            retry = b""


def _frame(event: JobEvent, prefix: bytes) -> bytes:
    return b"id: %s%d\ndata: %s\n\n" % (prefix, event.seq, event.data)


def _named(job: Job) -> bytes:
    named = JobNamed(
        job_id=job.id, stream_url=f"{JOBS_PATH}/{job.id}/stream", cancel_url=f"{JOBS_PATH}/{job.id}/cancel"
    )
    return b"id: %s.0\ndata: %s\n\n" % (job.id.encode(), _encode(named))


def _queued(position: int) -> bytes:
    return b"data: %s\n\n" % _encode(Queued(position=position))


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(data='{"type":"heartbeat"}', sep="\n")


def _request(exchange: Exchange) -> JobRequest:
    """Read a request out of a query; its fields are checked as those of a body."""
    given: dict[str, object] = {name: value for name in _PARAMETERS if (value := exchange.parameter(name)) is not None}
    if (tokens := exchange.parameter("max_output_tokens")) is not None:
        given["max_output_tokens"] = whole_number(tokens, "max_output_tokens")
    if unknown := exchange.query().keys() - {*_PARAMETERS, "max_output_tokens", "ticket"}:
        name = min(unknown)
        raise InvalidFieldError(f"unknown parameter {name[:64]!r}", pointer=f"/{name[:64]}", hint="Leave it out.")
    return decode(_decode_body, _encode(given)).request()
