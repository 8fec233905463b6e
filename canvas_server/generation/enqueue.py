"""From a request to a job that waits for its turn: checked, counted, paid for at its worst, and stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from canvas_server.core.current import REQUEST_ID
from canvas_server.core.errors import InvalidFieldError, InvalidRequestError, TooLargeError
from canvas_server.core.event import Kind
from canvas_server.core.job import FinishReason, Job, JobEvent, JobId, JobSpec
from canvas_server.core.job_event import Chunk, Step, event_of
from canvas_server.core.job_ports import CachedAnswer
from canvas_server.core.preset import PresetId
from canvas_server.core.quota import Standing
from canvas_server.core.words import Lang
from canvas_server.generation.cost import Estimate
from canvas_server.generation.engine_embedded import EmbeddedEngine
from canvas_server.generation.presets import Presets, Warned
from canvas_server.generation.providers import structured
from canvas_server.generation.request import JobRequest, billed_text, cache_key, request_digest
from canvas_server.generation.uncut import to_the_end
from canvas_server.generation.workshop import Workshop

log = logging.getLogger(__name__)

_CHUNK_CHARS: Final = 16 * 1024


class KeyReusedError(InvalidRequestError):
    """The idempotency key was used for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants a job."""

    name: str
    kind: Kind
    admin: bool
    lang: Lang


class Enqueued(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was taken."""

    job: Job
    created: bool
    """False: it was made before, for the same request."""
    standing: Standing
    warnings: Sequence[Warned] = ()
    """Of the preset."""
    tokens_exact: bool = True


class Intake(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may leave open."""

    provider: str
    models: Mapping[str, str]
    """The model of each provider that a request without one means."""
    max_output_tokens: int
    prompt_bytes_max: int


class Enqueue:
    """Takes requests.

    Args:
        engine: runs what was taken.
        shop: the tools.
        presets: what a request may refer to.
        intake: what a request may leave open.
    """

    def __init__(self, engine: EmbeddedEngine, shop: Workshop, presets: Presets, intake: Intake) -> None:
        self._engine = engine
        self._shop = shop
        self._presets = presets
        self._intake = intake
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, request: JobRequest, asker: Asker, *, join: bool = False) -> Enqueued:
        """Take a request.

        Args:
            request: as it was read.
            asker: who wants it.
            join: a request for just what runs already is the same one, also without a key.

        Raises:
            InvalidFieldError, TooLargeError: it cannot be what it says.
            KeyReusedError: its key was used for another request.
            NotFoundError: there is no such preset.
            NotConfiguredError, UnknownModelError, PriceUnknownError: nobody can be asked for it.
            TooManyJobsError: enough of the asker's jobs are waiting.
            QuotaExceededError: it may cost more than is left.
        """
        # One at a time for each user, so that nothing comes between a look and what is done about it.
        async with self._turns.setdefault(asker.name, asyncio.Lock()):
            return await to_the_end(self._enqueue(request, asker, join=join))

    async def _enqueue(self, request: JobRequest, asker: Asker, *, join: bool) -> Enqueued:
        digest = request_digest(request)
        if earlier := await self._earlier(request, asker, digest, join=join):
            return await self._repeated(earlier, digest)
        self._engine.check_room(asker.name)
        spec, warnings = await self._spec(request, asker)
        # Says at once what nobody could be asked for; the connection is made by the worker.
        await self._shop.factory.create(spec.provider, spec.model).aclose()
        counted = await self._shop.counter.count(billed_text(spec.prompt, spec.schema), spec.provider, spec.model)
        estimate = self._shop.costs.estimate(spec.provider, spec.model, counted.at_most, spec.max_output_tokens)
        job = Job(
            id=JobId(self._shop.ids.name()),
            user=asker.name,
            kind=asker.kind,
            spec=spec,
            idempotency_key=request.idempotency_key,
            request_digest=digest,
            request_id=REQUEST_ID.get(),
            unlimited=asker.admin,
            input_tokens=counted.at_most,
            estimate_micros=estimate.micros,
            created_unix_ms=self._shop.clock.now_ms(),
        )
        taken = await self._take(job, estimate)
        return msgspec.structs.replace(taken, warnings=warnings, tokens_exact=counted.exact)

    async def _take(self, job: Job, estimate: Estimate) -> Enqueued:
        """Store a job, its worst case being held or its answer known, and have it run."""
        answer = await self._known_answer(job.user, job.spec)
        if answer is None:
            standing = await self._shop.costs.reserve(job.id, 1, job.user, estimate, unlimited=job.unlimited)
            events: Sequence[JobEvent] = ()
        else:
            standing = await self._shop.costs.standing(job.user)
            job, events = _told_again(job, answer), _events_of(answer)
        try:
            stored = await self._shop.jobs.create(job, events)
        except BaseException:
            await self._shop.costs.release(job.id, 1)
            raise
        if stored.id != job.id:
            # Another server on the same store was faster.
            await self._shop.costs.release(job.id, 1)
            return await self._repeated(stored, job.request_digest)
        self._engine.add(job, events)
        log.info(
            "job taken",
            extra={"job_id": job.id, "user": job.user, "provider": job.spec.provider, "cached": job.cached},
        )
        return Enqueued(job=job, created=True, standing=standing)

    async def _known_answer(self, user: str, spec: JobSpec) -> CachedAnswer | None:
        if not self._shop.settings.cache_ttl_s:
            return None
        return await self._shop.cache.get(cache_key(user, spec), self._shop.clock.now_ms())

    async def _earlier(self, request: JobRequest, asker: Asker, digest: str, *, join: bool) -> Job | None:
        if request.idempotency_key is not None:
            return await self._shop.jobs.find(asker.name, request.idempotency_key)
        return self._engine.find_running(asker.name, digest) if join else None

    async def _repeated(self, job: Job, digest: str) -> Enqueued:
        if job.request_digest != digest:
            raise KeyReusedError(
                "this idempotency key was used for another request", hint="Use a fresh key for each request."
            )
        return Enqueued(job=job, created=False, standing=await self._shop.costs.standing(job.user))

    async def _spec(self, request: JobRequest, asker: Asker) -> tuple[JobSpec, Sequence[Warned]]:
        provider = request.provider or self._intake.provider
        prompt, warnings = await self._prompt(request, asker)
        if request.schema is not None:
            structured.check_schema(request.schema)
        return JobSpec(
            prompt=prompt,
            provider=provider,
            model=request.model or self._intake.models.get(provider, ""),
            max_output_tokens=request.max_output_tokens or self._intake.max_output_tokens,
            preset_id=request.preset_id,
            schema=request.schema,
            canvas=request.canvas,
        ), warnings

    async def _prompt(self, request: JobRequest, asker: Asker) -> tuple[str, Sequence[Warned]]:
        prompt = request.prompt
        warnings: Sequence[Warned] = ()
        if request.preset_id is not None:
            prompt, validation = await self._presets.prompt_for(PresetId(request.preset_id), request.prompt, asker.lang)
            warnings = validation.warnings
        if not prompt.strip():
            raise InvalidFieldError("there is nothing to write about", pointer="/prompt", hint="Say what to write.")
        if len(prompt.encode()) > self._intake.prompt_bytes_max:
            raise TooLargeError(f"a prompt has at most {self._intake.prompt_bytes_max} bytes", hint="Ask for less.")
        return prompt, warnings


def _told_again(job: Job, answer: CachedAnswer) -> Job:
    """Return a job whose answer is known: nothing is asked, nothing is paid."""
    finish: FinishReason = "length" if answer.finish == "length" else "stop"
    return msgspec.structs.replace(
        job, cached=True, stage="settled", estimate_micros=0, finish=finish, result=answer.result
    )


def _events_of(answer: CachedAnswer) -> Sequence[JobEvent]:
    pieces = [answer.text[start : start + _CHUNK_CHARS] for start in range(0, len(answer.text), _CHUNK_CHARS)]
    chunks = [Chunk(content=piece, seq=seq, attempt=1) for seq, piece in enumerate(pieces, 2)]
    return [event_of(Step(step="prompting"), 1, 1), *(event_of(chunk, chunk.seq, 1) for chunk in chunks)]
