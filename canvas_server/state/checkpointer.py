"""Makes a canvas durable in time: 10 s after the oldest unsaved operation, at 50 of them, or on close.

One save at a time. What is saved is known by `saved`, which only a finished save moves; nothing is ever marked clean.
A save that fails keeps everything, is told on the stream, and is tried again later and later (PROTOCOL section 8).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context

import msgspec

from canvas_server.core.canvas import Canvas
from canvas_server.core.errors import CanvasError, NotFoundError
from canvas_server.core.event import Checkpoint, CheckpointFailed
from canvas_server.core.ports import CheckpointRequest, Clock
from canvas_server.state.saving import Saving

log = logging.getLogger(__name__)

_TAIL_OPS_MAX = 500
_TAIL_BYTES_MIN = 64 * 1024


class CheckpointPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a canvas is saved."""

    interval_s: float = 10.0
    ops: int = 50
    retry_min_s: float = 1.0
    retry_max_s: float = 10.0
    unsaved_ops_max: int = 10_000
    """Operations that may wait for a failing disk before new ones are refused."""


class Checkpointer:
    """Saves one canvas.

    Args:
        canvas: what to save; all of it is durable now.
        saving: where to.
        policy: when.
        clock: for the time that is written down.
        spawn: starts a task that somebody waits for at the end.
        publish: tells listeners.
        text_seq: the version of the newest full text in the store.
    """

    def __init__(
        self,
        canvas: Canvas,
        saving: Saving,
        policy: CheckpointPolicy,
        clock: Clock,
        spawn: Callable[[Coroutine[None, None, None]], None],
        publish: Callable[[Checkpoint | CheckpointFailed], None],
        *,
        text_seq: int,
    ) -> None:
        self._canvas = canvas
        self._saving = saving
        self._policy = policy
        self._clock = clock
        self._spawn = spawn
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._text_seq = text_seq
        self._tail_bytes = 0
        self._failures = 0
        self._first_unsaved_s: float | None = None
        self._stopped = False
        self._took_ms = 0.0
        self._told_seq = canvas.version.seq
        self.saved = canvas.version
        canvas.history.hold_after(self.saved.seq)

    @property
    def unsaved_ops(self) -> int:
        """How many operations are not durable yet."""
        return self._canvas.version.seq - self.saved.seq

    @property
    def age_s(self) -> float:
        """For how long the oldest unsaved operation has waited; 0 when there is none."""
        return 0.0 if self._first_unsaved_s is None else self._loop.time() - self._first_unsaved_s

    @property
    def failing(self) -> bool:
        """Whether the last save did not succeed, and something waits for the next."""
        return self._failures > 0 and self.unsaved_ops > 0

    @property
    def full(self) -> bool:
        """Whether so much is unsaved that no more may be taken."""
        return self.unsaved_ops >= self._policy.unsaved_ops_max

    def note_op(self, seq: int) -> None:
        """Take note that an operation made version `seq`."""
        if self._first_unsaved_s is None:
            self._first_unsaved_s = self._loop.time()
        if self._failures or self._lock.locked():
            return
        if seq - self.saved.seq >= self._policy.ops:
            self._cancel_timer()
            self._spawn(self._save_or_retry())
        elif self._timer is None:
            self._arm(self._policy.interval_s)

    async def save_all(self, *, tell: bool = True) -> None:
        """Return when everything applied by now is durable.

        With `tell` false nobody hears of it before `tell_saved`.

        Raises:
            NotFoundError: the canvas was deleted, or is unloaded; nothing more of it is saved.
            StorageUnavailableError: it could not be saved; it is kept and, if `tell`, tried again later.
        """
        wanted_seq = self._canvas.version.seq
        try:
            async with self._lock:
                if self.saved.seq < wanted_seq:
                    if self._stopped:
                        raise NotFoundError("nothing more of the canvas is saved", hint="It was deleted, or closed.")
                    await self._save()
        except CanvasError as error:
            if tell:
                self._note_failure(error)
            raise
        else:
            if tell and self.saved.seq > self._told_seq:
                self._tell()
        finally:
            self._arm_rest()

    def tell_saved(self, *, now: bool = False) -> None:
        """Tell what is durable: at once when that is much or `now`, else when the interval is over."""
        untold = self.saved.seq - self._told_seq
        if untold >= (1 if now else self._policy.ops):
            self._tell()
        elif untold and self._telling is None:
            self._telling = self._loop.call_later(self._policy.interval_s, self._tell, context=Context())

    def stop(self) -> None:
        """Save no more: the canvas was deleted, or is unloaded."""
        self._stopped = True
        self._cancel_timer()
        self._cancel_telling()

    async def _save_or_retry(self) -> None:
        if self._lock.locked():
            return
        try:
            await self._save_due()
        except CanvasError as error:
            self._note_failure(error)

    def _note_failure(self, error: CanvasError) -> None:
        """Tell that a save failed, and have it tried again; not if the canvas is gone."""
        if isinstance(error, NotFoundError):
            self.stop()
        if self._stopped:
            return
        retry_s = min(self._policy.retry_max_s, self._policy.retry_min_s * 2 ** min(self._failures - 1, 10))
        log.warning("checkpoint failed", extra={"canvas": self._canvas.ref, "why": str(error), "retry_s": retry_s})
        self._publish(
            CheckpointFailed(
                canvas=self._canvas.ref,
                server_version=self._canvas.version.etag,
                checkpoint_version=self.saved.etag,
                retry_in_ms=round(retry_s * 1000),
            )
        )
        self._arm(retry_s)

    async def _save_due(self) -> None:
        """Save once, and again as long as enough has come in meanwhile."""
        async with self._lock:
            wanted = 1
            while self.unsaved_ops >= wanted and not self._stopped:
                await self._save()
                self._tell()
                wanted = self._policy.ops
        self._arm_rest()

    async def _save(self) -> None:
        """Save what is applied now; the lock is held."""
        self._cancel_timer()
        started, oldest_s = self._loop.time(), self._first_unsaved_s
        request = self._request()
        self._first_unsaved_s = None
        try:
            await self._saving.save(request)
        except BaseException as error:  # also when whoever asked for it went away
            self._failures += isinstance(error, CanvasError)
            self._first_unsaved_s = oldest_s
            raise
        self._failures = 0
        self.saved = request.version
        self._canvas.history.hold_after(self.saved.seq)
        if request.text is not None:
            self._text_seq, self._tail_bytes = request.version.seq, 0
        else:
            self._tail_bytes += sum(len(op.event) for op in request.ops)
        self._took_ms = round((self._loop.time() - started) * 1000, 3)

    def _tell(self) -> None:
        self._cancel_telling()
        ops, self._told_seq = self.saved.seq - self._told_seq, self.saved.seq
        self._publish(
            Checkpoint(canvas=self._canvas.ref, server_version=self.saved.etag, ops=ops, duration_ms=self._took_ms)
        )

    def _request(self) -> CheckpointRequest:
        canvas = self._canvas
        ops = canvas.saved_ops_since(self.saved.seq)
        size_bytes = canvas.document.text.size_bytes
        tail_bytes = self._tail_bytes + sum(len(op.event) for op in ops)
        due = canvas.version.seq - self._text_seq >= _TAIL_OPS_MAX or tail_bytes >= max(_TAIL_BYTES_MIN, size_bytes)
        return CheckpointRequest(
            key=canvas.key,
            base_seq=self.saved.seq,
            version=canvas.version,
            ops=ops,
            text=canvas.saved_text() if due else None,
            size_bytes=size_bytes,
            now_unix_ms=self._clock.now_ms(),
        )

    def _arm_rest(self) -> None:
        """Have saved in time what came in during a save, or was left by one."""
        if self._first_unsaved_s is None or not self.unsaved_ops or self._timer is not None or self._stopped:
            return
        due_s = self._first_unsaved_s + self._policy.interval_s
        self._arm(0.0 if self.unsaved_ops >= self._policy.ops else max(0.0, due_s - self._loop.time()))

    def _arm(self, delay_s: float) -> None:
        self._cancel_timer()
        # What is saved then is that of many requests, so it is not on behalf of this one.
        self._timer = self._loop.call_later(delay_s, self._due, context=Context())

    def _due(self) -> None:
        self._timer = None
        self._spawn(self._save_or_retry())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel_telling(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
