"""Who reads a job: from the store what is past, then each event in the turn after it was stored.

Rule: nothing is shown that is not durable, and a reader needs nobody: it may come late, go, and come back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import dropwhile
from typing import Final

from canvas_server.core.job import JobEvent, JobId
from canvas_server.core.job_event import is_last
from canvas_server.core.job_ports import JobStore

_TAIL_MAX: Final = 512
"""Events held for those who keep up; who is further behind reads the store."""
_PAGE: Final = 500


class Feed:
    """The newest stored events of a job that is queued or runs, and who waits for more.

    Args:
        last_seq: of the newest event that is stored.
    """

    def __init__(self, last_seq: int) -> None:
        self.last_seq = last_seq
        self.over = False
        """Nothing more is shown here: the job ended, or the server stops."""
        self.position: int | None = None
        """In the queue, 1 being the next; None when it waits no more."""
        self.observer: Callable[[Sequence[JobEvent]], None] = _ignore
        """Is told of events in the turn in which they are shown."""
        self._tail: deque[JobEvent] = deque(maxlen=_TAIL_MAX)
        self._waiting: list[asyncio.Future[None]] = []

    def show(self, events: Sequence[JobEvent]) -> None:
        """Show events that are durable now."""
        for event in events:
            assert event.seq == self.last_seq + 1, "the events of a job have no gap"
            self.last_seq = event.seq
            self._tail.append(event)
        self.observer(events)
        self._wake()

    def move(self, position: int | None) -> None:
        """Tell where the job stands in the queue."""
        if position != self.position:
            self.position = position
            self._wake()

    def close(self) -> None:
        """Show nothing more."""
        self.over = True
        self._wake()

    def after(self, seq: int) -> Sequence[JobEvent] | None:
        """Return the events after `seq`; None where they are held no more."""
        if seq >= self.last_seq:
            return ()
        if not self._tail or self._tail[0].seq > seq + 1:
            return None
        if seq >= self.last_seq - 4:
            # Who keeps up need not walk over all that is held.
            return [self._tail[index] for index in range(seq - self.last_seq, 0)]
        return list(dropwhile(lambda event: event.seq <= seq, self._tail))

    async def changed(self) -> None:
        """Wait for the next event, another position, or the end."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Feeds:
    """The feeds there are, and how to follow a job with or without one.

    Args:
        store: has the events.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._feeds: dict[JobId, Feed] = {}

    def open(self, job_id: JobId, last_seq: int) -> Feed:
        """Give a job its feed."""
        feed = self._feeds[job_id] = Feed(last_seq)
        return feed

    def close(self, job_id: JobId) -> None:
        """Take a job's feed away: it ended, or the server stops."""
        if feed := self._feeds.pop(job_id, None):
            feed.close()

    def get(self, job_id: JobId) -> Feed | None:
        """Return the feed of a job that is queued or runs."""
        return self._feeds.get(job_id)

    async def follow(self, job_id: JobId, after_seq: int) -> AsyncIterator[Sequence[JobEvent] | int]:
        """Yield the events of a job after `after_seq` as they come, in groups; a number is its place in the queue.

        Ends after the last event, or when the server stops.
        """
        position = None
        while True:
            feed = self._feeds.get(job_id)
            if feed is not None:
                # Who claims to have heard what was never told hears what comes next.
                after_seq = min(after_seq, feed.last_seq)
            events = feed.after(after_seq) if feed else None
            if events is None:
                events = await self._store.read_events(job_id, after_seq, _PAGE)
                if not events and self._feeds.get(job_id) is feed:
                    return
                if feed is not None:
                    # The store may be a write ahead; nobody hears that before the feed shows it.
                    events = [event for event in events if event.seq <= feed.last_seq]
            if events:
                yield events
                after_seq = events[-1].seq
                if is_last(events[-1]):
                    return
            elif feed is not None and not feed.over:
                if feed.position is not None and feed.position != position:
                    position = feed.position
                    yield position
                    continue
                await feed.changed()


def _ignore(_events: Sequence[JobEvent]) -> None:
    return
