"""The engine of one machine: jobs as tasks of this process, so many at once, the others in a queue.

Rule: an engine starts, cancels and takes up; what a job is and how far it has come is in the store, and nobody but the
engine changes it while it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Final, NamedTuple

from canvas_server.core.errors import CanvasError, DrainingError, RateLimitedError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.job import Job, JobEvent, JobId
from canvas_server.generation.worker import Run
from canvas_server.generation.workshop import Workshop

log = logging.getLogger(__name__)

_PAGE: Final = 1_000
_FORGET_S: Final = 6 * 3600
_DRAIN_S: Final = 2.0


class TooManyJobsError(RateLimitedError):
    """Enough jobs of this user are waiting."""

    retry_after_s = 10


class Stopped(NamedTuple):
    """What came of cancelling a job."""

    job: Job
    stopped: bool
    """False: it did not stop in time, and was left alone."""
    abandoned: bool
    """Its provider did not let go in time, and was left alone."""


class EmbeddedEngine:
    """Runs jobs; use as an async context manager. On the way out running jobs are left for the next start.

    Args:
        shop: the tools.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._waiting: dict[JobId, Run] = {}
        self._running: dict[JobId, Run] = {}
        self._tasks: dict[asyncio.Task[None], Run] = {}
        self._draining = False
        self.written: Callable[[CanvasRef], None] | None = None
        """Is told of a canvas once the job that wrote into it has ended."""

    async def __aenter__(self) -> EmbeddedEngine:
        self._forgetting = asyncio.get_running_loop().create_task(self._forget_old(), name="forget old jobs")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain()

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return len(self._waiting)

    async def recover(self) -> int:
        """Take up every job that has not ended, oldest first; return how many."""
        jobs = await self._shop.jobs.unfinished()
        await self._release_orphans({job.id for job in jobs})
        for job in jobs:
            log.info("job taken up", extra={"job_id": job.id, "stage": job.stage, "call": job.call})
            self.add(job, await self._events(job))
        return len(jobs)

    def check_room(self, user: str) -> None:
        """Refuse a job of a user of whom enough are waiting.

        Raises:
            DrainingError: the server stops.
            TooManyJobsError: so many wait already.
        """
        if self._draining:
            raise DrainingError("the server is stopping", hint="Send the same request again in a few seconds.")
        waiting = sum(run.job.user == user for run in self._waiting.values())
        if waiting >= self._shop.settings.queued_per_actor_max:
            raise TooManyJobsError(f"{waiting} of your jobs are waiting", hint="Wait until one of them is done.")

    def add(self, job: Job, events: Sequence[JobEvent] = ()) -> None:
        """Run a job as soon as there is room for it.

        Args:
            job: as it is stored.
            events: all of it that are stored.
        """
        feed = self._shop.feeds.open(job.id, events[-1].seq if events else 0)
        self._waiting[job.id] = Run(job, events, feed, self._shop)
        self._fill()

    def find_running(self, user: str, request_digest: str) -> Job | None:
        """Return a job of a user for the very same request that has not ended."""
        for run in (*self._running.values(), *self._waiting.values()):
            if run.job.user == user and run.job.request_digest == request_digest:
                return run.job
        return None

    def position(self, job_id: JobId) -> int | None:
        """Return where a job stands in the queue, 1 being the next; None if it does not wait."""
        feed = self._shop.feeds.get(job_id)
        return feed.position if feed else None

    def writes_into(self, ref: CanvasRef) -> bool:
        """Tell whether a running job writes into a canvas."""
        outputs = (run.job.spec.canvas for run in self._running.values())
        return any(output is not None and output.ref == ref for output in outputs)

    async def cancel(self, job_id: JobId) -> Stopped:
        """Stop a job; returns when it has stopped, within `cancel_s` in every case.

        Raises:
            NotFoundError: there is no such job.
        """
        run = self._running.get(job_id) or self._waiting.get(job_id)
        if run is None:
            return Stopped(await self._shop.jobs.load(job_id), stopped=True, abandoned=False)
        self._stop(run)
        try:
            async with asyncio.timeout(self._shop.settings.cancel_s):
                await run.ended.wait()
        except TimeoutError:
            log.warning("job did not stop in time", extra={"job_id": job_id})
        return Stopped(run.job, stopped=run.job.ended, abandoned=run.abandoned or not run.job.ended)

    def cancel_of(self, is_out: Callable[[str], bool]) -> None:
        """Have the jobs of those users stopped, who are locked out or gone; they end by themselves after this."""
        for run in (*self._waiting.values(), *self._running.values()):
            if is_out(run.job.user):
                log.info("job of a user who is out is stopped", extra={"job_id": run.job.id, "user": run.job.user})
                self._stop(run)

    async def drain(self) -> None:
        """Take nothing more, and leave what runs as it is stored, within `_DRAIN_S`: the next start takes it up."""
        self._draining = True
        self._forgetting.cancel()
        await asyncio.wait({self._forgetting})
        for run in (*self._waiting.values(), *self._running.values()):
            run.leave()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_S)
        for job_id in (*self._waiting, *self._running):
            self._shop.feeds.close(job_id)
        self._waiting.clear()

    async def _forget_old(self) -> None:
        """Let go of jobs that ended long ago, now and every few hours."""
        while True:
            before_ms = self._shop.clock.now_ms() - round(self._shop.settings.keep_s * 1000)
            try:
                if forgotten := await self._shop.jobs.forget(before_ms):
                    log.info("old jobs forgotten", extra={"jobs": forgotten})
            except CanvasError as error:
                log.warning("old jobs not forgotten", extra={"reason": str(error)})
            await asyncio.sleep(_FORGET_S)

    async def _release_orphans(self, unfinished: Collection[JobId]) -> None:
        """Let go of what was held for jobs that a crash kept from being stored: nothing was called for them."""
        for job_id, call in await self._shop.costs.open_calls():
            if job_id not in unfinished:
                await self._shop.costs.release(job_id, call)

    async def _events(self, job: Job) -> Sequence[JobEvent]:
        events: list[JobEvent] = []
        while page := await self._shop.jobs.read_events(job.id, events[-1].seq if events else 0, _PAGE):
            events += page
        return events

    def _stop(self, run: Run) -> None:
        run.cancel()
        if self._waiting.pop(run.job.id, None):
            self._start(run)
            self._fill()

    def _fill(self) -> None:
        """Start what there is room for, and tell the others where they stand."""
        settings = self._shop.settings
        of_user = Counter(run.job.user for run in self._running.values())
        for run in list(self._waiting.values()):
            if len(self._running) >= settings.running_max or self._draining:
                break
            if of_user[run.job.user] < settings.running_per_actor_max:
                of_user[run.job.user] += 1
                del self._waiting[run.job.id]
                self._start(run)
        for position, job_id in enumerate(self._waiting, 1):
            self._move(job_id, position)

    def _start(self, run: Run) -> None:
        self._move(run.job.id, None)
        self._running[run.job.id] = run
        task = run.start()
        self._tasks[task] = run
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        run = self._tasks.pop(task)
        run.ended.set()
        self._running.pop(run.job.id, None)
        self._shop.feeds.close(run.job.id)
        output = run.job.spec.canvas
        if output is not None and self.written is not None and not self._draining:
            self.written(CanvasRef(output.ref))
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job lost", extra={"job_id": run.job.id}, exc_info=error)
        self._fill()

    def _move(self, job_id: JobId, position: int | None) -> None:
        if feed := self._shop.feeds.get(job_id):
            feed.move(position)
