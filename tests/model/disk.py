"""The simulated disk: it outlives the servers that use it, takes its time, and has its bad days.

Each life of a server holds a handle of its own. When the server is killed the handle dies with it, so that nothing
that is left of the dead can write.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Final, TypeVar

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.errors import NotFoundError, StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import (
    CanvasKey,
    CanvasPage,
    CheckpointRequest,
    LoadedCanvas,
    SavedCanvas,
    SavedOp,
    SavedText,
)
from canvas_server.core.saved import text_from
from canvas_server.storage.memory import MemoryCanvasStore

T = TypeVar("T")

_BUSY_S: Final = 5.0
"""For so long a locked database is waited for."""
_SLOW_S: Final = 8.0


class KilledError(Exception):
    """Whoever asks is dead."""


class SimDisk:
    """What is durable, and how the disk feels.

    Args:
        random: decides how long things take.
        latency_s: a write between these two, some before it happens and some after; a read a tenth.

    Attributes:
        failing_writes, failing_reads: how many of the next ones fail.
        slow_writes: how many of the next take some seconds.
        full: whether every write fails.
        locked_until_s: until then writes wait for somebody else, and give up.
        saving: how many saves are under way.
        begun: set whenever a save begins.
        births_and_deaths: how many canvases were created or deleted.
        troubled_s: when something last failed or took long.
    """

    def __init__(self, random: Random, latency_s: tuple[float, float]) -> None:
        self.latency_s = latency_s
        self.failing_writes = 0
        self.failing_reads = 0
        self.slow_writes = 0
        self.full = False
        self.locked_until_s = 0.0
        self.saving = 0
        self.begun = asyncio.Event()
        self.births_and_deaths = 0
        self.troubled_s = -1_000.0
        self._random = random
        self._now_s: Callable[[], float] = float
        self._kept = MemoryCanvasStore()

    @property
    def ails(self) -> bool:
        """Whether a write would fail or take long now."""
        return self.full or self.failing_writes > 0 or self.slow_writes > 0 or self.locked_until_s > self._now_s()

    def heal(self) -> None:
        """Have no fault from now on."""
        self.full = False
        self.failing_writes = self.failing_reads = self.slow_writes = 0
        self.locked_until_s = 0.0

    def handle(self, now_s: Callable[[], float]) -> Handle:
        """Return the disk as the next server sees it, whose time is `now_s`."""
        self.saving = 0
        self.begun = asyncio.Event()
        self._now_s = now_s
        return Handle(self)

    def saved(self, ref: CanvasRef) -> SavedCanvas | None:
        """Return what is durable of a canvas, if there is one of that name."""
        try:
            return at_once(self._kept.get(ref))
        except NotFoundError:
            return None

    def text_of(self, canvas: SavedCanvas) -> str:
        """Return the durable text of a canvas."""
        return text_from(*at_once(self._kept.read_text(canvas.key, canvas.version.seq)))

    def ops_of(self, canvas: SavedCanvas, after_seq: int) -> Sequence[SavedOp]:
        """Return the durable operations of a canvas after a version."""
        return at_once(self._kept.read_ops(canvas.key, after_seq, canvas.version.seq - after_seq))

    async def do(self, what: Callable[[MemoryCanvasStore], Awaitable[T]], handle: Handle, *, writes: bool) -> T:
        """Do something in its time, unless the disk or whoever asks is in no state to."""
        if self.ails:
            self.troubled_s = self._now_s()
        took_s = self._random.uniform(*self.latency_s) * (1.0 if writes else 0.1)
        before_s = took_s * self._random.random()
        await asyncio.sleep(before_s + (self._delay_s() if writes else 0.0))
        handle.check_alive()
        self._refuse(writes=writes)
        answer = await what(self._kept)
        await asyncio.sleep(took_s - before_s)
        handle.check_alive()
        return answer

    async def counted(self, birth_or_death: Awaitable[T]) -> T:
        """Create or delete a canvas, and take note of it."""
        self.births_and_deaths += 1
        return await birth_or_death

    def _delay_s(self) -> float:
        waits_s = min(_BUSY_S, max(0.0, self.locked_until_s - self._now_s()))
        if self.slow_writes:
            self.slow_writes -= 1
            waits_s += _SLOW_S
        return waits_s

    def _refuse(self, *, writes: bool) -> None:
        """Fail what has to fail."""
        if self.ails:
            self.troubled_s = self._now_s()
        if not writes:
            if self.failing_reads:
                self.failing_reads -= 1
                raise StorageUnavailableError("the disk did not read")
            return
        if self.locked_until_s > self._now_s():
            raise StorageUnavailableError("the database is locked")
        if self.full:
            raise StorageUnavailableError("the disk is full")
        if self.failing_writes:
            self.failing_writes -= 1
            raise StorageUnavailableError("the disk did not write")


class Handle:
    """A `CanvasStore`: the disk as one server sees it, for as long as that lives."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk
        self._alive = True
        self.loads: Counter[CanvasRef] = Counter()
        self.saves = 0

    def die(self) -> None:
        """Write nothing and tell nothing any more."""
        self._alive = False

    def check_alive(self) -> None:
        if not self._alive:
            raise KilledError

    async def create(
        self, ref: CanvasRef, title: str, text: SavedText, now_unix_ms: int, access: Access = NOBODYS
    ) -> SavedCanvas:
        return await self._disk.do(
            lambda kept: self._disk.counted(kept.create(ref, title, text, now_unix_ms, access)), self, writes=True
        )

    async def load(self, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
        self.loads[ref] += 1
        return await self._disk.do(lambda kept: kept.load(ref, ops_max), self, writes=False)

    async def save(self, request: CheckpointRequest) -> None:
        self.saves += 1
        disk = self._disk
        disk.saving += 1
        disk.begun.set()
        try:
            await disk.do(lambda kept: kept.save(request), self, writes=True)
        finally:
            disk.saving -= self._alive

    async def get(self, ref: CanvasRef) -> SavedCanvas:
        return await self._disk.do(lambda kept: kept.get(ref), self, writes=False)

    async def set_title(self, key: CanvasKey, title: str, now_unix_ms: int) -> None:
        await self._disk.do(lambda kept: kept.set_title(key, title, now_unix_ms), self, writes=True)

    async def set_access(self, key: CanvasKey, access: Access) -> None:
        await self._disk.do(lambda kept: kept.set_access(key, access), self, writes=True)

    async def delete(self, key: CanvasKey) -> None:
        await self._disk.do(lambda kept: self._disk.counted(kept.delete(key)), self, writes=True)

    async def list(self, limit: int, before_key: CanvasKey | None, user: str | None = None) -> CanvasPage:
        return await self._disk.do(lambda kept: kept.list(limit, before_key, user), self, writes=False)

    async def read_ops(self, key: CanvasKey, after_seq: int, limit: int) -> Sequence[SavedOp]:
        return await self._disk.do(lambda kept: kept.read_ops(key, after_seq, limit), self, writes=False)

    async def find_ops(self, key: CanvasKey, op_ids: Sequence[str]) -> Sequence[SavedOp]:
        return await self._disk.do(lambda kept: kept.find_ops(key, op_ids), self, writes=False)

    async def read_text(self, key: CanvasKey, seq: int) -> tuple[SavedText, Sequence[SavedOp]]:
        return await self._disk.do(lambda kept: kept.read_text(key, seq), self, writes=False)

    async def check(self) -> None:
        if self._disk.ails:
            raise StorageUnavailableError("the disk ails")


def at_once(asking: Coroutine[None, None, T]) -> T:
    """Return what a coroutine answers that waits for nothing."""
    try:
        asking.send(None)
    except StopIteration as answered:
        answer: T = answered.value
        return answer
    raise AssertionError("it waits")
