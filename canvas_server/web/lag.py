"""How late the event loop is: all the server does is done in its turns, so when it is late everybody waits."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Final

from canvas_server.core.counts import Counts

PROBE_S: Final = 0.25
_RECENT: Final = 10
"""How many probes `recent_s` is about."""


class LoopProbe:
    """Asks the running loop for a turn at set times for as long as it is entered, and counts how late each comes.

    Args:
        counts: is told.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._late_s: deque[float] = deque(maxlen=_RECENT)

    def __enter__(self) -> LoopProbe:
        self._loop = asyncio.get_running_loop()
        self._ask()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()

    @property
    def recent_s(self) -> float:
        """The worst of the last seconds."""
        return max(self._late_s, default=0.0)

    def _ask(self) -> None:
        self._due_s = self._loop.time() + PROBE_S
        self._timer = self._loop.call_at(self._due_s, self._come)

    def _come(self) -> None:
        late_s = max(0.0, self._loop.time() - self._due_s)
        self._counts.loop_lag_s.take(late_s)
        self._late_s.append(late_s)
        self._ask()
