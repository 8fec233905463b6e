"""Jobs over HTTP: start, find, read, cancel.

Rule: a job is its user's and an admin's; for anybody else there is none under that name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from canvas_server.core.errors import InvalidFieldError, NotFoundError
from canvas_server.core.event import Failure
from canvas_server.core.ids import CanvasRef, is_canvas_ref
from canvas_server.core.job import CanvasOutput, Job, JobEvent, JobId
from canvas_server.core.job_event import text_of
from canvas_server.core.job_ports import JobStore
from canvas_server.core.operation import NO_OPTIONS, OffsetMode, Operation, PositionTarget, RangeMode, check_operation
from canvas_server.core.words import choose_language
from canvas_server.generation.cost import CostControl
from canvas_server.generation.draft import Draft
from canvas_server.generation.engine_embedded import EmbeddedEngine
from canvas_server.generation.enqueue import Asker, Enqueue, Enqueued
from canvas_server.generation.request import JobRequest
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.auth import Caller
from canvas_server.web.body import decode, expect_json
from canvas_server.web.exchange import Exchange
from canvas_server.web.job_bodies import (
    JOBS_PATH,
    ChunkBody,
    ChunksBody,
    JobBody,
    JobsBody,
    StoppedBody,
    started,
    view,
)
from canvas_server.web.problems import Headers

_encode: Final = msgspec.json.Encoder().encode
_decode_body: Final = msgspec.json.Decoder(JobBody).decode
_JOB_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIST_MAX: Final = 100
_EVENTS_PAGE: Final = 1_000


class Jobs:
    """The handlers.

    Args:
        enqueue: takes requests.
        engine: runs jobs.
        store: has them.
        costs: say where the user stands.
        manager: knows the canvases that jobs write into.
        body_bytes_max: of a request.
    """

    def __init__(
        self,
        enqueue: Enqueue,
        engine: EmbeddedEngine,
        store: JobStore,
        costs: CostControl,
        manager: CanvasStateManager,
        *,
        body_bytes_max: int,
    ) -> None:
        self._enqueue = enqueue
        self._engine = engine
        self._store = store
        self._costs = costs
        self._manager = manager
        self._body_bytes_max = body_bytes_max

    async def start(self, exchange: Exchange) -> None:
        """Serve `POST /api/v1/dialogues/generate/jobs`."""
        expect_json(exchange.headers)
        body = decode(_decode_body, await exchange.body(self._body_bytes_max))
        taken = await self.take(exchange, body.request())
        told = started(taken, self._engine.position(taken.job.id), self._costs)
        headers = [(b"location", f"{JOBS_PATH}/{taken.job.id}".encode()), *warning_of(taken, self._costs)]
        await exchange.answer(201 if taken.created else 200, _encode(told), headers=headers)

    async def take(self, exchange: Exchange, request: JobRequest, *, join: bool = False) -> Enqueued:
        """Take a request in the name of whoever sends it; raises as `Enqueue` does."""
        caller = exchange.caller()
        caller.check("generate")
        if request.canvas is not None:
            await self._check_place(exchange, request.canvas)
        else:
            caller.check_unbound()
        lang = choose_language(exchange.headers.get(b"accept-language", b"").decode("latin-1"))
        asker = Asker(name=caller.user, kind=caller.kind, admin="unmetered" in caller.rights, lang=lang)
        return await self._enqueue(request, asker, join=join)

    async def list_all(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/dialogues/generate/jobs`."""
        caller = exchange.caller()
        everybody = caller.admin and exchange.flag("all", default=False)
        jobs = await self._store.list(
            None if everybody else caller.user, active=exchange.flag("active", default=False), limit=_LIST_MAX
        )
        views = [view(job, self._engine.position(job.id)) for job in jobs if _is_told(job, caller)]
        await exchange.answer(200, _encode(JobsBody(views)))

    async def read(self, exchange: Exchange) -> None:
        """Serve `GET /api/v1/dialogues/generate/jobs/{job_id}`."""
        job = await self.find(exchange, exchange.scope["path_params"]["job_id"])
        text = Draft.of(await self._events(job.id, 0), job.attempt).text
        await exchange.answer(200, _encode(view(job, self._engine.position(job.id), text)))

    async def cancel(self, exchange: Exchange) -> None:
        """Serve `POST /api/v1/dialogues/generate/jobs/{job_id}/cancel`."""
        job = await self.find(exchange, exchange.scope["path_params"]["job_id"])
        stopped = await self._engine.cancel(job.id)
        body = StoppedBody(job_id=job.id, state=stopped.job.state, stopped=stopped.stopped, abandoned=stopped.abandoned)
        await exchange.answer(200, _encode(body))

    async def chunks(self, exchange: Exchange) -> None:
        """Serve `GET /api/chat/chunks/{task_id}`."""
        job = await self.find(exchange, exchange.scope["path_params"]["task_id"])
        from_id = whole_number(exchange.parameter("from_id"), "from_id")
        events = await self._events(job.id, max(0, from_id - 1))
        chunks = [ChunkBody(event.seq, event.attempt, text_of(event)) for event in events if event.kind == "chunk"]
        body = ChunksBody(
            task_id=job.id,
            state=job.state,
            chunks=chunks,
            next_from_id=events[-1].seq + 1 if events else max(1, from_id),
            complete=job.ended,
        )
        await exchange.answer(200, _encode(body))

    async def find(self, exchange: Exchange, job_id: str) -> Job:
        """Return a job of whoever asks.

        Raises:
            NotFoundError: there is none, or it is somebody else's.
        """
        caller = exchange.caller()
        if _JOB_ID.fullmatch(job_id):
            try:
                job = await self._store.load(JobId(job_id))
            except NotFoundError:
                job = None
            if job is not None and (caller.admin or job.user == caller.user) and _is_told(job, caller):
                return job
        raise NotFoundError(f"there is no job {job_id[:64]}", hint=f"List your jobs with GET {JOBS_PATH}.")

    async def has_events(self, job: Job, after_seq: int) -> bool:
        """Tell whether anything is stored of a job after an event."""
        return bool(await self._store.read_events(job.id, after_seq, 1))

    async def _events(self, job_id: JobId, after_seq: int) -> Sequence[JobEvent]:
        events: list[JobEvent] = []
        while page := await self._store.read_events(job_id, events[-1].seq if events else after_seq, _EVENTS_PAGE):
            events += page
        return events

    async def _check_place(self, exchange: Exchange, output: CanvasOutput) -> None:
        """Refuse a job that could not write where it is told, before anything is paid."""
        if not is_canvas_ref(output.ref):
            raise InvalidFieldError("no canvas can have that name", pointer="/canvas/ref", hint="Name a canvas.")
        if isinstance(output.target, PositionTarget) and isinstance(output.target.position, OffsetMode | RangeMode):
            raise InvalidFieldError(
                "an offset means nothing by the time the text comes",
                pointer="/canvas/target",
                hint="Name a heading, a text, an anchor, or the start or end.",
            )
        caller = exchange.caller()
        caller.check("write")
        await exchange.gate.check_canvas(caller, CanvasRef(output.ref), "write")
        room = await self._manager.open(CanvasRef(output.ref))
        await room.settled()
        operation = Operation(
            op_id="place",
            client_version=room.canvas.version.etag,
            scope="range",
            action=output.action,
            target=output.target,
            where=output.where,
            options=output.options or NO_OPTIONS,
            content="…",
        )
        check_operation(operation, self._manager.settings.limits, "/canvas")
        (outcome,), _ = await room.preview(exchange.author(), "codepoint", (operation,))
        if isinstance(outcome, Failure):
            raise InvalidFieldError(outcome.message, pointer="/canvas/target", hint=outcome.hint)


def _is_told(job: Job, caller: Caller) -> bool:
    """Tell whether a job may be told to whoever has credentials for single canvases only."""
    output = job.spec.canvas
    return caller.canvases is None or (output is not None and output.ref in caller.canvases)


def warning_of(taken: Enqueued, costs: CostControl) -> Headers:
    """Return the header that warns of a quota that is nearly used."""
    if not costs.warns(taken.standing):
        return []
    return [(b"x-quota-warning", f"{taken.standing.percentage:g}%".encode())]


def whole_number(text: str | None, name: str) -> int:
    """Return a parameter that counts from 0; 0 if it is not there."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise InvalidFieldError(f"{name} is a whole number", pointer=f"/{name}", hint=f"Say {name}=0.")
    return int(text)
