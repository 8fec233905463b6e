"""Deadlines in virtual time: a loop whose clock jumps to what is due next."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.counts import Counts
from canvas_server.web.connection import Connection, GuardLimits, Stage, Watch

LIMITS: Final = GuardLimits()
AN_HOUR_S: Final = 3600.0


class NothingLeftError(Exception):
    """The loop has nothing to do, now or later."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing: its clock is a number, to which the selector adds what it was told to wait."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now_s


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeftError
        self._loop.now_s += timeout
        return []


class Sitting(Connection):
    """Does one thing until it is ended, or until `does` says that it does another."""

    def __init__(self, loop: VirtualLoop, watch: Watch, stage: Stage) -> None:
        self.loop = loop
        self.guard = watch
        self.doing: tuple[Stage, object] = (stage, object())
        self.expired_s: list[float] = []

    def stage(self) -> tuple[Stage, object]:
        return self.doing

    def expire(self, stage: Stage) -> None:
        assert stage is self.doing[0]
        self.expired_s.append(self.loop.time())
        self.guard.discard(self)

    def does(self, stage: Stage) -> None:
        self.doing = (stage, object())

    def receives(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes


@dataclass
class World:
    """A loop, a watch, and what sits in it; time passes only in `run`."""

    limits: GuardLimits
    loop: VirtualLoop = field(default_factory=VirtualLoop)

    def __post_init__(self) -> None:
        self.watch = Watch(self.limits, Counts())

    def sit(self, stage: Stage, *, from_s: float = 0.0) -> Sitting:
        connection = Sitting(self.loop, self.watch, stage)
        self.loop.call_at(from_s, self.watch.add, connection, self.loop)
        return connection

    def at_every(self, period_s: float, until_s: float, act: Callable[[], object]) -> None:
        for n in range(1, int(until_s / period_s) + 1):
            self.loop.call_at(n * period_s, act)

    def run(self, until_s: float = math.inf) -> None:
        """Let time pass until `until_s`, or until nothing is left to do."""
        if until_s < math.inf:
            self.loop.call_at(until_s, self.loop.stop)
        try:
            self.loop.run_forever()
        except NothingLeftError:
            assert until_s == math.inf
        finally:
            self.loop.close()


DEADLINES_S: Final = {
    Stage.HANDSHAKE: 10.0,
    Stage.CONNECTED: 5.0,
    Stage.HEADERS: 10.0,
    Stage.BODY: 10.0,
    Stage.IDLE: 15.0,
    Stage.STALLED: 25.0,
    Stage.CLOSING: 25.0,
    Stage.REFUSED: 2.0,
}


@given(st.sampled_from(list(DEADLINES_S)), st.floats(0, 10), st.floats(0.01, 1))
def test_who_does_one_thing_too_long_is_ended_never_early_and_at_most_two_looks_late(
    stage: Stage, from_s: float, look_s: float
) -> None:
    world = World(replace(LIMITS, look_s=look_s))
    other = world.sit(Stage.IDLE)
    connection = world.sit(stage, from_s=from_s)
    world.run()
    (expired_s,) = connection.expired_s
    assert DEADLINES_S[stage] <= expired_s - from_s <= DEADLINES_S[stage] + 2 * look_s + 1e-6
    assert len(other.expired_s) == 1
    assert len(world.watch) == 0


@pytest.mark.parametrize("stage", Stage)
def test_who_does_the_same_thing_again_is_not_ended(stage: Stage) -> None:
    world = World(LIMITS)
    connection = world.sit(stage)
    world.at_every(1.0, AN_HOUR_S, lambda: connection.does(stage))
    world.run(AN_HOUR_S)
    assert connection.expired_s == []


def test_an_answer_may_take_for_ever() -> None:
    world = World(LIMITS)
    connection = world.sit(Stage.ANSWER)
    world.run(AN_HOUR_S)
    assert connection.expired_s == []


def test_a_body_that_keeps_its_pace_has_half_a_minute() -> None:
    world = World(LIMITS)
    connection = world.sit(Stage.BODY)
    world.at_every(0.5, AN_HOUR_S, lambda: connection.receives(513))
    world.run(AN_HOUR_S)
    (expired_s,) = connection.expired_s
    assert 30.0 <= expired_s <= 31.0


def test_a_body_that_loses_its_pace_is_ended_as_soon_as_its_average_does() -> None:
    world = World(LIMITS)
    connection = world.sit(Stage.BODY)
    world.loop.call_at(1.0, connection.receives, 16 * 1024)
    world.run(AN_HOUR_S)
    (expired_s,) = connection.expired_s
    assert 16.0 <= expired_s <= 17.5


def test_without_connections_no_timer_runs_and_the_next_connection_starts_it_again() -> None:
    world = World(LIMITS)
    first = world.sit(Stage.CONNECTED)
    second = world.sit(Stage.CONNECTED, from_s=AN_HOUR_S)
    world.run()
    assert first.expired_s < second.expired_s
    assert second.expired_s[0] < AN_HOUR_S + 6
