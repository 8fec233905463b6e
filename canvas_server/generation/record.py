"""A job that runs, and the one way to change it: stored first, then shown.

Rule: changes come one after the other, and none is cut in the middle: what the store holds is what is known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from canvas_server.core.errors import CanvasError, StorageUnavailableError
from canvas_server.core.job import GenerationLog, Job, JobEvent
from canvas_server.core.job_event import Metadata, Payload, Step
from canvas_server.core.job_ports import JobStore
from canvas_server.generation.event_log import RETRY_S, Teller
from canvas_server.generation.uncut import to_the_end


class FencedError(CanvasError):
    """Somebody else has ended the job, or goes on with it: whoever hears this stops."""


class Record:
    """The job as it stands.

    Args:
        job: as it was stored.
        teller: tells its events.
        jobs: the store.
    """

    def __init__(self, job: Job, teller: Teller, jobs: JobStore) -> None:
        self.job = job
        self.teller = teller
        self.step = "prompting"
        """The last that was told."""
        self._jobs = jobs
        self._changing = asyncio.Lock()

    async def save(self, *payloads: Payload, log: GenerationLog | None = None, **changes: object) -> None:
        """Change the job and tell what comes with the change, all or nothing, after all that was told before.

        Raises:
            FencedError: the job is somebody else's by now; nothing was changed.
            StorageUnavailableError: nothing was changed.
        """
        await to_the_end(self._save(payloads, log, changes))

    def note(self, **changes: object) -> None:
        """Change what is stored with the next change."""
        self.job = msgspec.structs.replace(self.job, **changes)

    def tell(self, payload: Step | Metadata) -> None:
        """Tell something that changes nothing."""
        if isinstance(payload, Step):
            self.step = payload.step
        self.teller.tell(payload)

    async def _save(self, payloads: Sequence[Payload], log: GenerationLog | None, changes: dict[str, object]) -> None:
        async with self._changing:
            if payloads:
                await self.teller.flush()
            job = msgspec.structs.replace(self.job, **changes)
            events = self.teller.number(payloads)
            if not await self._store(job, events, log):
                raise FencedError("the job ended, or runs elsewhere")
            self.note(**changes)
            self.teller.feed.show(events)

    async def _store(self, job: Job, events: Sequence[JobEvent], log: GenerationLog | None) -> bool:
        for delay_s in RETRY_S:
            try:
                return await self._jobs.save(job, events, log)
            except StorageUnavailableError:
                await asyncio.sleep(delay_s)
        return await self._jobs.save(job, events, log)
