"""One life of a server, driven as the web floor drives it: requests come in, readers join, and in the end it is killed.

Once it is dead nothing of it counts any more: its disk raises, its readers are deaf, its tapes stand still.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, TypeVar

from canvas_server.core.canvas import Author
from canvas_server.core.counts import Counts
from canvas_server.core.errors import CanvasError, NotFoundError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Continuation, Operation, Unit, continue_operation
from canvas_server.core.version import Version, parse_cursor
from canvas_server.state.arrivals import Resume
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room
from canvas_server.state.settings import StateSettings
from tests.model.canvases import Canvases
from tests.model.reader import Reader, View
from tests.model.tape import Request, Tape
from tests.state.simulation import ADA, SimClock, SimIds, SimLoop

T = TypeVar("T")

LIMITS: Final = Limits(canvas_bytes_max=3_000, snapshot_bytes_max=1_500, retained_ops_max=80)
LOG_EVENTS: Final = 60
LOG_BYTES: Final = 8_192
DRAIN_S: Final = 6.0


class Server:
    """One life.

    Args:
        canvases: on the disk that it serves.
        settings: how it keeps them.
        clock: the wall clock.
        number: of this life, from 0.
        now_s: when it is started.
        counts: of what happens.

    Attributes:
        tapes: what each open room told.
        readers: those who listen, or did until a moment ago.
        deleted: refs of canvases that were deleted in this life.
        draining: whether SIGTERM came.
        dead: whether it was killed.
    """

    def __init__(
        self,
        canvases: Canvases,
        settings: StateSettings,
        clock: SimClock,
        number: int,
        now_s: float,
        counts: Counter[str],
    ) -> None:
        self.canvases = canvases
        self.disk = canvases.disk
        self.counts = counts
        self.loop = SimLoop(now_s)
        self.handle = self.disk.handle(self.loop.time)
        self.tapes: dict[Room, Tape] = {}
        self.readers: list[Reader] = []
        self.deleted: set[CanvasRef] = set()
        self.draining = False
        self.dead = False
        self._stories: set[asyncio.Task[None]] = set()
        self.manager = CanvasStateManager(self.handle, clock, SimIds(number), settings, Counts())
        self.loop.before_each_turn(self.look)
        self.run(self.manager.__aenter__())

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def run(self, story: Coroutine[None, None, T]) -> T:
        """Let something happen, and everything else meanwhile."""
        answer = self.loop.run_until_complete(story)
        assert self.loop.complaints == []
        return answer

    def spawn(self, story: Callable[[], Coroutine[None, None, None]]) -> None:
        """Let something happen by itself from now on, for as long as the server lives."""

        async def tell() -> None:
            try:
                await story()
            except CanvasError:
                self.counts["refused"] += 1

        task = self.loop.create_task(tell())
        self._stories.add(task)
        task.add_done_callback(self._stories.discard)

    def look(self) -> None:
        """Take in what was stored and told since; called before every turn of the loop."""
        if self.dead:
            return
        self.canvases.look()
        for room in self.manager.rooms:
            if room not in self.tapes:
                self.tapes[room] = Tape(room, self.canvases.by_key[room.canvas.key], self.disk)
        for tape in tuple(self.tapes.values()):
            if tape.end != tape.room.log.end:
                tape.read(self.now_s)
            if tape.room.gone and not tape.awaited:
                self.counts["answers"] += tape.answers
                del self.tapes[tape.room]

    def somebody_lags(self, room: Room) -> bool:
        """Whether something was told that a listener has not been sent."""
        listeners = (listener for reader in self.readers for listener in reader.listeners)
        return any(listener.room is room and listener.cursor < room.log.end for listener in listeners)

    def die(self) -> None:
        """Have nothing count any more that this server still does."""
        self.look()
        self.dead = True
        self.counts["answers"] += sum(tape.answers for tape in self.tapes.values())
        self.handle.die()
        for reader in self.readers:
            reader.cut()

    def bury(self) -> None:
        """End what is left of it once it is dead, so that it is never heard of again."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=60.0))
        self.loop.close()

    def read(self) -> None:
        """Have all readers take in what they got, and let go of those who left."""
        for reader in self.readers:
            reader.read()
            if reader.ended or self.dead:
                reader.check_text()
            if "slow" in reader.ended:
                self.counts["slow"] += 1
                assert reader.missed_max > LOG_EVENTS, "cut off for being slow, and was not"
        self.readers = [reader for reader in self.readers if not reader.ended]

    async def open(self, ref: CanvasRef) -> tuple[Room, Tape]:
        """Open a canvas as any request does."""
        room = self.manager.get(ref) or await self.manager.open(ref)
        self.look()
        return room, self.tapes[room]

    async def post(self, ref: CanvasRef, operations: Sequence[Operation], unit: Unit, author: Author = ADA) -> None:
        """Send operations as one JSON request."""
        room, tape = await self.open(ref)
        await _not_too_many(room)
        if room.canvas.history.forgets:
            await self.manager.past.recall(room, [operation.op_id for operation in operations])
        self.manager.check_admission()
        assert not self.draining, "admitted while the server stops"
        room.submit(room.begin(author, unit), operations)
        request = Request(unit)
        for operation in operations:
            self._ask(tape, request, operation)

    async def upload(self, ref: CanvasRef, first: Operation, pieces: Sequence[str], gap_s: float, unit: Unit) -> None:
        """Send an operation and continue it, line by line, as a streamed request."""
        room, tape = await self.open(ref)
        submission, request = room.begin(ADA, unit), Request(unit)
        last_op_id, manager = first.op_id, self.manager
        lines: list[Operation | Continuation] = [first, *[Continuation(content=piece) for piece in pieces]]
        room.uploads += 1
        try:
            async with asyncio.timeout(LIMITS.ndjson_idle_s) as timer:
                manager.add_upload(timer)
                for number, line in enumerate(lines):
                    await asyncio.sleep(gap_s)
                    await _not_too_many(room)
                    manager.check_admission()
                    asked = first
                    if isinstance(line, Continuation):
                        asked = continue_operation(f"{first.op_id}.{number}", last_op_id, line.content)
                    if room.canvas.history.forgets:
                        await manager.past.recall(room, [asked.op_id])
                    room.submit(submission, (line,))
                    assert not self.draining, "admitted while the server stops"
                    self._ask(tape, request, asked, continues=number > 0)
                    last_op_id = asked.op_id
        except TimeoutError:
            manager.check_admission()
        finally:
            manager.remove_upload(timer)
            room.uploads -= 1

    def _ask(self, tape: Tape, request: Request, operation: Operation, *, continues: bool = False) -> None:
        tape.ask(request, operation, continues=continues)
        tape.lineage.sent[operation.op_id] = operation
        self.counts["operations"] += 1

    async def listen(self, refs: Sequence[CanvasRef], cursors: Mapping[CanvasRef, str], unit: Unit) -> Reader:
        """Begin to listen."""
        reader = Reader(unit, many=len(refs) > 1)
        reader.stall()
        try:
            for ref in refs:
                await self._join(reader, ref, cursors.get(ref))
        except BaseException:
            reader.leave()
            raise
        reader.go_on()
        if reader.ended:
            reader.leave()
        else:
            self.readers.append(reader)
        return reader

    async def _join(self, reader: Reader, ref: CanvasRef, cursor: str | None) -> None:
        """Join a canvas as soon as it may be read."""
        while True:
            room, tape = await self.open(ref)
            await room.settled()
            if not room.gone:
                break
        self.look()
        seen = tape.lineage.at(parse_cursor(cursor)) if cursor else None
        view = View(tape, reader.unit, cursor, seen)
        frames = room.join(reader, reader.unit, "tab-9", Resume(cursor), many=reader.many)
        reader.greet(ref, view, frames)
        self._check_arrival(view, seen is not None)

    def _check_arrival(self, view: View, known: bool) -> None:
        """Whoever could be told what it missed is; whoever could not hears why."""
        self.counts["resumes"] += view.resumed
        if view.cursor is None or view.resumed:
            return
        self.counts["resets"] += 1
        self.counts["evicted"] += view.reset == "evicted"
        place = view.tape.place_after(view.cursor) if known else None
        assert place is None or len(view.tape.told) - place > LOG_EVENTS, "reset for no reason"
        lineage, version = view.tape.lineage, parse_cursor(view.cursor)
        too_old = version is not None and version.seq < lineage.head.version.seq - LIMITS.retained_ops_max
        expected = "recreated" if lineage.ref in self.deleted else "history"
        assert view.reset == ("evicted" if known else expected) or (too_old and view.reset == "evicted")

    async def get(self, ref: CanvasRef, at: int | Version | None) -> None:
        """Read a canvas, now or as it was."""
        room, tape = await self.open(ref)
        await room.settled()
        self.look()
        lineage = tape.lineage
        self.counts["reads"] += 1
        if at is None:
            assert room.canvas.version == lineage.head.version, "read what nobody was told"
            assert str(room.canvas.document.text) == lineage.head.text
            return
        seq = at if isinstance(at, int) else at.seq
        wanted = lineage.moments[seq] if seq < len(lineage.moments) else None
        if wanted is not None and isinstance(at, Version) and wanted.version != at:
            wanted = None
        try:
            version, text = await self.manager.past.text_at(room, at)
        except NotFoundError:
            assert wanted is None or self.disk.saved(ref) is None
        else:
            assert wanted is not None, "found what is not in the lineage"
            assert (version, text) == (wanted.version, wanted.text)

    async def get_known(self, ref: CanvasRef) -> None:
        """Read what is known of a canvas: what is on disk, or was told."""
        known = await self.manager.saved(ref)
        self.look()
        lineage, durable = self.canvases.living.get(ref), self.disk.saved(ref)
        if lineage is None or lineage.key != known.key:
            return
        self.counts["reads"] += 1
        is_durable = durable is not None and durable.version.seq >= known.version.seq
        assert is_durable or lineage.at(known.version) is not None, "told what nobody was told"

    async def get_history(self, ref: CanvasRef, after_seq: int, unit: Unit) -> None:
        """Read the acks after a version, and one of them by its name."""
        room, tape = await self.open(ref)
        await room.settled()
        self.look()
        wanted = tape.lineage.moments[after_seq + 1 : after_seq + 21]
        acks = await self.manager.past.history(room, after_seq, 20, unit)
        assert [ack.server_version for ack in acks] == [moment.version.etag for moment in wanted]
        assert [ack.op_id for ack in acks] == [moment.op_id for moment in wanted]
        for moment in wanted[:1]:
            found = room.outcome_of(moment.op_id, unit) or await self.manager.past.find_outcome(
                room, moment.op_id, unit
            )
            assert found is not None
            assert found.op_id == moment.op_id

    async def create(self, ref: CanvasRef, content: str) -> None:
        """Create a canvas."""
        await self.manager.create(ref, "Notes", content)
        self.counts["created"] += 1

    async def close(self, ref: CanvasRef) -> None:
        """Close a canvas; what it answers is on disk, and is all that was acked before."""
        lineage = self.canvases.living.get(ref)
        acked_seq = lineage.head.version.seq if lineage else 0
        version = await self.manager.close(ref)
        self.look()
        if lineage is not None and self.canvases.living.get(ref) is lineage:
            assert version.seq >= acked_seq
            lineage.hear_durable(version.etag)
            saved = self.disk.saved(ref)
            assert saved is not None
            assert saved.version.seq >= version.seq

    async def delete(self, ref: CanvasRef) -> None:
        """Delete a canvas."""
        await self.manager.delete(ref, "ada")
        self.deleted.add(ref)
        self.counts["deleted"] += 1

    async def drain(self) -> bool:
        """Stop the server as SIGTERM does; nothing of it runs after that. Return whether all is said to be saved."""
        started_s = self.now_s
        self.draining = True
        durable = await self.manager.drain(DRAIN_S)
        self.die()
        assert self.now_s - started_s <= 10.0, "SIGTERM takes too long"
        for reader in self.readers:
            assert reader.ended, "not told that the server stops"
        self.counts["drains"] += 1
        return durable


async def _not_too_many(room: Room) -> None:
    """What one commit tells must fit the log, or readers are cut off and the tape has a hole."""
    if room.journal is not None and room.journal.waiting_ops > LOG_EVENTS // 6:
        await room.journal.settled()
