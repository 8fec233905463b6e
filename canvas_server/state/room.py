"""A room is one canvas open in memory, with its log, its listeners and its checkpoints.

`submit` and `join` are synchronous: between a check and its act nothing else runs, so the event loop is the queue and
there is no lock. Data flows one way: operation, decision, event, and from there to history, listeners, checkpoint.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import NamedTuple
from zlib import crc32

from canvas_server.core.canvas import Author, Canvas, Outcome
from canvas_server.core.counts import Counts
from canvas_server.core.errors import NotFoundError, StorageUnavailableError
from canvas_server.core.event import (
    Ack,
    ByeReason,
    Conflict,
    Event,
    Failure,
    Heartbeat,
    TitleChanged,
    in_utf16,
)
from canvas_server.core.event import Outcome as OutcomeEvent
from canvas_server.core.operation import Continuation, Operation, Scope, Unit
from canvas_server.core.ports import Clock
from canvas_server.core.submission import Submission
from canvas_server.state.arrivals import Arrivals, Resume
from canvas_server.state.checkpointer import Checkpointer
from canvas_server.state.journal import Journal
from canvas_server.state.listener import Flusher, Listener, Sink
from canvas_server.state.log import Entry, frame_of, restored_log
from canvas_server.state.presence import PresenceBoard, Sighting
from canvas_server.state.saving import Saving
from canvas_server.state.settings import StateSettings

_REFUSALS_HELD = 1024
_WRITING_S = 2.0
"""For how long a person counts as writing after an operation."""
_UNHEARD_BYTES_MAX = 256 * 1024
"""What may wait for a slow reader when the room is through with it; one further behind finds out when it resumes."""


class House(NamedTuple):
    """What all rooms share."""

    saving: Saving
    clock: Clock
    counts: Counts
    settings: StateSettings
    flusher: Flusher
    spawn: Callable[[Coroutine[None, None, None]], None]
    quiet: Callable[[Room], None]
    """Called when the last listener has left and nothing came for a while."""


class Room:
    """One open canvas.

    Args:
        house: what all rooms share.
        canvas: just loaded, all of it durable.
        text_seq: the version of the newest full text in the store.
        recreated: whether the ref named another canvas before, in this server's life.
    """

    def __init__(self, house: House, canvas: Canvas, *, text_seq: int, recreated: bool) -> None:
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[Listener, None] = {}
        self._refusals: dict[str, OutcomeEvent] = {}
        self._presence = PresenceBoard()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._crc: tuple[str, int] = ("", 0)
        self._told_seq = canvas.version.seq
        settings = house.settings
        self.canvas = canvas
        self.log = restored_log(canvas.history, canvas.version.seq, settings, house.counts)
        self.checkpointer = Checkpointer(
            canvas, house.saving, settings.checkpoint, house.clock, house.spawn, self.publish, text_seq=text_seq
        )
        self._arrivals = Arrivals(
            canvas, self.log, self.checkpointer, self._presence, settings, house.counts, recreated=recreated
        )
        self.journal = (
            Journal(canvas, self.checkpointer, self._tell_outcome, house.clock, house.counts, house.spawn)
            if settings.durability == "journal"
            else None
        )
        self.uploads = 0
        """Requests under way that wait for something; the room is not unloaded under them."""
        self.active_s = self._loop.time()
        """When somebody last wrote or came."""
        self._person_wrote_s = -math.inf
        self.gone = False
        """The canvas was deleted, or the room was unloaded."""

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @property
    def in_use(self) -> bool:
        """Whether the room may not be unloaded now."""
        busy = self.journal is not None and self.journal.running
        return bool(self._listeners) or self.uploads > 0 or self.checkpointer.unsaved_ops > 0 or busy

    @property
    def unsaved_ops(self) -> int:
        """How many operations are not on disk, those included that wait for their turn."""
        return self.checkpointer.unsaved_ops + (0 if self.journal is None else self.journal.waiting_ops)

    @property
    def unsaved_age_s(self) -> float:
        """For how long the oldest of them has waited; 0 when there is none."""
        return self.checkpointer.age_s if self.journal is None else self.journal.age_s

    @property
    def failing(self) -> bool:
        """Whether the disk refused what was to be saved last."""
        return self.checkpointer.failing if self.journal is None else self.journal.failing

    @property
    def people_write(self) -> bool:
        """Whether a person wrote a moment ago."""
        return self._loop.time() - self._person_wrote_s < _WRITING_S

    @property
    def unsettled(self) -> bool:
        """Whether the text may not be read now, because a crash could still undo it; never but in journal mode."""
        return self.journal is not None and self.journal.busy

    async def settled(self) -> None:
        """Return when the outcome of everything that was taken by now is known, and the text may be read.

        It may until the caller next waits.
        """
        if self.journal is not None:
            await self.journal.settled()

    async def save(self) -> None:
        """Return when everything that was taken by now is durable, or refused by the journal.

        Raises as `Checkpointer.save_all` does.
        """
        if self.journal is None:
            await self.checkpointer.save_all()
            return
        await self.journal.settled()
        self.checkpointer.tell_saved(now=True)

    def begin(self, author: Author, unit: Unit) -> Submission:
        """Start to take the operations of one request."""
        return Submission(self.canvas, author, unit, self._house.settings.limits)

    def submit(self, submission: Submission, operations: Sequence[Operation | Continuation]) -> None:
        """Take operations: each gets exactly one outcome on the stream.

        Raises:
            NotFoundError: the canvas was deleted meanwhile.
            StorageUnavailableError: too much waits for the disk.
        """
        self.check_open()
        self.active_s = self._loop.time()
        if submission.author.kind == "human":
            self._person_wrote_s = self.active_s
        if self.journal is not None:
            self.journal.put(submission, operations)
            return
        clock = self._house.clock
        now_ms, started_s = clock.now_ms(), clock.monotonic_s()
        for operation in operations:
            self._tell_outcome(submission.step(operation, now_ms), operation.scope)
        self.canvas.history.trim()
        self._house.counts.apply_s.take(clock.monotonic_s() - started_s)

    def check_open(self) -> None:
        """Refuse what the room cannot take now; raises as `submit` does."""
        self._check_exists()
        waiting = 0 if self.journal is None else self.journal.waiting_ops
        if self.checkpointer.full or waiting >= self._house.settings.checkpoint.unsaved_ops_max:
            raise StorageUnavailableError(
                f"{self.checkpointer.unsaved_ops + waiting} operations wait for the disk",
                hint="Wait, then send the same op_ids again.",
            )

    async def preview(
        self, author: Author, unit: Unit, operations: Sequence[Operation]
    ) -> tuple[list[OutcomeEvent], Canvas]:
        """Say what operations would do now, on a copy and in a thread; nothing changes and nobody hears of it."""
        twin = self.canvas.copy()
        submission = Submission(twin, author, unit, self._house.settings.limits)
        events = await asyncio.to_thread(submission.events, operations, self._house.clock.now_ms())
        return events, twin

    def outcome_of(self, op_id: str, unit: Unit) -> OutcomeEvent | None:
        """Return the terminal event of an operation, if it is held in memory."""
        applied = self.canvas.history.find(op_id)
        if applied is not None:
            return in_utf16(applied.ack, applied.wide_spans) if unit == "utf16" else applied.ack
        return self._refusals.get(op_id)

    def set_title(self, title: str, actor: str) -> None:
        """Tell of a title that is stored already."""
        self.canvas.title = title
        self.publish(TitleChanged(canvas=self.canvas.ref, title=title, actor=actor))

    def put_presence(self, sighting: Sighting) -> None:
        """Tell where somebody is."""
        self.active_s = self._loop.time()
        self._presence.put(sighting, self._loop.time())
        self._append(frame_of(sighting.presence), frame_of(sighting.wide), ephemeral=True)

    def publish(self, event: Event) -> None:
        """Tell all listeners an event that is the same in either unit."""
        frame = frame_of(event)
        self._append(frame, frame)

    def join(self, sink: Sink, unit: Unit, client_id: str, resume: Resume, *, many: bool) -> bytes:
        """Begin to tell a reader; return what it is to hear first: `start`, then what it missed or the whole text.

        What happens from here on is written to `sink` as soon as that is ready.

        Args:
            sink: its connection.
            unit: how it counts.
            client_id: its own name, told back to it.
            resume: where it wants to go on.
            many: whether its connection tells of several canvases.

        Raises:
            NotFoundError: the canvas was deleted meanwhile.
        """
        self._check_exists()
        listener = Listener(self, sink, unit, f"{self.canvas.ref}:".encode() if many else b"")
        frames = self._arrivals.first_frames(listener, client_id, resume)
        listener.cursor = self.log.end
        self._listeners[listener] = None
        sink.listeners.append(listener)
        self.active_s = self._loop.time()
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        if self._heartbeat is None:
            self._heartbeat = self._loop.call_later(self._house.settings.heartbeat_s, self._beat)
        return frames

    def leave(self, listener: Listener) -> None:
        """Forget a reader; the last one to leave a quiet room closes the door."""
        if self._listeners.pop(listener, self) is self:
            return
        if not self._listeners:
            self._stop_heartbeat()
            if not self.gone:
                self._quiet = self._loop.call_later(self._house.settings.close_quiet_s, self._after_quiet)

    def tell_all(self) -> None:
        """Tell every listener what it has not heard yet, each in one write."""
        end = self.log.end
        joined: dict[tuple[int, Unit, bytes], bytes] = {}
        for listener in tuple(self._listeners):
            if listener.cursor == end or not listener.sink.ready:
                continue
            key = (listener.cursor, listener.unit, listener.prefix)
            frames = joined.get(key)
            if frames is None and listener.cursor >= self.log.first:
                frames = joined[key] = self.log.joined(*key)
            if frames is None:
                listener.sink.end("slow")
                continue
            listener.cursor = end
            listener.sink.write(frames)

    def tell(self, listener: Listener) -> None:
        """Tell one listener what it has not heard yet."""
        if listener.cursor == self.log.end or not listener.sink.ready:
            return
        if listener.cursor < self.log.first:
            listener.sink.end("slow")
            return
        frames = self.log.joined(listener.cursor, listener.unit, listener.prefix)
        listener.cursor = self.log.end
        listener.sink.write(frames)

    def unheard(self, listener: Listener) -> bytes:
        """Return what a reader that is to leave has not heard yet; nothing if that is too much to keep for it."""
        if not self.log.first <= listener.cursor < self.log.end:
            return b""
        frames = self.log.joined(listener.cursor, listener.unit, listener.prefix)
        return frames if len(frames) <= _UNHEARD_BYTES_MAX else b""

    def dismiss(self, reason: ByeReason | None) -> None:
        """Tell all listeners what there is to tell, then end their connections for that reason.

        Without a reason to tell, a connection that listens to other canvases goes on.
        """
        self.tell_all()
        for listener in tuple(self._listeners):
            if reason is None:
                listener.sink.drop(listener)
            else:
                listener.sink.end(reason)

    def unload(self) -> None:
        """Stop all that the room has running; it is not used again."""
        self.gone = True
        self.checkpointer.stop()
        self._stop_heartbeat()
        if self._quiet is not None:
            self._quiet.cancel()

    def heartbeat(self, unit: Unit) -> Heartbeat:
        """Return the sign of life as it is now."""
        text = self.canvas.document.text
        etag = self.canvas.version.etag
        if self._crc[0] != etag:
            self._crc = (etag, crc32(str(text).encode()))
        return Heartbeat(
            canvas=self.canvas.ref,
            server_version=etag,
            length=text.utf16_length if unit == "utf16" else len(text),
            crc32=self._crc[1],
        )

    def _check_exists(self) -> None:
        if self.gone:
            raise NotFoundError(f"canvas {self.canvas.ref!r} was deleted", hint="Create it again to go on.")

    def _tell_outcome(self, outcome: Outcome, scope: Scope) -> None:
        self._house.counts.note_outcome(outcome, scope)
        event, applied = outcome.event, outcome.applied
        version = applied.version if applied is not None and applied.ack is event else None
        frame = wide_frame = frame_of(event, version)
        if isinstance(event, Ack):
            assert applied is not None
            if self._refusals:
                self._refusals.pop(event.op_id, None)
            if applied.wide_spans != applied.spans:
                wide_frame = frame_of(in_utf16(event, applied.wide_spans), version)
        else:
            self._remember(event)
        if version is not None:
            self._told_seq = version.seq
        self._append(frame, wide_frame)
        if version is not None and self.journal is None:
            self.checkpointer.note_op(version.seq)

    def _remember(self, event: Conflict | Failure) -> None:
        if isinstance(event, Failure) and event.code == "STORAGE_UNAVAILABLE":
            return
        self._refusals.pop(event.op_id, None)
        self._refusals[event.op_id] = event
        if len(self._refusals) > _REFUSALS_HELD:
            del self._refusals[next(iter(self._refusals))]

    def _append(self, frame: bytes, wide_frame: bytes, *, ephemeral: bool = False) -> None:
        self.log.append(Entry(frame, wide_frame, ephemeral, self._told_seq))
        if self._listeners:
            self._house.flusher.mark(self)

    def _beat(self) -> None:
        self._heartbeat = self._loop.call_later(self._house.settings.heartbeat_s, self._beat)
        if not self.unsettled:
            frame, wide_frame = frame_of(self.heartbeat("codepoint")), frame_of(self.heartbeat("utf16"))
            self._append(frame, wide_frame, ephemeral=True)

    def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def _after_quiet(self) -> None:
        self._quiet = None
        quiet_s = self._loop.time() - self.active_s
        if self._listeners or self.gone:
            return
        if quiet_s + 0.001 < self._house.settings.close_quiet_s:
            wait_s = self._house.settings.close_quiet_s - quiet_s
            self._quiet = self._loop.call_later(wait_s, self._after_quiet)
        else:
            self._house.quiet(self)
