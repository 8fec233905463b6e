"""Storing what jobs tell: all that came while one write ran goes into the next, whichever job told it.

Rule: an event is shown by its job's feed after the write that holds it, never before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context
from typing import Final

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.job import JobEvent, JobId
from canvas_server.core.job_event import Chunk, Payload, event_of
from canvas_server.core.job_ports import JobStore
from canvas_server.generation.stream import Feed

log = logging.getLogger(__name__)

_CHUNK_CHARS_MAX: Final = 16 * 1024
"""A chunk that grows while the store writes is cut here, so that no event is too large for a reader."""
_PENDING_CHARS_MAX: Final = 256 * 1024
"""A provider that is faster than the store waits from here on."""
_JOBS_MAX: Final = 500
"""In one write."""
RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between the tries of a write that the store refuses for now."""


class Teller:
    """Numbers the events of one job and hands them to the log.

    Args:
        job_id: whose.
        feed: shows them, once they are stored.
        event_log: stores them.
    """

    def __init__(self, job_id: JobId, feed: Feed, event_log: EventLog) -> None:
        self.job_id = job_id
        self.attempt = 1
        self.feed = feed
        self._log = event_log
        self._pending: list[Payload] = []
        self._taken: list[Payload] = []
        self._text: list[str] = []
        self._chars = 0
        self._cursor: int | None = None
        self._failure: BaseException | None = None
        self._stored = asyncio.Event()
        self._stored.set()

    async def chunk(self, text: str, cursor: int | None) -> None:
        """Tell a piece of the text; returns when there is room for more, not when it is stored.

        Raises:
            StorageUnavailableError: what came before could not be stored.
        """
        self._check()
        self._text.append(text)
        self._cursor = cursor
        self._chars += len(text)
        self._ask()
        if self._chars > _PENDING_CHARS_MAX:
            await self.flush()

    def tell(self, payload: Payload) -> None:
        """Tell anything else, in order."""
        self._check()
        self._pending += self._chunks()
        self._pending.append(payload)
        self._ask()

    async def flush(self) -> None:
        """Wait until all that was told is stored and shown; what was refused is tried once more.

        Raises:
            StorageUnavailableError: it could not be stored; it is kept for another try.
        """
        if self._failure is not None:
            self._failure = None
            self._ask()
        await self._stored.wait()
        self._check()

    def number(self, payloads: Sequence[Payload]) -> list[JobEvent]:
        """Return the events that come next, all before them being stored."""
        assert not payloads or self._stored.is_set(), "what was told before is not stored yet"
        return self._numbered(payloads)

    def take(self) -> list[JobEvent]:
        """Return what waits to be stored."""
        self._taken, self._pending = [*self._pending, *self._chunks()], []
        return self._numbered(self._taken)

    def done(self, events: Sequence[JobEvent], failure: BaseException | None) -> None:
        """Take in what became of a write; what was refused is kept in its place."""
        if failure is None:
            self.feed.show(events)
        else:
            self._pending = [*self._taken, *self._pending]
        self._taken = []
        self._failure = failure
        if failure is not None or not (self._pending or self._text):
            self._stored.set()

    @property
    def waits(self) -> bool:
        """Whether there is something to store."""
        return bool(self._pending or self._text) and self._failure is None

    def _ask(self) -> None:
        self._stored.clear()
        self._log.ask(self)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _chunks(self) -> list[Payload]:
        text, self._chars = "".join(self._text), 0
        self._text.clear()
        # The number is filled in when it is known.
        return [
            Chunk(content=text[start : start + _CHUNK_CHARS_MAX], seq=0, attempt=self.attempt)
            for start in range(0, len(text), _CHUNK_CHARS_MAX)
        ]

    def _numbered(self, payloads: Sequence[Payload]) -> list[JobEvent]:
        events = []
        for seq, payload in enumerate(payloads, self.feed.last_seq + 1):
            if isinstance(payload, Chunk):
                chunk = Chunk(content=payload.content, seq=seq, attempt=payload.attempt)
                events.append(event_of(chunk, seq, payload.attempt, self._cursor))
            else:
                events.append(event_of(payload, seq, self.attempt))
        return events


class EventLog:
    """The one writer of events.

    Args:
        store: takes them.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._asked: dict[JobId, Teller] = {}
        self._writing: asyncio.Task[None] | None = None

    def ask(self, teller: Teller) -> None:
        """Have what a teller holds stored soon."""
        self._asked[teller.job_id] = teller
        if self._writing is None:
            # It writes for all jobs, and so on behalf of none.
            writing = asyncio.get_running_loop().create_task(self._write_all(), name="event-log", context=Context())
            self._writing = writing

    async def _write_all(self) -> None:
        try:
            while self._asked:
                tellers = list(self._asked.values())[:_JOBS_MAX]
                for teller in tellers:
                    del self._asked[teller.job_id]
                await self._write(tellers)
                for teller in tellers:
                    if teller.waits:
                        self._asked[teller.job_id] = teller
        finally:
            self._writing = None

    async def _write(self, tellers: Sequence[Teller]) -> None:
        batches: list[tuple[Teller, list[JobEvent]]] = []
        failure: BaseException | None = None
        try:
            batches += [(teller, teller.take()) for teller in tellers]
            await self._append([(teller.job_id, events) for teller, events in batches])
        except BaseException as error:  # noqa: BLE001 - told to every job whose events these are
            failure = error
        told = dict(batches)
        for teller in tellers:
            teller.done(told.get(teller, []), failure)

    async def _append(self, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
        for delay_s in RETRY_S:
            try:
                await self._store.append(batches)
            except StorageUnavailableError as error:
                log.warning("events not stored", extra={"jobs": len(batches), "reason": str(error)})
                await asyncio.sleep(delay_s)
            else:
                return
        await self._store.append(batches)
