from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from canvas_server.generation.providers.connections import events_of


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
