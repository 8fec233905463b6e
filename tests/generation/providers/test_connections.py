from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from canvas_server.generation.providers.connections import client_to_nobody, events_of, load
from canvas_server.generation.providers.local import LocalGenerator
from canvas_server.generation.providers.mistral import MistralGenerator
from canvas_server.generation.providers.openai import OpenaiGenerator
from tests.double.running import Double
from tests.generation.providers.asking import NETWORKED, asked


class Chain:
    """Two generators around a connection, as the SDKs have them: closing the outer one leaves the inner one open."""

    def __init__(self, *, broken: bool = False) -> None:
        self.connected = True
        self.inner_ended = False
        self._broken = broken

    async def close(self) -> None:
        self.connected = False

    async def outer(self) -> AsyncGenerator[int, None]:
        async for number in self._inner():
            yield number

    async def _inner(self) -> AsyncGenerator[int, None]:
        try:
            number = 0
            while self.connected:
                yield (number := number + 1)
            if self._broken:
                raise ValueError("half an event")
        finally:
            self.inner_ended = True


@pytest.mark.parametrize("broken", [False, True])
async def test_a_stream_that_is_left_early_is_closed_and_all_of_it_ends(broken: bool) -> None:
    chain = Chain(broken=broken)
    async with aclosing(events_of(chain.outer(), chain.close)) as events:
        assert [await anext(events), await anext(events)] == [1, 2]
    assert not chain.connected
    assert chain.inner_ended


async def test_an_error_of_a_stream_is_raised_and_the_connection_closed() -> None:
    chain = Chain(broken=True)
    events = events_of(chain.outer(), chain.close)
    await anext(events)
    await chain.close()
    with pytest.raises(ValueError, match="half an event"):
        await anext(events)
    assert not chain.connected


async def _nothing() -> None:
    pass


async def test_an_sdk_is_rehearsed_once_however_many_want_it_at_once() -> None:
    rehearsals: list[int] = []

    async def rehearse() -> None:
        await asyncio.sleep(0)
        rehearsals.append(threading.get_ident())

    async with asyncio.TaskGroup() as wishes:
        for _ in range(4):
            wishes.create_task(load("colorsys", rehearse=rehearse))
    assert len(rehearsals) == 1
    assert threading.get_ident() not in rehearsals


async def test_an_sdk_that_is_loaded_is_there_at_once() -> None:
    await load("keyword", rehearse=_nothing)
    again = load("keyword", rehearse=_nothing)
    with pytest.raises(StopIteration):
        again.send(None)


async def test_a_rehearsal_that_fails_is_not_repeated_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def rehearse() -> None:
        raise ValueError("forgotten")

    with caplog.at_level(logging.DEBUG, logger=load.__module__):
        await load("opcode", rehearse=rehearse)
        await load("opcode", rehearse=rehearse)
    assert [record.message for record in caplog.records] == ["an SDK cannot be rehearsed"]


async def test_an_sdk_that_is_not_there_is_an_error_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            await load("no_such_sdk", rehearse=_nothing)


async def test_a_client_to_nobody_gives_its_answers_in_turn() -> None:
    async with client_to_nobody([{"a": 1}, {}], {"b": 2}) as client:
        stream, answer = [await client.get("http://nobody.invalid/") for _ in range(2)]
    assert stream.text == 'data: {"a":1}\n\ndata: {}\n\ndata: [DONE]\n\n'
    assert answer.json() == {"b": 2}


@pytest.mark.parametrize("provider", NETWORKED)
async def test_a_provider_is_rehearsed_without_asking_it(provider: str, double: Double) -> None:
    async with asked(double, provider, background=True) as generator:
        assert isinstance(generator, OpenaiGenerator | MistralGenerator | LocalGenerator)
        await generator.rehearse()
    assert double.calls == []
