"""Listeners: who hears the events of a canvas, and how they are told.

A listener has a cursor into the log of its room and no queue. Telling is joined: at most one write a listener and
flush, with everything since its cursor; at once while there is little to do, less often while there is much.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final, Protocol

from canvas_server.core.counts import Counts
from canvas_server.core.event import ByeReason
from canvas_server.core.operation import Unit
from canvas_server.core.ports import Clock

_WAIT_FOR_EVENT: Final = 0.25
_WAIT_MAX: Final = 3.0
"""How long the next flush waits, in times of what the last one took: for each event that it told, and at most."""


class Teller(Protocol):
    """A room, as its listeners know it."""

    def tell_all(self) -> None:
        """Tell every listener what it has not heard yet."""
        ...

    def tell(self, listener: Listener) -> None:
        """Tell one listener what it has not heard yet."""
        ...

    def unheard(self, listener: Listener) -> bytes:
        """Return what a listener that is to leave has not heard yet."""
        ...

    def leave(self, listener: Listener) -> None:
        """Forget a listener."""
        ...


class Sink(ABC):
    """One connection that events are written to; it may listen to several canvases."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.ready = True
        """Whether a write would be taken now. Who sets it back to True calls `catch_up`."""
        self._owed = b""

    @abstractmethod
    def write(self, frames: bytes) -> None:
        """Send whole frames; only called while `ready`."""

    @abstractmethod
    def end(self, reason: ByeReason | None) -> None:
        """End the connection, with a `bye` if there is a reason to tell."""

    def drop(self, listener: Listener) -> None:
        """Hear no more of one canvas; a connection that listens to no other ends."""
        self.owe(listener)
        listener.room.leave(listener)
        self.listeners.remove(listener)
        if not self.listeners:
            self.end(None)

    def owe(self, listener: Listener) -> None:
        """Keep what a listener that is to leave has not heard, to be written as soon as the connection is ready."""
        self._owed += listener.room.unheard(listener)

    def catch_up(self) -> None:
        """Tell what is owed, and each listener what it could not be told while the connection was not ready."""
        if self._owed:
            owed, self._owed = self._owed, b""
            self.write(owed)
        for listener in tuple(self.listeners):
            # Telling one of a canvas it is too far behind in ends the connection, and so all of them.
            if listener in self.listeners:
                listener.room.tell(listener)


class Listener:
    """One reader of one canvas.

    Args:
        room: of the canvas.
        sink: its connection.
        unit: how it counts offsets.
        prefix: `<ref>:` in front of ids where the connection tells of many canvases, else empty.
    """

    __slots__ = ("cursor", "prefix", "room", "sink", "unit")

    def __init__(self, room: Teller, sink: Sink, unit: Unit, prefix: bytes) -> None:
        self.room = room
        self.sink = sink
        self.unit = unit
        self.prefix = prefix
        self.cursor = 0


class Flusher:
    """Decides when rooms tell their listeners.

    A flush comes at once after a quiet moment. The next waits a part of the time that the last one took, the more the
    more events that one told, and what happens meanwhile goes out in the same write. So nearly nothing waits in a calm
    canvas, and of the time of a busy one telling takes a quarter.

    Args:
        interval_s: the longest wait.
        clock: tells how long a flush took.
        counts: is told how long events waited.
    """

    def __init__(self, interval_s: float, clock: Clock, counts: Counts) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._dirty: dict[Teller, None] = {}
        self._events = 0
        self._scheduled = False
        self._marked_s = 0.0
        self._not_before = 0.0

    def mark(self, room: Teller) -> None:
        """Have the listeners of a room told of one more event soon."""
        self._dirty[room] = None
        self._events += 1
        if self._scheduled:
            return
        self._scheduled = True
        self._marked_s = self._clock.monotonic_s()
        if self._loop.time() >= self._not_before:
            self._loop.call_soon(self.flush)
        else:
            self._loop.call_at(self._not_before, self.flush)

    def flush(self) -> None:
        """Tell the listeners of every marked room now."""
        self._scheduled = False
        marked_s, started_s = self._marked_s, self._clock.monotonic_s()
        rooms, self._dirty = self._dirty, {}
        events, self._events = self._events, 0
        for room in rooms:
            room.tell_all()
        ended_s = self._clock.monotonic_s()
        took_s = ended_s - started_s
        self._counts.fanout_s.take(ended_s - marked_s)
        self._not_before = self._loop.time() + min(min(events * _WAIT_FOR_EVENT, _WAIT_MAX) * took_s, self._interval_s)
