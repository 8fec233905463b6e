"""All that is told of a canvas, to read in a loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from canvas_server.client.errors import ClientError
from canvas_server.core.event import Event

QUEUE_MAX: Final = 16_384
"""Events that wait for a reader; one that is slower hears that it missed some."""


class EventStream(AsyncIterator[Event]):
    """The events since it was made; it ends with the session.

    Use it in `async for`, and as an async context manager when it is left early.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._is_over = False
        self._error: ClientError | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is put in."""
        return self._is_over

    def put(self, event: Event) -> None:
        """Take an event."""
        if self._is_over:
            return
        if len(self._events) >= QUEUE_MAX:
            self.end(ClientError("events were read too slowly", code="SLOW_READER", hint="Read events() faster."))
            return
        self._events.append(event)
        self._arrived.set()

    def end(self, error: ClientError | None = None) -> None:
        """Take no more; what waits can still be read, then the error is raised, if there is one."""
        if not self._is_over:
            self._is_over, self._error = True, error
            self._arrived.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.end()

    async def aclose(self) -> None:
        """Hear no more."""
        self.end()
