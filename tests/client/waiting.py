"""What tests of clients wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from canvas_server.client import Ack
from tests.client.fault_proxy import FaultProxy
from tests.serving import Served

PATIENCE_S = 30.0


@asynccontextmanager
async def proxied(served: Served) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(served.port).running() as proxy:
        yield proxy


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - of what is looked at, not all tells that it changed
            await asyncio.sleep(0.005)


async def agree(*texts: object) -> None:
    """Wait until sessions show one text."""
    await eventually(lambda: len({str(getattr(text, "text", text)) for text in texts}) == 1)


async def first_acks(events: AsyncIterator[object], count: int) -> AsyncIterator[Ack]:
    while count:
        event = await anext(events)
        if isinstance(event, Ack):
            count -= 1
            yield event
