"""A reader: a connection that may stall, go and come back, and holds every byte that it gets against the tape."""

from __future__ import annotations

from collections.abc import Sequence

from canvas_server.core.event import ByeReason
from canvas_server.core.ids import CanvasRef
from canvas_server.core.operation import Unit
from canvas_server.core.splice import apply_changes
from canvas_server.core.version import parse_cursor
from canvas_server.state.listener import Sink
from tests.model.lineage import Moment
from tests.model.tape import Tape, apply_wide, changes_of
from tests.state.simulation import Heard, read_frames


class View:
    """One canvas as a reader sees it.

    Args:
        tape: of the room that was joined, read up to now.
        unit: how the reader counts.
        cursor: where it wants to go on.
        seen: the version of that cursor, if there is one in the lineage.
    """

    def __init__(self, tape: Tape, unit: Unit, cursor: str | None, seen: Moment | None) -> None:
        self.tape = tape
        self.unit = unit
        self.cursor = cursor
        self.place = len(tape.told)
        self.resumed = False
        self.reset: str | None = None
        self._begun = seen
        self._heard: list[Heard] = []

    def greet(self, frames: Sequence[bytes]) -> None:
        """Take in what is told first, without the names of canvases in the ids."""
        start, *first = read_frames(b"".join(frame + b"\n\n" for frame in frames))
        lineage = self.tape.lineage
        assert start.type == "start"
        assert start["server_version"] == lineage.head.version.etag, "told of what is not so"
        lineage.hear_durable(start["checkpoint_version"])
        self.resumed = bool(start["resumed"])
        if self.resumed:
            self._check_resumed(frames[1:], first)
        else:
            self._check_snapshot(first)

    def hear(self, frame: bytes) -> None:
        """Take in one frame: the next on the tape."""
        assert self.place < len(self.tape.told), "heard of what was not told"
        told = self.tape.told[self.place]
        assert frame == told.frame_in(self.unit), "a hole, or out of order"
        self.place += 1
        self._note(told.event if frame == told.frame else read_frames(frame + b"\n\n")[0])

    def check_text(self) -> None:
        """What the reader makes of all that it heard is the text at the version that it heard of last."""
        assert self._begun is not None
        text, version = self._begun.text, self._begun.version
        lineage = self.tape.lineage
        for ack in self._heard:
            assert ack["base_version"] == version.etag, "a hole"
            text = apply_wide(text, ack) if self.unit == "utf16" else apply_changes(text, changes_of(ack))
            made = parse_cursor(str(ack.id))
            assert made is not None
            version = made
        moment = lineage.at(version)
        assert moment is None or moment.text == text, "the reader holds another text"

    def _check_resumed(self, frames: Sequence[bytes], first: Sequence[Heard]) -> None:
        """Exactly what followed the cursor comes, and none of it twice."""
        assert self.cursor is not None
        assert self._begun is not None, "resumed in another history"
        place = self.tape.place_after(self.cursor)
        assert place is not None, "resumed from what is not in the log"
        missed = [told.frame_in(self.unit) for told in self.tape.told[place:] if told.is_replayed]
        assert list(frames) == missed
        for event in first:
            self._note(event)

    def _check_snapshot(self, first: Sequence[Heard]) -> None:
        *resets, snapshot = first
        head = self.tape.lineage.head
        assert [event.type for event in resets] == (["reset"] if self.cursor else [])
        self.reset = str(resets[0]["reason"]) if resets else None
        assert snapshot.type == "snapshot"
        assert snapshot.id == head.version.cursor
        assert snapshot.get("content", head.text) == head.text
        assert ("content" in snapshot) != ("content_url" in snapshot)
        self._begun = head

    def _note(self, event: Heard) -> None:
        if event.type == "ack" and event.id:
            self._heard.append(event)


class Reader(Sink):
    """One connection.

    Args:
        unit: how it counts.
        many: whether it is one to several canvases, whose names then stand in the ids.
    """

    def __init__(self, unit: Unit, *, many: bool) -> None:
        super().__init__()
        self.unit = unit
        self.many = many
        self.views: dict[CanvasRef, View] = {}
        self.ended: list[ByeReason | None] = []
        self._over = False
        self._unread: list[bytes] = []
        self._deaf = False

    def write(self, frames: bytes) -> None:
        if self._deaf:
            return
        assert self.ready
        assert not self._over
        self._unread.append(frames)

    def end(self, reason: ByeReason | None) -> None:
        self.ended.append(reason)
        self._over = self.ready
        self.leave()

    def leave(self) -> None:
        """Listen no more."""
        for listener in tuple(self.listeners):
            listener.room.leave(listener)
        self.listeners.clear()

    def cut(self) -> None:
        """Hear nothing more: the server is dead."""
        self._deaf = True

    def stall(self) -> None:
        self.ready = False

    def go_on(self) -> None:
        """Take writes again; if the connection was ended meanwhile, what is owed to it is the last."""
        self.ready = True
        self.catch_up()
        self._over = bool(self.ended)

    def greet(self, ref: CanvasRef, view: View, frames: bytes) -> None:
        """Take in what is told first of a canvas."""
        self.views[ref] = view
        view.greet([self._unprefixed(frame, ref) for frame in frames.split(b"\n\n")[:-1]])

    def read(self) -> None:
        """Take in what was written since."""
        unread, self._unread = b"".join(self._unread), []
        for frame in unread.split(b"\n\n")[:-1]:
            ref = next(ref for ref in self.views if b'"canvas":"' + ref.encode() + b'"' in frame)
            self.views[ref].hear(self._unprefixed(frame, ref))

    @property
    def missed_max(self) -> int:
        """How many events it has not heard, of the canvas of which these are most."""
        return max(len(view.tape.told) - view.place for view in self.views.values())

    def check_all_heard(self) -> None:
        """Nothing was told that this reader has not heard."""
        joined = [listener.room for listener in self.listeners]
        for view in self.views.values():
            assert view.tape.room not in joined or view.place == len(view.tape.told), "it does not hear all"

    def check_text(self) -> None:
        """What it made of what it heard is the text."""
        for view in self.views.values():
            view.check_text()

    def _unprefixed(self, frame: bytes, ref: CanvasRef) -> bytes:
        """Return a frame as a connection to one canvas would get it."""
        if not self.many or not frame.startswith(b"id: "):
            return frame
        prefix = b"id: " + ref.encode() + b":"
        assert frame.startswith(prefix)
        return b"id: " + frame.removeprefix(prefix)
