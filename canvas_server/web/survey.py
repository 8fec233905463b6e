"""What the stores say of the whole, asked seldom however often somebody wants to know.

Rule: neither many who ask nor a database that has grown large can keep the stores busy, and a store that hangs keeps
nobody waiting for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from canvas_server.core.errors import CanvasError
from canvas_server.core.job_ports import JobStore, JobTally, LedgerTally
from canvas_server.generation.cost import CostControl
from canvas_server.web.health import CHECK_S_MAX, Condition, Health

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_S: Final = 1.0
"""How old an answer may be."""
_KEPT_S_MAX: Final = 60.0
_SHARE: Final = 20
"""An answer that took long is kept for so many times as long: of the time of a store a twentieth is taken at most."""
_WAIT_S: Final = 2 * CHECK_S_MAX


class Kept(Generic[T]):
    """The answer to a question, asked again when it is old; asked once however many wait for it.

    Args:
        ask: the question; where it raises a `CanvasError` the answer before stays.
        wait_s: how long anybody waits for a new answer.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], wait_s: float = _WAIT_S) -> None:
        self._ask = ask
        self._wait_s = wait_s
        self._asking: asyncio.Task[None] | None = None
        self._good_until_s = 0.0
        self._answer: T | None = None

    async def get(self) -> T | None:
        """Return the newest answer; None if there never was one."""
        loop = asyncio.get_running_loop()
        if self._asking is None and loop.time() >= self._good_until_s:
            self._asking = loop.create_task(self._renew())
            self._asking.add_done_callback(self._asked)
        if self._asking is not None:
            try:
                async with asyncio.timeout(self._wait_s):
                    await asyncio.shield(self._asking)
            except TimeoutError:
                log.warning("a store takes long to answer", extra={"waited_s": self._wait_s})
        return self._answer

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            self._answer = await self._ask()
        except CanvasError as error:
            log.warning("a store does not answer", extra={"why": str(error)})
        took_s = loop.time() - started_s
        self._good_until_s = loop.time() + min(max(KEPT_S, _SHARE * took_s), _KEPT_S_MAX)

    def _asked(self, task: asyncio.Task[None]) -> None:
        """Take note that a question has ended, and of its error, which nobody may be left to hear."""
        self._asking = None
        if not task.cancelled():
            task.exception()


class Findings(NamedTuple):
    """What was found; None where a store never answered."""

    condition: Condition
    jobs: JobTally | None
    ledger: LedgerTally | None


class Survey:
    """Asks all stores.

    Args:
        health: knows whether the server can do its work.
        jobs: counts them.
        costs: sums them.
    """

    def __init__(self, health: Health, jobs: JobStore, costs: CostControl) -> None:
        self._health = health
        self._jobs = Kept(jobs.tally)
        self._ledger = Kept(costs.tally)

    async def take(self) -> Findings:
        """Return what the stores say, within a few seconds in every case."""
        condition, jobs, ledger = await asyncio.gather(self._health.condition(), self._jobs.get(), self._ledger.get())
        return Findings(condition, jobs, ledger)
