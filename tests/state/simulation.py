"""A world for the state floor: its time is a number, its disk has moods, its readers write down what they hear.

Nothing waits for real: when nothing is ready the clock jumps to the next timer, so hours pass in milliseconds and a
run is the same every time. A world in which nothing is scheduled any more has a deadlock, and says so.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import ParamSpec, TypeVar, TypeVarTuple, Unpack

import msgspec

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.canvas import Author
from canvas_server.core.counts import Counts
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.event import ByeReason
from canvas_server.core.ids import CanvasRef
from canvas_server.core.operation import (
    EndMode,
    OffsetMode,
    Operation,
    PositionTarget,
    Scope,
    StartMode,
    Unit,
)
from canvas_server.core.ports import (
    CanvasKey,
    CanvasPage,
    CheckpointRequest,
    LoadedCanvas,
    SavedCanvas,
    SavedOp,
    SavedText,
)
from canvas_server.state.arrivals import Resume
from canvas_server.state.listener import Sink
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.state.settings import StateSettings
from canvas_server.storage.memory import MemoryCanvasStore

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REF = CanvasRef("notes")
ADA = Author("ada", "human", "tab-1")
AS_SHIPPED = StateSettings()
_DAY_S = 86_400.0


class DeadlockError(Exception):
    """Nothing will ever happen again, or nothing that anybody waits for has happened in days."""


class _SimSelector(selectors.SelectSelector):
    """Instead of waiting moves the clock; no file is ever ready, for nothing here reads one."""

    def __init__(self, now_s: float) -> None:
        super().__init__()
        self.now_s = now_s
        self.before_turn: Callable[[], None] = lambda: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.before_turn()
        if timeout is None:
            raise DeadlockError("everybody waits and nothing is scheduled")
        self.now_s += max(0.0, timeout)
        if self.now_s > 3 * _DAY_S:
            raise DeadlockError("three days have passed")
        return []


class SimLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a number; work for threads is done at once.

    Args:
        now_s: when it begins.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._world = _SimSelector(now_s)
        super().__init__(self._world)
        self.complaints: list[str] = []
        self.set_exception_handler(lambda _loop, context: self.complaints.append(str(context["message"])))

    def time(self) -> float:
        return self._world.now_s

    @property
    def timers(self) -> int:
        """How many wait to ring."""
        waiting: list[asyncio.TimerHandle] = vars(self)["_scheduled"]
        return sum(not timer.cancelled() for timer in waiting)

    def before_each_turn(self, look: Callable[[], None]) -> None:
        """Have somebody look before anything else happens, each time that something is about to."""
        self._world.before_turn = look

    def run_in_executor(self, executor: object, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as a thread would, it hands on whatever is raised
            done.set_exception(error)
        return done


def simulate(story: Coroutine[None, None, T]) -> T:
    """Run a story in simulated time; a task whose error nobody fetched is an error here."""
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimLoop)
        result = runner.run(story)
        assert loop.complaints == []
        return result


def simulated(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function by running it in simulated time."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        simulate(test(*args, **kwargs))

    return run


def now_s() -> float:
    return asyncio.get_running_loop().time()


class SimClock:
    """Wall time, in step with the loop's, but for jumps."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return 1_700_000_000_000 + self.ahead_ms + round(now_s() * 1000)

    def monotonic_s(self) -> float:
        return now_s()


class SimIds:
    """Chance without surprises; `life` makes each start of a server draw other names."""

    def __init__(self, life: int = 0) -> None:
        self._drawn = life * 1_000_000

    def chain(self) -> str:
        self._drawn += 1
        return f"{self._drawn:016x}"

    def name(self) -> str:
        self._drawn += 1
        return f"name-{self._drawn}"

    def between(self, low: int, high: int) -> int:
        return (low + high) // 2


class Disk:
    """A store with latencies and failures over one that remembers; survives the server that used it.

    Attributes:
        save_s, load_s: how long a save or a load takes; it happens half way through.
        failing_saves: how many of the next saves fail.
        failing_loads: how many of the next loads fail.
        broken: every save fails.
    """

    def __init__(self, history_ops_max: int = 0) -> None:
        self.kept = MemoryCanvasStore(history_ops_max)
        self.save_s = 0.0
        self.load_s = 0.0
        self.failing_saves = 0
        self.failing_loads = 0
        self.broken = False
        self.loads = 0
        self.saves: list[CheckpointRequest] = []
        self.tried_s: list[float] = []
        self.saving = 0
        self.saving_most = 0

    async def create(
        self, ref: CanvasRef, title: str, text: SavedText, now_unix_ms: int, access: Access = NOBODYS
    ) -> SavedCanvas:
        return await self.kept.create(ref, title, text, now_unix_ms, access)

    async def load(self, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
        self.loads += 1
        await asyncio.sleep(self.load_s / 2)
        if self.failing_loads:
            self.failing_loads -= 1
            raise StorageUnavailableError("the disk does not answer")
        loaded = await self.kept.load(ref, ops_max)
        await asyncio.sleep(self.load_s / 2)
        return loaded

    async def save(self, request: CheckpointRequest) -> None:
        self.tried_s.append(now_s())
        self.saving += 1
        self.saving_most = max(self.saving_most, self.saving)
        try:
            await asyncio.sleep(self.save_s / 2)
            if self.broken or self.failing_saves:
                self.failing_saves = max(0, self.failing_saves - 1)
                raise StorageUnavailableError("the disk is full")
            await self.kept.save(request)
            self.saves.append(request)
            await asyncio.sleep(self.save_s / 2)
        finally:
            self.saving -= 1

    async def get(self, ref: CanvasRef) -> SavedCanvas:
        return await self.kept.get(ref)

    async def set_title(self, key: CanvasKey, title: str, now_unix_ms: int) -> None:
        await self.kept.set_title(key, title, now_unix_ms)

    async def set_access(self, key: CanvasKey, access: Access) -> None:
        await self.kept.set_access(key, access)

    async def delete(self, key: CanvasKey) -> None:
        await self.kept.delete(key)

    async def list(self, limit: int, before_key: CanvasKey | None, user: str | None = None) -> CanvasPage:
        return await self.kept.list(limit, before_key, user)

    async def read_ops(self, key: CanvasKey, after_seq: int, limit: int) -> Sequence[SavedOp]:
        return await self.kept.read_ops(key, after_seq, limit)

    async def find_ops(self, key: CanvasKey, op_ids: Sequence[str]) -> Sequence[SavedOp]:
        await asyncio.sleep(self.load_s)
        return await self.kept.find_ops(key, op_ids)

    async def read_text(self, key: CanvasKey, seq: int) -> tuple[SavedText, Sequence[SavedOp]]:
        return await self.kept.read_text(key, seq)

    async def check(self) -> None:
        if self.broken:
            raise StorageUnavailableError("the disk is full")


class Heard(dict[str, object]):
    """One event as a reader got it; `id` is the id of its frame, if it had one."""

    id: str | None = None

    @property
    def type(self) -> str:
        return str(self["type"])


def read_frames(frames: bytes) -> list[Heard]:
    """Read whole server-sent events."""
    assert frames == b"" or frames.endswith(b"\n\n")
    events = []
    for frame in frames.decode().split("\n\n")[:-1]:
        *ids, data = frame.split("\n")
        event = Heard(msgspec.json.decode(data.removeprefix("data: ")))
        event.id = ids[0].removeprefix("id: ") if ids else None
        events.append(event)
    return events


class Ear(Sink):
    """A reader that writes down what it hears, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[list[Heard]] = []
        self.ended: list[ByeReason | None] = []

    def write(self, frames: bytes) -> None:
        assert self.ready
        assert not self.ended
        self.writes.append(read_frames(frames))

    def end(self, reason: ByeReason | None) -> None:
        self.ended.append(reason)
        self.leave()

    def leave(self) -> None:
        for listener in self.listeners:
            listener.room.leave(listener)

    def block(self) -> None:
        self.ready = False

    def unblock(self) -> None:
        self.ready = True
        self.catch_up()

    @property
    def heard(self) -> list[Heard]:
        return [event for write in self.writes for event in write]

    def all(self, kind: str) -> list[Heard]:
        return [event for event in self.heard if event.type == kind]

    @property
    def states(self) -> list[str]:
        """The ids of the state events, in order."""
        return [event.id for event in self.heard if event.id]


def listen(room: Room, cursor: str | None = None, unit: Unit = "codepoint", *, many: bool = False) -> Ear:
    """Join a room; what is heard first is the first write."""
    ear = Ear()
    ear.writes.append(read_frames(room.join(ear, unit, "tab-9", Resume(cursor), many=many)))
    return ear


def append(op_id: str, content: str = "x", scope: Scope = "range", version: str | None = None) -> Operation:
    target = PositionTarget(position=EndMode())
    return Operation(op_id=op_id, action="insert", target=target, scope=scope, content=content, client_version=version)


def prepend(op_id: str, content: str, scope: Scope = "range", version: str | None = None) -> Operation:
    target = PositionTarget(position=StartMode())
    return Operation(op_id=op_id, action="insert", target=target, scope=scope, content=content, client_version=version)


def insert_at(op_id: str, offset: int, content: str, version: str, scope: Scope = "range") -> Operation:
    target = PositionTarget(position=OffsetMode(offset=offset))
    return Operation(op_id=op_id, action="insert", target=target, scope=scope, content=content, client_version=version)


def write(room: Room, *operations: Operation, unit: Unit = "codepoint", author: Author = ADA) -> None:
    """Submit operations as one request."""
    room.submit(room.begin(author, unit), operations)


def write_many(room: Room, count: int, name: str = "op") -> None:
    """Submit operations as so many requests of one."""
    for index in range(count):
        write(room, append(f"{name}-{index}"))


@asynccontextmanager
async def house(
    disk: Disk | None = None, settings: StateSettings = AS_SHIPPED, *, life: int = 0
) -> AsyncIterator[CanvasStateManager]:
    """A running server's state floor."""
    async with CanvasStateManager(disk or Disk(), SimClock(), SimIds(life), settings, Counts()) as manager:
        yield manager


async def open_new(manager: CanvasStateManager, content: str = "", ref: CanvasRef = REF) -> Room:
    await manager.create(ref, "Notes", content)
    return await manager.open(ref)


async def pass_s(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


async def soon() -> None:
    """Let everything that is ready run, without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


def text_of(room: Room) -> str:
    return str(room.canvas.document.text)
