"""How a job ends: the provider left, its text finished or taken back, its calls settled, its end stored and told.

Rule: an end is told when it is stored and not before. Until the store takes it, it is tried again; every step may be
done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias, assert_never

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.core.job import GenerationLog, Job, JobState
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
from canvas_server.generation.canvas_client import CanvasRefusedError
from canvas_server.generation.cost import amount_of
from canvas_server.generation.draft import Draft
from canvas_server.generation.providers.failures import ProviderError, ProviderTimeoutError, StreamLostError
from canvas_server.generation.record import FencedError, Record
from canvas_server.generation.request import cache_key
from canvas_server.generation.workshop import Workshop
from canvas_server.generation.writing import Writing

log = logging.getLogger(__name__)

_MARK_SHARE: Final = 0.05
_REVERT_SHARE: Final = 0.3
"""Of the time a cancelled job may take; the rest of a long text is taken back behind its end."""
_LAST_WORDS_S: Final = 5.0
"""How long a job that failed goes on to write into its canvas what it has told."""
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_BUGS_MAX: Final = 3


class JobCancelledError(CanvasError):
    """Its user did not want it any more."""

    code = "CANCELLED"


class Completed(NamedTuple):
    """The answer is whole, and in its canvas."""

    canvas: CanvasResult | None


class Cancelled(NamedTuple):
    """Its user stopped it."""


class Failed(NamedTuple):
    """It does not get to its answer."""

    error: CanvasError


Ending: TypeAlias = Completed | Cancelled | Failed


class Closing:
    """Brings one job to its end.

    Args:
        record: of the job.
        draft: its text.
        bill: what it costs.
        asking: its provider.
        writing: its canvas.
        shop: the tools.
    """

    def __init__(
        self, record: Record, draft: Draft, bill: Bill, asking: Asking, writing: Writing, shop: Workshop
    ) -> None:
        self._record = record
        self._draft = draft
        self._bill = bill
        self._asking = asking
        self._writing = writing
        self._shop = shop
        self._begun_s = shop.clock.monotonic_s()
        self._tidied = False

    async def __call__(self, ending: Ending, left: asyncio.Event) -> None:
        """End the job; given up only when `left` says that the server stops.

        Raises:
            FencedError: somebody else has ended it.
        """
        tries = bugs = 0
        while True:
            try:
                await self._end(ending)
            except FencedError:
                raise
            except CanvasError as error:
                log.warning("end of a job not stored", extra={"job_id": self._job.id, "reason": str(error)})
            except Exception:
                log.exception("end of a job failed", extra={"job_id": self._job.id})
                bugs += 1
                if bugs == _BUGS_MAX:
                    raise
            else:
                return
            if await _said(left, _RETRY_S[min(tries, len(_RETRY_S) - 1)]):
                return
            tries += 1

    async def mark_cancelled(self) -> None:
        """Store that the job is not wanted any more, so that no later life of this server goes on with it."""
        await _in_time(self._record.save(cancel_requested=True), self._shop.settings.cancel_s * _MARK_SHARE)

    @property
    def _job(self) -> Job:
        return self._record.job

    async def _end(self, ending: Ending) -> None:
        match ending:
            case Completed(canvas=canvas):
                await self._settle_whole()
                self._record.step = "complete"
                await self._store("completed", [Step(step="complete"), self._complete(canvas)], None)
                await self._remember()
            case Cancelled():
                await self._tidy_cancelled()
                error = JobCancelledError(say("job.cancelled"), hint="Start again if you want the answer after all.")
                await self._settle_what_was_produced()
                await self._store_failure("cancelled", error)
            case Failed(error=error):
                await self._tidy_failed(error)
                await self._settle_failed(error)
                await self._store_failure("interrupted" if isinstance(error, InterruptedJobError) else "failed", error)
            case _:
                assert_never(ending)

    async def _tidy_cancelled(self) -> None:
        if self._tidied:
            return
        self._tidied = True
        await self._asking.stop()
        output = self._job.spec.canvas
        if output is None or output.on_cancel == "revert":
            await self._writing.revert(self._shop.settings.cancel_s * _REVERT_SHARE)

    async def _tidy_failed(self, error: CanvasError) -> None:
        if self._tidied:
            return
        self._tidied = True
        await self._asking.stop()
        if not isinstance(error, CanvasRefusedError) and self._job.spec.schema is None:
            await _in_time(self._writing.finish(self._draft.text), _LAST_WORDS_S)

    async def _settle_whole(self) -> None:
        if self._job.stage == "produced":
            await self._bill.settle(self._job.call_usage or NOTHING)
            await self._record.save(stage="settled")

    async def _settle_failed(self, error: CanvasError) -> None:
        if isinstance(error, InterruptedJobError):
            await self._asking.settle_unfinished(worst=True)
        elif not isinstance(error, ProviderError) or self._draft.chars:
            await self._settle_what_was_produced()
        elif isinstance(error, ProviderTimeoutError | StreamLostError) or self._job.stage == "attached":
            # It was asked, and may have worked all the same.
            await self._asking.settle_unfinished(worst=True)
        else:
            await self._asking.settle_unsold()

    async def _settle_what_was_produced(self) -> None:
        if self._job.stage == "produced":
            await self._bill.settle(self._job.call_usage or NOTHING)
        else:
            await self._asking.settle_unfinished(worst=False)

    async def _store_failure(self, state: JobState, error: CanvasError) -> None:
        failure = JobFailure(
            message=str(error), code=error.code, hint=error.hint, state=state, text_chars=self._draft.chars
        )
        await self._store(state, [failure], error)

    async def _store(self, state: JobState, payloads: Sequence[Payload], error: CanvasError | None) -> None:
        """Store the end with its line of the generation log, and say so."""
        await self._bill.release_unsent()
        await self._record.save(
            await self._bill.final(),
            *payloads,
            log=self._log_line(state, error),
            state=state,
            stage="ended",
            ended_unix_ms=self._shop.clock.now_ms(),
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
        )
        self._say_so(state, error)

    def _complete(self, canvas: CanvasResult | None) -> Complete:
        job = self._job
        usage = job.usage or NOTHING
        result = Result(finish=job.finish or "stop", chars=self._draft.chars)
        if job.spec.schema is not None and len(msgspec.json.encode(job.result)) <= DATA_BYTES_MAX:
            result = msgspec.structs.replace(result, data=job.result)
        if canvas is not None:
            result = msgspec.structs.replace(result, canvas=canvas)
        return Complete(
            total_tokens=usage.input_tokens + usage.output_tokens,
            cost=amount_of(job.cost_micros),
            result=result,
            cached=True if job.cached else msgspec.UNSET,
        )

    async def _remember(self) -> None:
        """Keep the answer for whoever asks the same within its time."""
        job, settings = self._job, self._shop.settings
        if not settings.cache_ttl_s or job.cached or job.usage is None:
            return
        answer = CachedAnswer(text=self._draft.text, usage=job.usage, finish=job.finish or "stop", result=job.result)
        now_ms = self._shop.clock.now_ms()
        until_ms = now_ms + round(settings.cache_ttl_s * 1000)
        try:
            await self._shop.cache.put(cache_key(job.user, job.spec), answer, now_ms, until_ms)
        except CanvasError as error:
            log.warning("answer not kept", extra={"job_id": job.id, "reason": str(error)})

    def _log_line(self, state: JobState, error: CanvasError | None) -> GenerationLog:
        job = self._job
        usage = job.usage or NOTHING
        now_ms = self._shop.clock.now_ms()
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
            "job_id": self._job.id,
            "duration_ms": round((self._shop.clock.monotonic_s() - self._begun_s) * 1000),
            "step": self._record.step,
            "timestamp": datetime.fromtimestamp(self._shop.clock.now_ms() / 1000, UTC).isoformat(
                timespec="milliseconds"
            ),
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


async def _said(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for a word; False if it did not come in time."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _in_time(work: Awaitable[object], timeout_s: float) -> None:
    """Do what the end of a job can do without; it may not keep its user waiting."""
    try:
        async with asyncio.timeout(timeout_s):
            await work
    except FencedError:
        raise
    except (TimeoutError, CanvasError) as error:
        log.warning("job not tidied up", extra={"reason": str(error) or type(error).__name__})
