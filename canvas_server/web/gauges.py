"""How things stand in memory at one moment, summed over all rooms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from canvas_server.state.room import Room


class Gauges(NamedTuple):
    """Sums over all open canvases."""

    open_canvases: int
    text_bytes: int
    log_bytes: int
    listeners: int
    unsaved_ops: int
    """Taken, and not on disk; with a journal those that wait for it, too."""
    oldest_unsaved_s: float
    failing_canvases: int
    """Of which the last save did not succeed."""


def gauges_of(rooms: Iterable[Room]) -> Gauges:
    """Look at all rooms."""
    count = text_bytes = log_bytes = listeners = unsaved_ops = failing = 0
    oldest_s = 0.0
    for room in rooms:
        count += 1
        text_bytes += room.canvas.document.text.size_bytes
        log_bytes += room.log.size_bytes
        listeners += room.listeners
        unsaved_ops += unsaved_ops_of(room)
        oldest_s = max(oldest_s, room.checkpointer.age_s)
        failing += room.checkpointer.failing
    return Gauges(count, text_bytes, log_bytes, listeners, unsaved_ops, oldest_s, failing)


def unsaved_ops_of(room: Room) -> int:
    """Return how many operations of a canvas were taken and are not on disk."""
    return room.checkpointer.unsaved_ops + (0 if room.journal is None else room.journal.waiting_ops)
