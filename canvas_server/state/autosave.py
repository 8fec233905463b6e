"""The auto-save: every two minutes each open canvas that changed is copied to its file.

Rule: it never stands in anybody's way. What cannot be copied now is told in the log and tried again in the next round;
what makes a canvas durable is its checkpoints.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, NamedTuple

from canvas_server.core.dialogue import EmptyOverContentError, OfAnotherError, is_dialogue_id
from canvas_server.core.errors import CanvasError
from canvas_server.core.event import Saved
from canvas_server.core.ids import CanvasRef
from canvas_server.state.copies import Copies
from canvas_server.state.manager import CanvasStateManager
from canvas_server.state.room import Room

log = logging.getLogger(__name__)

_CLOSED_MAX: Final = 100
"""Canvases that were closed since the last round; while files cannot be written their texts are held."""


class Take(NamedTuple):
    """A canvas as it is to be copied: all of it of one moment."""

    ref: CanvasRef
    etag: str
    title: str
    content: str
    owner: str | None


class AutoSave:
    """Copies canvases to files for as long as it is entered, and once more when it is left.

    Args:
        manager: has the canvases; must be left after this.
        copies: takes them.
        interval_s: time between two rounds.
        suspended: tells of a canvas that must not be copied now; whoever suspends it calls `save_soon` at the end.
        last_round_s: how long the round at the end may take.
    """

    def __init__(
        self,
        manager: CanvasStateManager,
        copies: Copies,
        interval_s: float,
        suspended: Callable[[CanvasRef], bool],
        *,
        last_round_s: float = 5.0,
    ) -> None:
        self._manager = manager
        self._copies = copies
        self._interval_s = interval_s
        self._suspended = suspended
        self._last_round_s = last_round_s
        self._copied: dict[CanvasRef, tuple[str, str]] = {}
        self._closed: dict[CanvasRef, Take] = {}
        self._soon: dict[CanvasRef, None] = {}
        self._refused: set[CanvasRef] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    async def __aenter__(self) -> AutoSave:
        self._manager.before_unload = self._note_closed
        self._rounds = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._manager.before_unload = None
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(self._last_round_s):
                await self._rounds
        except TimeoutError:
            log.warning("auto-save cut short", extra={"after_s": self._last_round_s})

    def save_soon(self, ref: CanvasRef) -> None:
        """Have a canvas copied at once, if it is open and changed."""
        self._soon[ref] = None
        self._wake.set()

    async def _run(self) -> None:
        """Save what is asked for when it is asked for, and everything when a round is due."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._interval_s
        while not self._stopping:
            try:
                async with asyncio.timeout_at(due_s):
                    await self._wake.wait()
            except TimeoutError:
                await self._save_all()
                due_s = loop.time() + self._interval_s
            else:
                self._wake.clear()
                asked, self._soon = self._soon, {}
                await self._save_each(asked)
        await self._save_all()

    async def _save_all(self) -> None:
        open_refs = {room.canvas.ref for room in self._manager.rooms}
        self._copied = {ref: copied for ref, copied in self._copied.items() if ref in open_refs}
        self._refused &= open_refs
        await self._save_each((*self._closed, *open_refs))

    async def _save_each(self, refs: Iterable[CanvasRef]) -> None:
        for ref in refs:
            try:
                await self._save(ref)
            except CanvasError as error:
                log.warning("auto-save failed", extra={"canvas": ref, "why": str(error)})
            except Exception:
                # Whatever our bug is, the other canvases are still copied, and this one is tried again.
                log.exception("auto-save failed", extra={"canvas": ref})

    async def _save(self, ref: CanvasRef) -> None:
        """Copy one canvas if it changed since it was copied."""
        room = self._manager.get(ref)
        if room is not None:
            await room.settled()
        if self._suspended(ref):
            return
        take = self._take(ref)
        if not is_dialogue_id(ref):
            self._note_refused(ref, "no file may have that name")
        elif take is not None:
            await self._copy(take)

    def _take(self, ref: CanvasRef) -> Take | None:
        """Return a canvas as it is now, or was when it was closed; None if there is nothing new to copy."""
        closed = self._closed.pop(ref, None)
        room = self._manager.get(ref)
        if room is None or room.gone:
            return closed
        return None if self._copied.get(ref) == _state_of(room) else _take_of(room)

    async def _copy(self, take: Take) -> None:
        content = {"id": take.ref, "title": take.title, "content": take.content}
        try:
            receipt = await self._copies.put(take.ref, content, version=take.etag, owner=take.owner)
        except EmptyOverContentError:
            self._note_refused(take.ref, "it is empty, and the copy is not")
            return
        except OfAnotherError:
            self._note_refused(take.ref, "somebody else put a dialogue under that name")
            return
        except CanvasError:
            if self._manager.get(take.ref) is None:
                self._closed.setdefault(take.ref, take)
            raise
        room = self._manager.get(take.ref)
        if room is None:
            return
        self._copied[take.ref] = (take.etag, take.title)
        self._refused.discard(take.ref)
        if receipt.saved_unix_ms is not None:
            room.publish(Saved(canvas=take.ref, server_version=take.etag, saved_at=receipt.saved_unix_ms))

    def _note_closed(self, room: Room) -> None:
        """Keep the text of a canvas that is closed until it is copied."""
        ref = room.canvas.ref
        if self._copied.pop(ref, None) == _state_of(room):
            return
        self._closed[ref] = _take_of(room)
        if len(self._closed) > _CLOSED_MAX:
            del self._closed[next(iter(self._closed))]
        self.save_soon(ref)

    def _note_refused(self, ref: CanvasRef, why: str) -> None:
        """Tell once that a canvas is not copied."""
        if ref not in self._refused:
            self._refused.add(ref)
            log.warning("canvas not auto-saved", extra={"canvas": ref, "why": why})


def _take_of(room: Room) -> Take:
    return Take(room.canvas.ref, *_state_of(room), str(room.canvas.document.text), room.canvas.access.owner)


def _state_of(room: Room) -> tuple[str, str]:
    """Return version and title, by which a copy is known to be of what is there now."""
    return room.canvas.version.etag, room.canvas.title
