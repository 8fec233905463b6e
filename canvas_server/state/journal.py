"""Journal mode: an operation is told only after it is on disk, many with one commit.

Operations wait in a queue; one task takes all that wait, applies them, saves them in one transaction and then tells
what became of them. If the disk refuses, they are taken back and told as errors, so nobody ever sees a text that a
crash could undo. Readers wait for the commit under way (`settled`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from canvas_server.core.canvas import Canvas, Outcome
from canvas_server.core.counts import Counts
from canvas_server.core.errors import CanvasError
from canvas_server.core.operation import Continuation, Operation, Scope
from canvas_server.core.ports import Clock
from canvas_server.core.submission import Submission
from canvas_server.core.target import Miss
from canvas_server.core.version import Version
from canvas_server.state.checkpointer import Checkpointer

log = logging.getLogger(__name__)

_FAILING_S: Final = 4.0
"""For how long a commit that failed speaks against the disk, if none comes after it."""


class Journal:
    """Applies the operations of one canvas in groups, each durable before it is told.

    Args:
        canvas: that is changed.
        checkpointer: makes what was applied durable.
        tell: tells what became of an operation of that scope.
        clock: for the time that is told.
        counts: is told how long groups took.
        spawn: starts a task that somebody waits for at the end.
    """

    def __init__(
        self,
        canvas: Canvas,
        checkpointer: Checkpointer,
        tell: Callable[[Outcome, Scope], None],
        clock: Clock,
        counts: Counts,
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._canvas = canvas
        self._checkpointer = checkpointer
        self._tell = tell
        self._clock = clock
        self._counts = counts
        self._spawn = spawn
        self._waiting: list[tuple[Submission, Operation | Continuation]] = []
        self._put_ops = 0
        self._done_ops = 0
        self._running = False
        self._came_s = 0.0
        self._group_came_s: float | None = None
        self._failed_s = -math.inf
        self._readable = asyncio.Event()
        self._readable.set()

    @property
    def waiting_ops(self) -> int:
        """How many operations wait for their turn."""
        return len(self._waiting)

    @property
    def running(self) -> bool:
        """Whether operations are on their way to the disk."""
        return bool(self._waiting) or self.busy

    @property
    def age_s(self) -> float:
        """For how long the oldest operation that is not on disk has waited; 0 when there is none."""
        if self._group_came_s is not None:
            return self._clock.monotonic_s() - self._group_came_s
        return self._clock.monotonic_s() - self._came_s if self._waiting else 0.0

    @property
    def failing(self) -> bool:
        """Whether the disk refused the last operations, a moment ago."""
        return self._clock.monotonic_s() - self._failed_s < _FAILING_S

    @property
    def busy(self) -> bool:
        """Whether the canvas holds something that is not durable yet, and so must not be read."""
        return not self._readable.is_set()

    def put(self, submission: Submission, operations: Sequence[Operation | Continuation]) -> None:
        """Queue operations; they stay together and in order."""
        if not self._waiting:
            self._came_s = self._clock.monotonic_s()
        self._waiting.extend((submission, operation) for operation in operations)
        self._put_ops += len(operations)
        if not self._running:
            self._running = True
            self._spawn(self._run())

    async def settled(self) -> None:
        """Return when everything that was queued by now is durable and told, or refused.

        The canvas then holds only what is durable, until the caller next waits.
        """
        wanted_ops = self._put_ops
        while self.busy or (self._done_ops < wanted_ops and self._running):
            await asyncio.sleep(0)
            await self._readable.wait()

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                self._group_came_s = self._came_s
                self._readable.clear()
                try:
                    await self._commit(group)
                finally:
                    self._done_ops += len(group)
                    self._group_came_s = None
                    self._readable.set()
                # Readers that waited for this commit go first, or a busy author would keep them out for ever.
                await asyncio.sleep(0)
        finally:
            self._running = False

    async def _commit(self, group: Sequence[tuple[Submission, Operation | Continuation]]) -> None:
        now_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()
        sections_changed = tuple(self._canvas.document.outline.changed)
        outcomes = [submission.step(operation, now_ms) for submission, operation in group]
        self._canvas.history.trim()
        self._counts.apply_s.take(self._clock.monotonic_s() - started_s)
        changed = sum(outcome.changed for outcome in outcomes)
        refused = await self._save(changed, sections_changed) if changed else None
        if refused is not None:
            for (submission, operation), outcome in zip(group, outcomes, strict=True):
                submission.fail()
                self._tell(self._refused(submission, outcome, refused), operation.scope)
            return
        self._counts.journal_s.take(self._clock.monotonic_s() - started_s)
        self._counts.journal_ops.take(len(group))
        for (_submission, operation), outcome in zip(group, outcomes, strict=True):
            self._tell(outcome, operation.scope)
        self._checkpointer.tell_saved()

    async def _save(self, changed: int, sections_changed: Sequence[Version]) -> CanvasError | None:
        """Make the operations applied last durable; return why they are not, and then they are taken back."""
        try:
            await self._checkpointer.save_all(tell=False)
        except CanvasError as error:
            log.warning("journal failed", extra={"canvas": self._canvas.ref, "ops": changed, "why": str(error)})
            refused = error
        except Exception:
            # Whatever our bug is, what is not on disk is not shown, and the other canvases go on.
            log.exception("journal failed", extra={"canvas": self._canvas.ref, "ops": changed})
            refused = CanvasError("the server made a mistake")
        except BaseException:
            self._canvas.take_back(changed, sections_changed)
            raise
        else:
            self._failed_s = -math.inf
            return None
        self._failed_s = self._clock.monotonic_s()
        self._canvas.take_back(changed, sections_changed)
        return refused

    def _refused(self, submission: Submission, outcome: Outcome, error: CanvasError) -> Outcome:
        """Return what is told instead of an outcome that did not become durable."""
        miss = Miss("STORAGE_UNAVAILABLE", f"the operation could not be saved: {error}", "Send it again later.")
        return Outcome(self._canvas.failure(outcome.event.op_id, miss, submission.author))
