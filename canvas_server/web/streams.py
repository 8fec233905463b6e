"""Open streams and uploads, each with who opened it: how many there are, and which must end now.

Rule: whoever is locked out, whose token is revoked or expired, or who lost the right to a canvas hears nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from canvas_server.core.access import Level
from canvas_server.core.ids import CanvasRef
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.auth import Caller, Identification

log = logging.getLogger(__name__)


class _Open(NamedTuple):
    caller: Caller
    refs: Collection[CanvasRef]
    level: Level
    end: Callable[[], None]


class Streams:
    """All of one server.

    Args:
        identification: says whose credentials are still good.
        manager: has the rights to canvases.
        per_user_max: how many streams one user may have; 0: as many as it likes.
    """

    def __init__(self, identification: Identification, manager: CanvasStateManager, per_user_max: int = 0) -> None:
        self._identification = identification
        self._manager = manager
        self._per_user_max = per_user_max
        self._open: dict[int, _Open] = {}
        self._by_user: dict[str, int] = {}
        self._opened = 0
        identification.identity.changed.append(self.review)

    def is_full_for(self, caller: Caller) -> bool:
        """Tell whether a user has as many streams as one may have; those of jobs do not count."""
        return bool(self._per_user_max) and self._by_user.get(caller.user, 0) >= self._per_user_max

    @contextmanager
    def held(
        self, caller: Caller, refs: Collection[CanvasRef], end: Callable[[], None], level: Level = "read"
    ) -> Iterator[None]:
        """Hold a stream in the list for as long as the block runs.

        Args:
            caller: who opened it.
            refs: of the canvases it is about.
            end: called once, as soon as it must end; the block then runs to its end soon.
            level: how far the rights to those canvases must go.
        """
        self._opened += 1
        number, stream = self._opened, _Open(caller, refs, level, end)
        if self._may_go_on(stream):
            self._open[number] = stream
        else:
            end()
        self._count(stream, 1)
        try:
            yield
        finally:
            self._open.pop(number, None)
            self._count(stream, -1)

    def review(self) -> None:
        """End all streams that may not go on."""
        for number, stream in tuple(self._open.items()):
            if not self._may_go_on(stream):
                del self._open[number]
                try:
                    stream.end()
                except Exception:
                    # Whatever our bug is, the others must end.
                    log.exception("a stream did not end", extra={"user": stream.caller.user})

    def may_begin(self, caller: Caller, refs: Collection[CanvasRef], level: Level = "read") -> bool:
        """Tell whether a caller may still do what it was let in for."""
        return self._may_go_on(_Open(caller, refs, level, _nothing))

    def _count(self, stream: _Open, by: int) -> None:
        """Count the streams of canvases; there are other bounds on those of jobs, and on uploads."""
        if not stream.refs or stream.level != "read":
            return
        name = stream.caller.user
        self._by_user[name] = self._by_user.get(name, 0) + by
        if not self._by_user[name]:
            del self._by_user[name]

    def _may_go_on(self, stream: _Open) -> bool:
        if not self._identification.is_good(stream.caller):
            return False
        return all(self._reaches(stream, ref) for ref in stream.refs)

    def _reaches(self, stream: _Open, ref: CanvasRef) -> bool:
        room = self._manager.get(ref)
        return room is None or stream.caller.reaches(ref, room.canvas.access, stream.level)


def _nothing() -> None:
    """End what was never begun."""
