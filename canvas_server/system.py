"""The wall clock and chance, as the house knows them by its ports; and a watch on the clock."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from types import TracebackType
from typing import Final

from canvas_server.core.ports import Clock

log = logging.getLogger(__name__)

_WATCH_S: Final = 1.0
_JUMP_S_MIN: Final = 2.0
"""Less than that within a second is how clocks are set right all the time, or a busy machine."""


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Return ms since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds since some moment."""
        return time.perf_counter()


class SystemIds:
    """Names that nobody can guess."""

    def chain(self) -> str:
        """Return 16 random hex digits."""
        return secrets.token_hex(8)

    def name(self) -> str:
        """Return a fresh UUID."""
        return str(uuid.uuid4())

    def between(self, low: int, high: int) -> int:
        """Return a random whole number, both ends included."""
        return low + secrets.randbelow(high - low + 1)


class ClockWatch:
    """Tells the log when the wall clock jumps: it was set, or the machine slept.

    Nothing here depends on it. Intervals are measured by a clock that never jumps, and money belongs to the month in
    which it was held; but times that are told, and which month it is, follow the wall clock, and who reads them later
    should know. Use as an async context manager.

    Args:
        clock: that is watched.
        period_s: between two looks.
    """

    def __init__(self, clock: Clock, period_s: float = _WATCH_S) -> None:
        self._clock = clock
        self._period_s = period_s
        self._ahead_s = self._read_ahead_s()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> ClockWatch:
        self._loop = asyncio.get_running_loop()
        self._look_later()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._period_s, self._look)

    def _look(self) -> None:
        self._look_later()
        before_s, self._ahead_s = self._ahead_s, self._read_ahead_s()
        by_s = round(self._ahead_s - before_s, 1)
        if abs(by_s) >= _JUMP_S_MIN:
            log.warning("the wall clock jumped", extra={"code": "CLOCK_JUMP", "by_s": by_s})

    def _read_ahead_s(self) -> float:
        """Return how far the wall clock is ahead of the one that never jumps."""
        return self._clock.now_ms() / 1000 - time.monotonic()
