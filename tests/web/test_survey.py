"""What the stores say of the whole: asked seldom, once for all who ask, and never waited for for long."""

from __future__ import annotations

import asyncio

import pytest

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.web.survey import KEPT_S, Kept
from tests.state.simulation import now_s, simulated


class Store:
    """Answers with how often it was asked."""

    def __init__(self, took_s: float = 0.0) -> None:
        self.asked = 0
        self.took_s = took_s
        self.fails = False

    async def ask(self) -> int:
        self.asked += 1
        asked = self.asked
        await asyncio.sleep(self.took_s)
        if self.fails:
            raise StorageUnavailableError("it is locked", hint="Unlock it.")
        return asked


@simulated
async def test_an_answer_is_kept_for_a_second_and_then_asked_for_anew() -> None:
    store = Store()
    kept = Kept(store.ask)
    assert [await kept.get() for _ in range(5)] == [1] * 5
    await asyncio.sleep(KEPT_S - 0.01)
    assert await kept.get() == 1
    await asyncio.sleep(0.02)
    assert await kept.get() == 2


@simulated
async def test_many_who_ask_at_once_ask_once() -> None:
    store = Store(took_s=0.5)
    kept = Kept(store.ask)
    assert await asyncio.gather(*(kept.get() for _ in range(50))) == [1] * 50
    assert store.asked == 1


@simulated
async def test_an_answer_that_took_long_is_kept_for_so_many_times_as_long_and_a_minute_at_most() -> None:
    store = Store(took_s=0.5)
    kept = Kept(store.ask)
    await kept.get()
    await asyncio.sleep(9.9)
    assert await kept.get() == 1
    await asyncio.sleep(0.2)
    assert await kept.get() == 2
    store.took_s = 10.0
    slow = Kept(store.ask, wait_s=20.0)
    assert await slow.get() == 3
    await asyncio.sleep(60.1)
    assert await slow.get() == 4


@simulated
async def test_a_store_that_fails_leaves_the_answer_before() -> None:
    store = Store()
    kept = Kept(store.ask)
    store.fails = True
    assert await kept.get() is None
    store.fails = False
    await asyncio.sleep(KEPT_S + 0.1)
    assert await kept.get() == 2
    store.fails = True
    await asyncio.sleep(KEPT_S + 0.1)
    assert await kept.get() == 2
    assert store.asked == 3


@simulated
async def test_a_store_that_hangs_keeps_nobody_waiting_and_is_not_asked_again_meanwhile() -> None:
    store = Store()
    kept = Kept(store.ask, wait_s=2.0)
    assert await kept.get() == 1
    store.took_s = 100.0
    await asyncio.sleep(KEPT_S + 0.1)
    started_s = now_s()
    assert [await kept.get(), await kept.get()] == [1, 1]
    assert now_s() - started_s == pytest.approx(4.0)
    assert store.asked == 2
    store.took_s = 0.0
    await asyncio.sleep(200.0)
    assert await kept.get() == 3
