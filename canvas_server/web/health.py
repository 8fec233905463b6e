"""Is it alive, and does it keep its promises? For whoever runs it."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.state.manager import CanvasStateManager
from canvas_server.web.exchange import Exchange

CHECK_S_MAX: Final = 1.0
"""How long the store may take to show that it can be written to; who asks seldom waits longer."""
_CHECKS_APART_S: Final = 0.25
_UNWRITABLE: Final = "the store cannot be written to"

_encode: Final = msgspec.json.Encoder().encode


class Alive(msgspec.Struct, frozen=True):
    """The server answers."""

    status: str = "ok"


class Readiness(msgspec.Struct, frozen=True):
    """Whether the server can do its work, and why not."""

    ready: bool
    reasons: tuple[str, ...]
    oldest_unsaved_s: float
    """For how long the oldest operation that is not on disk has waited; 0 if there is none."""


class Condition(NamedTuple):
    """What keeps the server from its work; all of it empty or false where nothing does."""

    draining: bool
    store_fault: str
    """Why the store cannot be written to."""
    late_canvases: int
    """That could not be saved in time."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """All of it in words."""
        reasons = ["the server is stopping"] if self.draining else []
        if self.store_fault:
            reasons.append(self.store_fault)
        if self.late_canvases:
            reasons.append(f"{self.late_canvases} canvases could not be saved in time")
        return tuple(reasons)

    @property
    def public_reasons(self) -> tuple[str, ...]:
        """The same without what errors say, which may name files."""
        public = self.store_fault and self.store_fault.split(":")[0]
        return self._replace(store_fault=public).reasons


class Health:
    """The handlers.

    Args:
        manager: asked for what it could not save.
        unsaved_age_s_max: from when on an unsaved operation is a reason to worry.
    """

    def __init__(self, manager: CanvasStateManager, unsaved_age_s_max: float) -> None:
        self._manager = manager
        self._unsaved_age_s_max = unsaved_age_s_max
        self._check: asyncio.Task[str] | None = None
        self._checked_s = 0.0

    async def alive(self, exchange: Exchange) -> None:
        """Serve `GET /healthz`."""
        await exchange.answer(200, _encode(Alive()))

    async def ready(self, exchange: Exchange) -> None:
        """Serve `GET /readyz`; whoever shows no credentials is told nothing of the machine."""
        condition = await self.condition()
        reasons = condition.reasons if exchange.is_known else condition.public_reasons
        oldest_s = round(max((room.unsaved_age_s for room in self._manager.rooms), default=0.0), 3)
        await exchange.answer(503 if reasons else 200, _encode(Readiness(not reasons, reasons, oldest_s)))

    async def condition(self) -> Condition:
        """Return what keeps the server from its work, within `CHECK_S_MAX`.

        However many ask, the store is asked once in `_CHECKS_APART_S`, for it writes to show that it can.
        """
        loop = asyncio.get_running_loop()
        if self._check is None or (self._check.done() and loop.time() - self._checked_s >= _CHECKS_APART_S):
            self._checked_s = loop.time()
            self._check = loop.create_task(self._store_fault())
        store_fault = await asyncio.shield(self._check)
        late_canvases = sum(
            room.failing or room.unsaved_age_s > self._unsaved_age_s_max for room in self._manager.rooms
        )
        return Condition(self._manager.draining, store_fault, late_canvases)

    async def _store_fault(self) -> str:
        try:
            async with asyncio.timeout(CHECK_S_MAX):
                await self._manager.check_store()
        except CanvasError as error:
            return f"{_UNWRITABLE}: {error}"
        except TimeoutError:
            return f"the store could not be written to within {CHECK_S_MAX:.0f} s"
        return ""
