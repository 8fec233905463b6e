"""A job that runs, and the one way to change it: stored first, then shown."""

from __future__ import annotations

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.core.job import GenerationLog, Job
from canvas_server.core.job_event import Metadata, Payload, Step
from canvas_server.core.job_ports import JobStore
from canvas_server.generation.event_log import Teller


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

    async def save(self, *payloads: Payload, log: GenerationLog | None = None, **changes: object) -> None:
        """Change the job and tell what comes with the change, all or nothing, after all that was told before.

        Raises:
            FencedError: the job is somebody else's by now; nothing was changed.
            StorageUnavailableError: nothing was changed.
        """
        await self.teller.flush()
        job = msgspec.structs.replace(self.job, **changes)
        events = self.teller.number(payloads)
        if not await self._jobs.save(job, events, log):
            raise FencedError("the job ended, or runs elsewhere")
        self.job = job
        self.teller.feed.show(events)

    def tell(self, payload: Step | Metadata) -> None:
        """Tell something that changes nothing."""
        if isinstance(payload, Step):
            self.step = payload.step
        self.teller.tell(payload)
