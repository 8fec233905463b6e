"""The way of every checkpoint to the store, where it is counted how long that took and how often it failed."""

from __future__ import annotations

from canvas_server.core.counts import Counts
from canvas_server.core.errors import CanvasError, NotFoundError
from canvas_server.core.ports import CheckpointRequest, CheckpointStore, Clock


class Saving:
    """Saves for all rooms.

    Args:
        store: where to.
        clock: tells how long it took.
        counts: is told.
    """

    def __init__(self, store: CheckpointStore, clock: Clock, counts: Counts) -> None:
        self._store = store
        self._clock = clock
        self._counts = counts

    async def save(self, request: CheckpointRequest) -> None:
        """Save a checkpoint; raises as `CanvasStore.save` does.

        That of a canvas that was deleted meanwhile is no failure, and one whose caller went away is not counted.
        """
        started_s = self._clock.monotonic_s()
        try:
            await self._store.save(request)
        except NotFoundError:
            raise
        except CanvasError:
            self._counts.checkpoint_failures += 1
            raise
        self._counts.checkpoint_s.take(self._clock.monotonic_s() - started_s)
