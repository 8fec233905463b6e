"""The worker: brings one job from wherever it stands to its end, however that comes.

Rule: what may cost money is stored before it is done, and what is told is stored before it is shown; so another life
of this server goes on where this one stopped (see `moves`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from canvas_server.core.errors import CanvasError, StorageUnavailableError
from canvas_server.core.job import GenerationLog, Job, JobEvent, JobState
from canvas_server.core.job_event import (
    DATA_BYTES_MAX,
    CanvasResult,
    Complete,
    JobFailure,
    Payload,
    Result,
    Step,
)
from canvas_server.core.job_ports import CachedAnswer
from canvas_server.core.words import say
from canvas_server.generation.asking import Asking, InterruptedJobError
from canvas_server.generation.bill import NOTHING, Bill
from canvas_server.generation.cost import amount_of
from canvas_server.generation.draft import Draft
from canvas_server.generation.event_log import Teller
from canvas_server.generation.providers import structured
from canvas_server.generation.providers.failures import ProviderError, ProviderTimeoutError, StreamLostError
from canvas_server.generation.record import FencedError, Record
from canvas_server.generation.request import cache_key
from canvas_server.generation.stream import Feed
from canvas_server.generation.workshop import Workshop
from canvas_server.generation.writing import Writing

log = logging.getLogger(__name__)

_REVERT_SHARE: Final = 0.4
"""Of the time a cancelled job may take: for taking its text back."""
_STORE_TRIES: Final = 5
_STORE_RETRY_S: Final = 0.5


class JobCancelledError(CanvasError):
    """Its user did not want it any more."""

    code = "CANCELLED"


class Run:
    """One job in motion.

    Args:
        job: as it is stored.
        events: all that are stored; none for a job that is new.
        feed: shows what is told.
        shop: the tools.
    """

    def __init__(self, job: Job, events: Sequence[JobEvent], feed: Feed, shop: Workshop) -> None:
        teller = Teller(job.id, feed, shop.event_log)
        teller.attempt = job.attempt
        self._record = Record(job, teller, shop.jobs)
        self._draft = Draft.of(events, job.attempt)
        self._shop = shop
        self._bill = Bill(self._record, shop.costs, shop.counter)
        self._writing = Writing(self._record, shop, self._interrupt)
        self._recovered = job.stage != "reserved"
        repair = _repair(job, events)
        self._asking = Asking(self._record, self._draft, self._bill, shop, recovered=self._recovered, repair=repair)
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._begun_s = shop.clock.monotonic_s()
        self.cancel_requested = job.cancel_requested
        self.ended = asyncio.Event()
        """Set once the job is stored as ended, or was left as it is for another life of this server."""

    @property
    def job(self) -> Job:
        """The job as it stands."""
        return self._record.job

    @property
    def abandoned(self) -> bool:
        """Whether the provider was left alone because it did not let go."""
        return self._asking.abandoned

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends with the job."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"job {self.job.id}")
        return self._task

    def cancel(self) -> None:
        """Have it stop; nothing happens if it is ending by itself."""
        if not self.cancel_requested and not self._ending:
            self.cancel_requested = True
            self._interrupt()

    def leave(self) -> None:
        """Stop working on it because the server stops; it stays as it is stored."""
        self._ending = True
        if self._task is not None:
            self._task.cancel()

    def _was_cancelled(self) -> bool:
        return self.cancel_requested

    def _interrupt(self) -> None:
        if self._task is not None and not self._ending:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._bring_to_end()
        except FencedError:
            log.warning("job runs elsewhere", extra={"job_id": self.job.id})
        finally:
            await self._writing.aclose()
            await self._asking.aclose()
            self.ended.set()

    async def _bring_to_end(self) -> None:
        if self.cancel_requested:
            await _in_time(self._count_told(), 1.0)
            await self._end_cancelled()
            return
        try:
            async with asyncio.timeout(self._shop.settings.total_s):
                canvas = await self._work()
            self._ending = True
            await self._complete(canvas)
        except asyncio.CancelledError:
            if not (self._was_cancelled() or self._writing.failure):
                await self._asking.leave()
                raise
            self._uncancel()
            await self._end_cut_off()
        except TimeoutError:
            seconds = self._shop.settings.total_s
            await self._fail(
                ProviderTimeoutError(f"the job took more than {seconds:g} s", hint="Ask for a shorter answer.")
            )
        except CanvasError as error:
            if isinstance(error, FencedError):
                raise
            await self._fail(error)
        except Exception:
            # The one place that catches all: whatever our bug is, the job gets an end and the log the story.
            log.exception("job failed", extra={"job_id": self.job.id})
            await self._fail(CanvasError("the server made a mistake", hint="Start again."))

    async def _work(self) -> CanvasResult | None:
        """Go on from the stage that the job is in; return what was written into its canvas."""
        await self._count_told()
        if self.job.state == "queued":
            first = () if self._record.teller.feed.last_seq else (Step(step="prompting"),)
            await self._record.save(*first, state="running", started_unix_ms=self._now_ms())
        stage = self.job.stage
        if stage in ("reserved", "dispatched", "attached"):
            # A text that may have to start over is written when it is known to fit.
            if self.job.spec.schema is None:
                await self._writing.begin(self._draft.text)
            await self._asking.answer()
            stage = self.job.stage
        if stage == "produced":
            await self._settle()
        return await self._writing.finish(self._draft.text)

    async def _count_told(self) -> None:
        """Count what an earlier life of this server told of the newest call's answer."""
        job = self.job
        if self._draft.chars:
            before = job.spec.max_output_tokens - job.output_tokens_max
            self._draft.tokens = max(0, await self._bill.count(self._draft.text) - before)

    async def _settle(self) -> None:
        if not self.job.cached:
            await self._bill.settle(self.job.call_usage or NOTHING)
        await self._record.save(stage="settled")

    async def _complete(self, canvas: CanvasResult | None) -> None:
        job = self.job
        usage = job.usage or NOTHING
        result = Result(finish=job.finish or "stop", chars=self._draft.chars)
        if job.spec.schema is not None and len(msgspec.json.encode(job.result)) <= DATA_BYTES_MAX:
            result = msgspec.structs.replace(result, data=job.result)
        if canvas is not None:
            result = msgspec.structs.replace(result, canvas=canvas)
        complete = Complete(
            total_tokens=usage.input_tokens + usage.output_tokens,
            cost=amount_of(job.cost_micros),
            result=result,
            cached=True if job.cached else msgspec.UNSET,
        )
        self._record.step = "complete"
        await self._end("completed", [await self._bill.final(), Step(step="complete"), complete])
        await self._remember()

    async def _remember(self) -> None:
        """Keep the answer for whoever asks the same within its time."""
        job, settings = self.job, self._shop.settings
        if not settings.cache_ttl_s or job.cached or job.usage is None:
            return
        answer = CachedAnswer(text=self._draft.text, usage=job.usage, finish=job.finish or "stop", result=job.result)
        now_ms = self._now_ms()
        try:
            await self._shop.cache.put(cache_key(job.spec), answer, now_ms, now_ms + round(settings.cache_ttl_s * 1000))
        except CanvasError as error:
            log.warning("answer not kept", extra={"job_id": job.id, "reason": str(error)})

    async def _end_cut_off(self) -> None:
        """End a job that was stopped: by its user, or because its canvas does not take it."""
        if self.cancel_requested:
            await self._end_cancelled()
        else:
            await self._asking.stop()
            assert self._writing.failure is not None
            failure = self._writing.failure
            if not isinstance(failure, CanvasError):
                log.error("writer failed", extra={"job_id": self.job.id}, exc_info=failure)
                failure = CanvasError("the server made a mistake", hint="Start again.")
            await self._fail(failure)

    async def _end_cancelled(self) -> None:
        self._ending = True
        # Nothing more is told from here on, so the store can catch up.
        await self._asking.leave()
        await _in_time(self._record.save(cancel_requested=True), 1.0)
        await self._asking.stop()
        output = self.job.spec.canvas
        if output is None or output.on_cancel == "revert":
            await _in_time(self._writing.revert(), self._shop.settings.cancel_s * _REVERT_SHARE)
        await self._settle_what_was_produced()
        await self._end_with(
            "cancelled", JobCancelledError(say("job.cancelled"), hint="Start again if you want the answer after all.")
        )

    async def _fail(self, error: CanvasError) -> None:
        self._ending = True
        await self._asking.stop()
        if isinstance(error, InterruptedJobError):
            await self._asking.settle_unfinished(worst=True)
        elif isinstance(error, ProviderError) and not self._draft.chars:
            await self._settle_without_text(error)
        else:
            await self._settle_what_was_produced()
        await self._end_with("interrupted" if isinstance(error, InterruptedJobError) else "failed", error)

    async def _settle_without_text(self, error: ProviderError) -> None:
        match error:
            case ProviderTimeoutError() | StreamLostError():
                # It was asked, and may have worked all the same.
                await self._asking.settle_unfinished(worst=True)
            case _:
                await self._asking.settle_unsold()

    async def _settle_what_was_produced(self) -> None:
        if self.job.stage == "produced":
            await self._bill.settle(self.job.call_usage or NOTHING)
        else:
            await self._asking.settle_unfinished(worst=False)

    async def _end_with(self, state: JobState, error: CanvasError) -> None:
        failure = JobFailure(
            message=str(error), code=error.code, hint=error.hint, state=state, text_chars=self._draft.chars
        )
        await self._end(state, [await self._bill.final(), failure], error)

    async def _end(self, state: JobState, payloads: Sequence[Payload], error: CanvasError | None = None) -> None:
        """Store the end with its line of the generation log, and say so; tried again while the store refuses."""
        await self._bill.release_unsent()
        job = self.job
        for tries in range(_STORE_TRIES):
            try:
                await self._record.save(
                    *payloads,
                    log=self._log_line(state, error),
                    state=state,
                    stage="ended",
                    ended_unix_ms=self._now_ms(),
                    error_code=error.code if error else None,
                    error_message=str(error) if error else None,
                )
                break
            except StorageUnavailableError as refusal:
                log.warning("end of a job not stored", extra={"job_id": job.id, "reason": str(refusal)})
                await asyncio.sleep(_STORE_RETRY_S * (tries + 1))
        self._shop.feeds.close(job.id)
        self._say_so(state, error)

    def _log_line(self, state: JobState, error: CanvasError | None) -> GenerationLog:
        job = self.job
        usage = job.usage or NOTHING
        now_ms = self._now_ms()
        return GenerationLog(
            job_id=job.id,
            user=job.user,
            provider=job.spec.provider,
            model=job.spec.model,
            state=state,
            step=self._record.step,
            code=error.code if error else None,
            duration_ms=now_ms - (job.started_unix_ms or job.created_unix_ms),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_micros=job.cost_micros,
            ended_unix_ms=now_ms,
        )

    def _say_so(self, state: JobState, error: CanvasError | None) -> None:
        facts = {
            "job_id": self.job.id,
            "duration_ms": round((self._shop.clock.monotonic_s() - self._begun_s) * 1000),
            "step": self._record.step,
            "timestamp": datetime.fromtimestamp(self._now_ms() / 1000, UTC).isoformat(timespec="milliseconds"),
        }
        if error is not None:
            facts["code"] = error.code
        match state:
            case "completed":
                log.info(say("log.job_completed"), extra=facts)
            case "cancelled":
                log.info(say("log.job_cancelled"), extra=facts)
            case _:
                log.warning(say("log.job_failed"), extra=facts)

    def _uncancel(self) -> None:
        """Go on after having been cancelled: what is left to do may take its time."""
        assert self._task is not None
        self._task.uncancel()

    def _now_ms(self) -> int:
        return self._shop.clock.now_ms()


async def _in_time(work: Awaitable[None], timeout_s: float) -> None:
    """Do what a cancelled job can do without; it may not keep its user waiting."""
    try:
        async with asyncio.timeout(timeout_s):
            await work
    except FencedError:
        raise
    except (TimeoutError, CanvasError) as error:
        log.warning("cancelled job not tidied up", extra={"reason": str(error) or type(error).__name__})


def _repair(job: Job, events: Sequence[JobEvent]) -> str | None:
    """Return what the second attempt of a job asks, made of what the first one answered."""
    if job.attempt == 1 or job.spec.schema is None:
        return None
    first = Draft.of(events, job.attempt - 1).text
    wrong = structured.misfit(first, job.spec.schema) or ""
    return structured.repair_prompt(job.spec.prompt, job.spec.schema, first, wrong)
