"""A job's text on its way into its canvas: a writer that runs beside the provider, with credentials of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from canvas_server.core.errors import CanvasError
from canvas_server.core.job import JobEvent
from canvas_server.core.job_event import CanvasResult, text_of
from canvas_server.generation.record import Record
from canvas_server.generation.workshop import Workshop
from canvas_server.generation.writer import Writer

log = logging.getLogger(__name__)

_REVERT_S_MAX: Final = 120.0
"""However long the text of a cancelled job is: taking it back takes no longer."""


class Writing:
    """The writing of one job, if it writes at all.

    Args:
        record: of the job.
        shop: the tools.
        failed: is called when the text cannot be written any further; `failure` says why.
    """

    def __init__(self, record: Record, shop: Workshop, failed: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self._failed = failed
        self._record = record
        self._shop = shop
        self._exit = AsyncExitStack()
        self._writer: Writer | None = None
        self._task: asyncio.Task[None] | None = None
        self._reverting: asyncio.Task[None] | None = None

    async def begin(self, text: str) -> None:
        """Begin to write what the job tells, or go on with it; nothing happens if it writes nowhere.

        Args:
            text: what was told before.

        Raises:
            CanvasRefusedError, CanvasUnavailableError: it cannot.
        """
        job, shop = self._record.job, self._shop
        if job.spec.canvas is None or self._writer is not None:
            return
        name = f"job:{job.id}"
        token = shop.credentials.issue(name, "job", job.spec.canvas.ref, job.user)
        self._exit.callback(shop.credentials.revoke, token)
        writer = Writer(job, job.attempt, shop.settings.join_s)
        # What it asks of this server is on behalf of the request that made the job, in the log and in traces.
        headers = {**shop.tracer.outgoing(), **({"X-Request-Id": job.request_id} if job.request_id else {})}
        connecting = writer.connect(shop.base_url, token, f"job-{job.id}", headers)
        client = await self._exit.enter_async_context(connecting)
        self._writer = writer
        if job.canvas_version is None:
            await self._record.save(canvas_version=client.version)
        else:
            await writer.recall(job.canvas_version)
        writer.feed(text)
        self._record.teller.feed.observer = self._feed
        self._task = asyncio.get_running_loop().create_task(writer.run(), name="writer")
        self._task.add_done_callback(self._ended)

    async def finish(self, text: str) -> CanvasResult | None:
        """Wait until all of the text is in the canvas.

        Raises:
            CanvasRefusedError: it cannot be written.
        """
        await self._record.teller.flush()
        await self.begin(text)
        if self._writer is None or self._task is None:
            return None
        self._writer.finish()
        await self._task
        return self._writer.result

    async def revert(self, timeout_s: float) -> None:
        """Take back what was written; after some time the rest goes on behind, up to `aclose`.

        What cannot be taken back is logged and stays.
        """
        self._reverting = asyncio.get_running_loop().create_task(self._revert(), name="writer-revert")
        await asyncio.wait({self._reverting}, timeout=timeout_s)

    async def aclose(self) -> None:
        """Stop writing, finish taking back, and take the credentials back."""
        await self._halt()
        if self._reverting is not None:
            await asyncio.wait({self._reverting}, timeout=_REVERT_S_MAX)
            self._reverting.cancel()
        await self._exit.aclose()

    async def _revert(self) -> None:
        try:
            await self._halt()
            if self._writer is None and self._record.job.canvas_version is not None:
                await self.begin("")
                await self._halt()
            if self._writer is not None and (kept := await self._writer.revert()):
                log.warning("text of a cancelled job stays", extra={"job_id": self._record.job.id, "ops": kept})
        except CanvasError as error:
            log.warning("text not taken back", extra={"job_id": self._record.job.id, "reason": str(error)})

    async def _halt(self) -> None:
        self._record.teller.feed.observer = lambda _events: None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _feed(self, events: Sequence[JobEvent]) -> None:
        assert self._writer is not None
        for event in events:
            if event.kind == "chunk":
                self._writer.feed(text_of(event))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = error
            self._failed()
