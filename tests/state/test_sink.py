"""`state.listener.Sink`: a connection to several canvases."""

from __future__ import annotations

from canvas_server.core.event import ByeReason
from canvas_server.state.listener import Listener, Sink


class Connection(Sink):
    """Keeps what it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended: list[ByeReason | None] = []

    def write(self, frames: bytes) -> None:
        assert not self.ended, "nothing is written behind the end"
        self.written.append(frames)

    def end(self, reason: ByeReason | None) -> None:
        self.ended.append(reason)
        self.listeners.clear()


class Canvas:
    """A room that has something to tell, or has let go of what its listener missed."""

    def __init__(self, *, evicted: bool = False) -> None:
        self._evicted = evicted

    def tell_all(self) -> None:
        return

    def tell(self, listener: Listener) -> None:
        if self._evicted:
            listener.sink.end("slow")
        else:
            listener.sink.write(b"news\n\n")

    def unheard(self, listener: Listener) -> bytes:
        return b""

    def leave(self, listener: Listener) -> None:
        return


def test_a_connection_that_reads_again_hears_of_every_canvas() -> None:
    sink = Connection()
    sink.listeners = [Listener(Canvas(), sink, "utf16", b"") for _ in range(3)]
    sink.catch_up()
    assert sink.written == [b"news\n\n"] * 3


def test_a_connection_that_is_too_far_behind_in_one_canvas_ends_and_hears_of_no_other_behind_that() -> None:
    # Found by the simulation: a stalled reader of two canvases, and a burst in the first of them.
    sink = Connection()
    sink.listeners = [Listener(Canvas(evicted=first), sink, "utf16", b"") for first in (True, False)]
    sink.catch_up()
    assert (sink.written, sink.ended) == ([], ["slow"])
