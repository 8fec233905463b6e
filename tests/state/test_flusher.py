"""When listeners are told: a calm canvas waits for nearly nothing, a busy one is told in joined writes."""

from __future__ import annotations

import asyncio

import pytest

from canvas_server.core.counts import Counts
from canvas_server.state.listener import Flusher, Listener
from tests.state.simulation import now_s, simulated


class Room:
    """A room whose listeners take some time to tell; the clock that tells how much."""

    def __init__(self, took_s: float) -> None:
        self._took_s = took_s
        self._spent_s = 0.0
        self.told_s: list[float] = []

    def tell_all(self) -> None:
        self.told_s.append(now_s())
        self._spent_s += self._took_s

    def tell(self, listener: Listener) -> None:
        raise AssertionError

    def unheard(self, listener: Listener) -> bytes:
        raise AssertionError

    def leave(self, listener: Listener) -> None:
        raise AssertionError

    def now_ms(self) -> int:
        raise AssertionError

    def monotonic_s(self) -> float:
        return self._spent_s


@pytest.mark.parametrize(
    ("events", "took_s", "waits_s"),
    [
        (1, 0.004, 0.001),
        (4, 0.004, 0.004),
        (12, 0.004, 0.012),
        (500, 0.004, 0.012),
        (500, 0.040, 0.016),
        (500, 0.000, 0.000),
    ],
)
def test_the_next_flush_waits_the_longer_the_more_there_was_to_tell(events: int, took_s: float, waits_s: float) -> None:
    @simulated
    async def told() -> None:
        room = Room(took_s)
        flusher = Flusher(0.016, room, Counts())
        start_s = now_s()
        for _ in range(events):
            flusher.mark(room)
        await asyncio.sleep(0)
        assert room.told_s == [start_s], "the first event after a quiet moment waits for nothing"
        for _ in range(3):
            flusher.mark(room)
        await asyncio.sleep(0.050)
        assert room.told_s == [start_s, pytest.approx(start_s + waits_s)]
        flusher.mark(room)
        await asyncio.sleep(0)
        assert room.told_s[2:] == [now_s()], "it was quiet for longer than the wait"

    told()
