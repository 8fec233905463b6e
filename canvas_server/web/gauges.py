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
        unsaved_ops += room.unsaved_ops
        oldest_s = max(oldest_s, room.unsaved_age_s)
        failing += room.failing
    return Gauges(count, text_bytes, log_bytes, listeners, unsaved_ops, oldest_s, failing)
