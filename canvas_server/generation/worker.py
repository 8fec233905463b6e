"""The worker: brings one job from wherever it stands to its end, however that comes.

Rule: what may cost money is stored before it is done, and what is told is stored before it is shown; so another life
of this server goes on where this one stopped (see `moves`). The work is a task of its own, which may be cut off at any
moment; what follows it, the ending, is not cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextvars import copy_context

from canvas_server.core.current import JOB_ID, REQUEST_ID
from canvas_server.core.errors import CanvasError
from canvas_server.core.job import Job, JobEvent
from canvas_server.core.job_event import CanvasResult, Step
from canvas_server.core.tracer import Span
from canvas_server.generation.asking import Asking
from canvas_server.generation.bill import NOTHING, Bill
from canvas_server.generation.draft import Draft
from canvas_server.generation.ending import Cancelled, Closing, Completed, Ending, Failed
from canvas_server.generation.event_log import Teller
from canvas_server.generation.providers import structured
from canvas_server.generation.providers.failures import ProviderTimeoutError
from canvas_server.generation.record import FencedError, Record
from canvas_server.generation.stream import Feed
from canvas_server.generation.workshop import Workshop
from canvas_server.generation.writing import Writing

log = logging.getLogger(__name__)

_CUT_SHARE = 0.15
"""Of the time a cancelled job may take: for the work to let go."""


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
        self._shop = shop
        self._record = Record(job, teller, shop.jobs)
        self._draft = Draft.of(events, job.attempt)
        self._bill = Bill(self._record, shop.costs, shop.counter)
        self._writing = Writing(self._record, shop, self._wake)
        self._asking = Asking(
            self._record,
            self._draft,
            self._bill,
            shop,
            recovered=job.stage != "reserved",
            repair=_repair(job, events),
        )
        self._closing = Closing(self._record, self._draft, self._bill, self._asking, self._writing, shop)
        self._woken = asyncio.Event()
        self._left = asyncio.Event()
        self._cancel_requested = job.cancel_requested
        # It starts when its turn comes, in whatever task; it is on behalf of the request that made it all the same.
        self._context = copy_context()
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
        return asyncio.get_running_loop().create_task(self._run(), name=f"job {self.job.id}", context=self._context)

    def cancel(self) -> None:
        """Have it stop; nothing happens if it is ending already."""
        self._cancel_requested = True
        self._wake()

    def leave(self) -> None:
        """Stop working on it because the server stops; it stays as it is stored."""
        self._left.set()
        self._wake()

    def _is_unwanted(self) -> bool:
        return self._cancel_requested

    def _wake(self) -> None:
        self._woken.set()

    async def _run(self) -> None:
        JOB_ID.set(self.job.id)
        REQUEST_ID.set(self.job.request_id)
        spec = self.job.spec
        facts = {"job_id": self.job.id, "gen_ai.provider.name": spec.provider, "gen_ai.request.model": spec.model}
        with self._shop.tracer.span("job", {**facts, "request_id": self.job.request_id}) as span:
            try:
                await self._run_to_the_end()
            finally:
                _note(span, self.job)

    async def _run_to_the_end(self) -> None:
        try:
            ending = await self._work_until_woken()
            if ending is not None:
                await self._closing(ending, self._left)
        except FencedError:
            log.warning("job runs elsewhere", extra={"job_id": self.job.id})
        finally:
            self._shop.feeds.close(self.job.id)
            self.ended.set()
            await _tidy(self._writing.aclose())
            await _tidy(self._asking.aclose())

    async def _work_until_woken(self) -> Ending | None:
        """Work until the job is done or somebody wants it to stop; None if it is left for another life."""
        if self._is_unwanted():
            await self._closing.mark_cancelled()
            await _tidy(self._count_told())
            return Cancelled()
        loop = asyncio.get_running_loop()
        work, woken = loop.create_task(self._work(), name="work"), loop.create_task(self._woken.wait(), name="woken")
        await asyncio.wait({work, woken}, timeout=self._shop.settings.total_s, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        if not work.done():
            if self._is_unwanted() and not self._left.is_set():
                await self._closing.mark_cancelled()
            work.cancel()
            await asyncio.wait({work}, timeout=self._shop.settings.cancel_s * _CUT_SHARE)
        if work.done() and not work.cancelled():
            return self._ending_of(work)
        work.add_done_callback(_forget)
        if self._left.is_set():
            await self._asking.leave()
            return None
        return self._ending_of_cut()

    def _ending_of(self, work: asyncio.Task[CanvasResult | None]) -> Ending:
        """Return how the work ended by itself."""
        error = work.exception()
        if error is None:
            return Completed(work.result())
        if isinstance(error, FencedError):
            raise error
        if isinstance(error, CanvasError):
            return Failed(error)
        return self._our_mistake(error)

    def _ending_of_cut(self) -> Ending:
        """Return why the work was cut off."""
        if self._is_unwanted():
            return Cancelled()
        failure = self._writing.failure
        if failure is None:
            seconds = self._shop.settings.total_s
            return Failed(ProviderTimeoutError(f"the job took over {seconds:g} s", hint="Ask for a shorter answer."))
        return Failed(failure) if isinstance(failure, CanvasError) else self._our_mistake(failure)

    def _our_mistake(self, error: BaseException) -> Failed:
        # The one place that catches all: whatever our bug is, the job gets an end and the log the story.
        log.error("job failed", extra={"job_id": self.job.id}, exc_info=error)
        return Failed(CanvasError("the server made a mistake", hint="Start again."))

    async def _work(self) -> CanvasResult | None:
        """Go on from the stage that the job is in; return what was written into its canvas."""
        await self._count_told()
        if self.job.state == "queued":
            first = () if self._record.teller.feed.last_seq else (Step(step="prompting"),)
            await self._record.save(*first, state="running", started_unix_ms=self._shop.clock.now_ms())
        if self.job.stage in ("reserved", "dispatched", "attached"):
            # A text that may have to start over is written when it is known to fit.
            if self.job.spec.schema is None:
                await self._writing.begin(self._draft.text)
            await self._asking.answer()
        return await self._writing.finish(self._draft.text)

    async def _count_told(self) -> None:
        """Count what an earlier life of this server told of the newest call's answer."""
        job = self.job
        if self._draft.chars:
            before = job.spec.max_output_tokens - job.output_tokens_max
            self._draft.tokens = max(0, await self._bill.count(self._draft.text) - before)


async def _tidy(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("job not tidied up")


def _note(span: Span, job: Job) -> None:
    """Say what became of a job: counts and codes."""
    usage = job.usage or NOTHING
    span.note(
        {
            "job.state": job.state,
            "job.calls": job.call,
            "job.cached": job.cached,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "cost_micros": job.cost_micros,
        }
    )
    if job.error_code is not None:
        span.fail(job.error_code)


def _forget(work: asyncio.Task[CanvasResult | None]) -> None:
    """Take what work that was cut off ends with: nobody else does."""
    if not work.cancelled():
        work.exception()


def _repair(job: Job, events: Sequence[JobEvent]) -> str | None:
    """Return what the second attempt of a job asks, made of what the first one answered."""
    if job.attempt == 1 or job.spec.schema is None:
        return None
    first = Draft.of(events, job.attempt - 1).text
    wrong = structured.misfit(first, job.spec.schema) or ""
    return structured.repair_prompt(job.spec.prompt, job.spec.schema, first, wrong)
