"""The one log of events of a canvas: each event encoded once, readers hold a cursor into it.

An entry is kept as the very bytes that go on the wire. A second form for readers that count UTF-16 exists only where
the offsets differ.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from canvas_server.core.counts import Counts
from canvas_server.core.event import Event, in_utf16
from canvas_server.core.history import History
from canvas_server.core.operation import Unit
from canvas_server.core.version import Version
from canvas_server.state.settings import StateSettings

_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event on the wire."""

    frame: bytes
    wide_frame: bytes
    ephemeral: bool
    """Told to who listens now, and to nobody who resumes."""
    seq: int
    """The version of the canvas when it was told."""

    @property
    def is_state(self) -> bool:
        """Whether it made `seq` the version of the canvas, and so carries an id."""
        return self.frame.startswith(b"id: ")

    def bytes_for(self, unit: Unit, prefix: bytes) -> bytes:
        """Return the frame for a reader; `prefix` goes before the id where one stream tells of many canvases."""
        frame = self.wide_frame if unit == "utf16" else self.frame
        if prefix and frame.startswith(b"id: "):
            return b"id: " + prefix + frame[4:]
        return frame


def frame_of(event: Event, version: Version | None = None) -> bytes:
    """Return an event as a server-sent event; with an id if `version` names a state of the canvas."""
    if version is None:
        return b"data: " + _encode(event) + b"\n\n"
    return b"id: " + version.cursor.encode() + b"\ndata: " + _encode(event) + b"\n\n"


class Log:
    """The newest events of a canvas, numbered from 0 for as long as it is open.

    Args:
        start_seq: the version of the canvas before the first entry.
        events_min: entries kept whatever they weigh.
        bytes_min: entries are kept up to this weight whatever their number.
        counts: is told of entries that go.
    """

    def __init__(self, start_seq: int, events_min: int, bytes_min: int, counts: Counts) -> None:
        self._start_seq: int | None = start_seq
        self._events_min = events_min
        self._bytes_min = bytes_min
        self._counts = counts
        self._entries: list[Entry] = []
        self._seqs: list[int] = []
        self._first = 0
        self._bytes = 0

    @property
    def first(self) -> int:
        """The cursor of the oldest entry held."""
        return self._first

    @property
    def end(self) -> int:
        """The cursor of the entry to come."""
        return self._first + len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What the entries weigh."""
        return self._bytes

    def append(self, entry: Entry) -> None:
        """Add an entry; the oldest go when there are more than the bounds ask for."""
        self._entries.append(entry)
        self._seqs.append(entry.seq)
        self._bytes += len(entry.frame)
        # A quarter over both bounds, so that one trim takes many entries.
        if self._bytes * 4 > self._bytes_min * 5 and len(self._entries) * 4 > self._events_min * 5:
            self._trim()

    def joined(self, cursor: int, unit: Unit, prefix: bytes = b"") -> bytes:
        """Return all frames from `cursor` on, in one piece."""
        entries = self._entries[cursor - self._first :]
        if prefix:
            return b"".join([entry.bytes_for(unit, prefix) for entry in entries])
        if unit == "utf16":
            return b"".join([entry.wide_frame for entry in entries])
        return b"".join([entry.frame for entry in entries])

    def replay(self, cursor: int, unit: Unit, prefix: bytes = b"") -> bytes:
        """Return the frames from `cursor` on that a reader who was away must not miss."""
        entries = self._entries[cursor - self._first :]
        return b"".join([entry.bytes_for(unit, prefix) for entry in entries if not entry.ephemeral])

    def cursor_after(self, seq: int) -> int | None:
        """Return the cursor of what followed the state event of version `seq`; None when that is no longer held."""
        if seq == self._start_seq:
            return self._first
        index = bisect_left(self._seqs, seq)
        if index == len(self._seqs) or self._seqs[index] != seq or not self._entries[index].is_state:
            return None
        return self._first + index + 1

    def _trim(self) -> None:
        count = len(self._entries) - self._events_min
        weight = 0
        for kept, entry in enumerate(self._entries[:count]):
            if self._bytes - weight - len(entry.frame) < self._bytes_min:
                count = kept
                break
            weight += len(entry.frame)
        if count:
            self._start_seq = self._seqs[count - 1] if self._entries[count - 1].is_state else None
            self._bytes -= weight
            self._first += count
            self._counts.evicted_events += count
            del self._entries[:count], self._seqs[:count]


def restored_log(history: History, newest_seq: int, settings: StateSettings, counts: Counts) -> Log:
    """Return a log that holds the newest operations, so that readers can resume over a restart."""
    first_seq = newest_seq - min(len(history), settings.log_events_min)
    restored = Log(first_seq, settings.log_events_min, settings.log_bytes_min, counts)
    for applied in history.since(first_seq):
        frame = frame_of(applied.ack, applied.version)
        wide = in_utf16(applied.ack, applied.wide_spans)
        wide_frame = frame if wide is applied.ack else frame_of(wide, applied.version)
        restored.append(Entry(frame, wide_frame, ephemeral=False, seq=applied.version.seq))
    return restored
