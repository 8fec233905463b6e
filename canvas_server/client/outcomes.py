"""What became of operations: whoever waits for one is told when its ack, conflict or error is heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from canvas_server.client.errors import ClientError
from canvas_server.core.event import Ack, Conflict, Failure, Outcome

_KEPT: Final = 4096


class Outcomes:
    """Of one canvas; keeps the newest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Outcome] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}

    def known(self, op_id: str) -> Outcome | None:
        """Return what was heard of an operation last."""
        return self._kept.get(op_id)

    def tell(self, event: Ack | Conflict | Failure) -> None:
        """Note what became of an operation; what was applied stays so, whatever becomes of the same sent again."""
        if isinstance(self._kept.get(event.op_id), Ack) and not isinstance(event, Ack):
            return
        self._kept[event.op_id] = event
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        future = self._waiting.pop(event.op_id, None)
        if future is not None and not future.done():
            future.set_result(event)

    def expect(self, op_id: str) -> asyncio.Future[Outcome]:
        """Return what is done when the operation has an outcome; await it behind `asyncio.shield`."""
        self._kept.pop(op_id, None)
        if op_id not in self._waiting:
            self._waiting[op_id] = asyncio.get_running_loop().create_future()
        return self._waiting[op_id]

    def fail(self, op_ids: list[str], error: ClientError) -> None:
        """Tell whoever waits for these that there will be none."""
        for op_id in op_ids:
            future = self._waiting.pop(op_id, None)
            if future is not None and not future.done():
                future.set_exception(error)
                # Nobody may be waiting any more: that is no mistake.
                future.exception()

    def fail_all(self, error: ClientError) -> None:
        """Tell everybody."""
        self.fail(list(self._waiting), error)
