"""What became of the operations of one request, as they are heard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from canvas_server.generation.canvas_client import CanvasClient, Heard

_HEARD_S: Final = 5.0
"""How long an outcome may take to be heard before it is asked for."""


class Outcomes:
    """Follows operations that were sent in order.

    Args:
        failed: is called once one of them was not applied; what came after it in the same request was not run.
    """

    def __init__(self, failed: Callable[[], None] = lambda: None) -> None:
        self.applied: list[str] = []
        """Names, in order."""
        self.failure: Heard | None = None
        """The first that was not applied."""
        self._waiting: deque[str] = deque()
        self._changed = asyncio.Event()
        self._failed = failed

    def expect(self, op_id: str) -> None:
        """Wait for one more; to be said before it is sent."""
        self._waiting.append(op_id)

    def hear(self, event: Heard) -> None:
        """Take in an outcome, or that the canvas is gone; what is not ours is passed over."""
        gone = event.type == "deleted"
        if not gone and (not self._waiting or event.op_id != self._waiting[0]):
            return
        if event.applied:
            self._waiting.popleft()
            self.applied.append(event.op_id)
        else:
            self.failure = event
            self._waiting.clear()
            self._failed()
        self._changed.set()

    async def settle(self, client: CanvasClient) -> None:
        """Return when it is known what became of all of them; what is not heard in time is asked for.

        Raises:
            CanvasUnavailableError: it cannot be found out.
        """
        try:
            async with asyncio.timeout(_HEARD_S):
                while self._waiting:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            while self._waiting:
                op_id = self._waiting[0]
                # What the server has never seen was not applied.
                self.hear(await client.outcome(op_id) or Heard("conflict", op_id))
