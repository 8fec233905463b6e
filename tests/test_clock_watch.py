"""Whoever reads the log learns that the wall clock jumped."""

from __future__ import annotations

import asyncio
import logging

import pytest

from canvas_server.system import ClockWatch, SystemClock

PERIOD_S = 0.01


class WrongClock(SystemClock):
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


def jumps(caplog: pytest.LogCaptureFixture) -> list[float]:
    return [vars(record)["by_s"] for record in caplog.records if vars(record).get("code") == "CLOCK_JUMP"]


@pytest.fixture(autouse=True)
def _at_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "canvas_server.system")


@pytest.mark.parametrize("by_s", [3600, -3600, 40 * 86_400, -40 * 86_400, 2.5])
async def test_a_jump_is_told_once_with_its_size(caplog: pytest.LogCaptureFixture, by_s: float) -> None:
    clock = WrongClock()
    async with ClockWatch(clock, PERIOD_S):
        await asyncio.sleep(3 * PERIOD_S)
        assert jumps(caplog) == []
        clock.ahead_ms = round(by_s * 1000)
        await asyncio.sleep(10 * PERIOD_S)
    assert jumps(caplog) == [pytest.approx(by_s, abs=0.2)]


async def test_a_clock_that_is_set_right_by_and_by_does_not_jump(caplog: pytest.LogCaptureFixture) -> None:
    clock = WrongClock()
    async with ClockWatch(clock, PERIOD_S):
        for _ in range(20):
            clock.ahead_ms += 500
            await asyncio.sleep(2 * PERIOD_S)
    assert jumps(caplog) == []


async def test_a_loop_that_stood_still_is_no_jump(caplog: pytest.LogCaptureFixture) -> None:
    clock = WrongClock()
    async with ClockWatch(clock, PERIOD_S):
        await asyncio.sleep(2 * PERIOD_S)
        until_s = asyncio.get_running_loop().time() + 2.2
        while asyncio.get_running_loop().time() < until_s:
            pass
        await asyncio.sleep(2 * PERIOD_S)
    assert jumps(caplog) == []


async def test_nobody_watches_any_more_when_the_server_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    clock = WrongClock()
    async with ClockWatch(clock, PERIOD_S):
        pass
    clock.ahead_ms = 3_600_000
    await asyncio.sleep(5 * PERIOD_S)
    assert jumps(caplog) == []
