"""What a reader hears first: where it is, then what it missed, or the whole text.

Saying so and beginning to listen are one step of the room, so nothing falls between.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.canvas import Canvas
from canvas_server.core.counts import Counts
from canvas_server.core.event import Reset, ResetReason, Snapshot, Start
from canvas_server.core.operation import Unit
from canvas_server.core.version import parse_cursor
from canvas_server.state.checkpointer import Checkpointer
from canvas_server.state.listener import Listener
from canvas_server.state.log import Entry, Log, frame_of
from canvas_server.state.presence import PresenceBoard
from canvas_server.state.settings import StateSettings

_URL: Final = "/api/v2/canvas/{ref}?at={version}"


class Resume(NamedTuple):
    """Where a reader wants to go on."""

    cursor: str | None
    """`<seq>-<chain>` of the last state event it saw; None for a first connection."""
    snapshot: bool = True
    """Whether a reader that does not resume wants the text."""


class Arrivals:
    """Greets the readers of one canvas.

    Args:
        canvas: they come for.
        log: holds what they may have missed.
        checkpointer: knows what is durable.
        presence: knows who is here.
        settings: of the state floor.
        counts: is told how readers were greeted.
        recreated: whether the ref named another canvas before, in this server's life.
    """

    def __init__(
        self,
        canvas: Canvas,
        log: Log,
        checkpointer: Checkpointer,
        presence: PresenceBoard,
        settings: StateSettings,
        counts: Counts,
        *,
        recreated: bool,
    ) -> None:
        self._canvas = canvas
        self._log = log
        self._checkpointer = checkpointer
        self._presence = presence
        self._settings = settings
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._recreated = recreated

    def first_frames(self, listener: Listener, client_id: str, resume: Resume) -> bytes:
        """Return `start`, then what the reader missed or the whole text, then who is here."""
        unit, prefix = listener.unit, listener.prefix
        missed = self._missed(resume.cursor, unit, prefix)
        resumed = isinstance(missed, bytes)
        frames = [frame_of(self._start(unit, client_id, resumed=resumed))]
        if isinstance(missed, bytes):
            self._counts.resumes += 1
            frames.append(missed)
        else:
            if missed is not None:
                self._counts.resets[missed] += 1
                frames.append(frame_of(Reset(canvas=self._canvas.ref, reason=missed)))
            if resume.snapshot or missed is not None:
                self._counts.snapshots += 1
                frame = frame_of(self._snapshot(), self._canvas.version)
                frames.append(Entry(frame, frame, ephemeral=False, seq=0).bytes_for(unit, prefix))
        frames.extend(
            frame_of(sighting.wide if unit == "utf16" else sighting.presence)
            for sighting in self._presence.present(self._loop.time())
        )
        return b"".join(frames)

    def _missed(self, cursor: str | None, unit: Unit, prefix: bytes) -> bytes | ResetReason | None:
        """Return what a reader missed, or why that cannot be said; None when it does not ask."""
        if cursor is None:
            return None
        version = parse_cursor(cursor)
        if version is None or version.seq > self._canvas.version.seq:
            return "recreated" if self._recreated else "history"
        known = self._canvas.history.etag_at(version.seq)
        if known is not None and known != version.etag:
            return "recreated" if self._recreated else "history"
        place = self._log.cursor_after(version.seq) if known is not None else None
        return "evicted" if place is None else self._log.replay(place, unit, prefix)

    def _start(self, unit: Unit, client_id: str, *, resumed: bool) -> Start:
        settings = self._settings
        return Start(
            canvas=self._canvas.ref,
            server_version=self._canvas.version.etag,
            checkpoint_version=self._checkpointer.saved.etag,
            client_id=client_id,
            unit=unit,
            limits=settings.limits,
            heartbeat_ms=round(settings.heartbeat_s * 1000),
            resumed=resumed,
        )

    def _snapshot(self) -> Snapshot:
        """Return the text as an event, or where to get it when it is too large for one."""
        canvas, limits = self._canvas, self._settings.limits
        version = canvas.version
        text = canvas.document.text
        small = text.size_bytes <= limits.snapshot_bytes_max
        content = str(text) if small else ""
        if small and len(msgspec.json.encode(content)) <= limits.event_text_bytes_max:
            return Snapshot(canvas=canvas.ref, title=canvas.title, server_version=version.etag, content=content)
        url = _URL.format(ref=canvas.ref, version=version.cursor)
        return Snapshot(canvas=canvas.ref, title=canvas.title, server_version=version.etag, content_url=url)
