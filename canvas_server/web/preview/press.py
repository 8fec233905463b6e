"""The press: renders canvases, a bounded number at once, one at a time of each, and keeps the newest of each.

That a text cannot be rendered is kept, too: such a canvas costs its processor time once for each version, however often
somebody asks.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from canvas_server.core.errors import OverloadedError, TooLargeError
from canvas_server.core.ports import CanvasKey
from canvas_server.core.version import Version
from canvas_server.web.preview.process import RenderProcess
from canvas_server.web.preview.worker import WorkerLimits


class PressLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What previews may take."""

    text_bytes_max: int = 512 * 1024
    cpu_s: float = 5.0
    processes_max: int = 2
    waiting_max: int = 64
    """Requests that wait for a rendering."""
    kept_bytes_max: int = 16 * 1024 * 1024
    idle_s: float = 60.0
    """After which a process that has nothing to do is let go."""

    @property
    def worker(self) -> WorkerLimits:
        """What one text may take of a process."""
        return WorkerLimits(self.cpu_s, 8 * self.text_bytes_max)


class Sheet(NamedTuple):
    """A version of a canvas, and its HTML as a JSON string or why there is none."""

    version: Version
    outcome: bytes | TooLargeError

    @property
    def size_bytes(self) -> int:
        """About what it takes to keep it."""
        return len(self.outcome) if isinstance(self.outcome, bytes) else 512

    @property
    def html_json(self) -> bytes:
        """The HTML; raises `TooLargeError` where there is none."""
        if isinstance(self.outcome, bytes):
            return self.outcome
        raise TooLargeError(str(self.outcome), hint=self.outcome.hint)


class Manuscript(NamedTuple):
    """A version of a canvas, and its text."""

    version: Version
    text: str


class Press:
    """Renders, while the context is open.

    Args:
        limits: what all of it may take.
    """

    def __init__(self, limits: PressLimits) -> None:
        self._limits = limits
        self._kept: OrderedDict[CanvasKey, Sheet] = OrderedDict()
        self._kept_bytes = 0
        self._running: dict[CanvasKey, asyncio.Task[Sheet | OverloadedError]] = {}
        self._waiting = 0
        self._free = asyncio.Semaphore(limits.processes_max)
        self._idle: list[tuple[RenderProcess, asyncio.TimerHandle]] = []
        self._tasks = asyncio.TaskGroup()
        self._leaving: set[asyncio.Future[None]] = set()
        """Processes that are told to end; waited for before the context is left."""

    async def __aenter__(self) -> Self:
        """Be ready; no process is started before it is needed."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut off what is being rendered, and end all processes."""
        for task in self._running.values():
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)
        for process, timer in self._idle:
            timer.cancel()
            self._let_go(process)
        self._idle.clear()
        await asyncio.gather(*self._leaving)

    async def sheet(self, key: CanvasKey, take: Callable[[], Awaitable[Manuscript]], *, is_newest: bool) -> Sheet:
        """Return a rendering.

        Args:
            key: of the canvas.
            take: gives the text when its turn has come, so that what changed while somebody waited is in it.
            is_newest: whether what `take` gives is the newest text, which is worth keeping.

        Raises:
            TooLargeError: the text is too large, or takes too much to render.
            OverloadedError: too many wait, or no process can do it.
        """
        if self._waiting >= self._limits.waiting_max:
            raise OverloadedError("too many previews are being made", hint="Try again in a moment.")
        self._waiting += 1
        try:
            manuscript = await self._taken(key, take)
            kept = self._kept.get(key)
            if kept is not None and kept.version == manuscript.version:
                self._kept.move_to_end(key)
                return kept
            task = self._tasks.create_task(self._print(key, manuscript, is_newest=is_newest))
            self._running[key] = task
            made = await asyncio.shield(task)
        finally:
            self._waiting -= 1
        if isinstance(made, OverloadedError):
            raise made
        return made

    async def _taken(self, key: CanvasKey, take: Callable[[], Awaitable[Manuscript]]) -> Manuscript:
        """Return a text when its turn has come: no other of that canvas is rendered, until the caller next waits."""
        while True:
            while (running := self._running.get(key)) is not None:
                await asyncio.wait([running])
            manuscript = await take()
            if key not in self._running:
                return manuscript

    async def _print(self, key: CanvasKey, manuscript: Manuscript, *, is_newest: bool) -> Sheet | OverloadedError:
        """Render and keep; nothing is raised, for one canvas that cannot be rendered is no reason to end the others."""
        try:
            sheet = Sheet(manuscript.version, await self._render(manuscript.text))
        except OverloadedError as error:
            return error
        finally:
            del self._running[key]
        if is_newest:
            self._keep(key, sheet)
        return sheet

    async def _render(self, text: str) -> bytes | TooLargeError:
        encoded = text.encode()
        if len(encoded) > self._limits.text_bytes_max:
            return TooLargeError(
                f"only canvases up to {self._limits.text_bytes_max} bytes can be previewed",
                hint="Read the canvas as text, or split it into several.",
            )
        async with self._free:
            process = await self._process()
            is_last = True
            try:
                rendering = await process.render(encoded)
                is_last = rendering.is_last
            except TooLargeError as error:
                return error
            finally:
                self._put_back(process, is_last=is_last)
        return rendering.html_json

    async def _process(self) -> RenderProcess:
        while self._idle:
            process, timer = self._idle.pop()
            timer.cancel()
            if process.is_alive:
                return process
            self._let_go(process)
        return await RenderProcess.start(self._limits.worker)

    def _put_back(self, process: RenderProcess, *, is_last: bool) -> None:
        if is_last:
            self._let_go(process)
            return
        timer = asyncio.get_running_loop().call_later(self._limits.idle_s, self._retire, process)
        self._idle.append((process, timer))

    def _retire(self, process: RenderProcess) -> None:
        self._idle = [idle for idle in self._idle if idle[0] is not process]
        self._let_go(process)

    def _let_go(self, process: RenderProcess) -> None:
        self._leaving.add(leaving := asyncio.ensure_future(process.stop()))
        leaving.add_done_callback(self._leaving.discard)

    def _keep(self, key: CanvasKey, sheet: Sheet) -> None:
        before = self._kept.pop(key, None)
        self._kept_bytes += sheet.size_bytes - (before.size_bytes if before else 0)
        self._kept[key] = sheet
        while self._kept_bytes > self._limits.kept_bytes_max:
            self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes
