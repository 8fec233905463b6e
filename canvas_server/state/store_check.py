"""Asking whether the store can be written to, once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class StoreCheck:
    """One check under way at most: those of a store that hangs must not pile up before the checkpoints.

    Args:
        check: returns if the store can be written to, else raises.
    """

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        self._check = check
        self._checking: asyncio.Future[None] | None = None

    async def __call__(self) -> None:
        """Return if the store can be written to now; raises what it raises."""
        if self._checking is None:
            self._checking = asyncio.ensure_future(self._check())
            self._checking.add_done_callback(self._checked)
        await asyncio.shield(self._checking)

    def cancel(self) -> None:
        """Ask no more."""
        if self._checking is not None:
            self._checking.cancel()

    def _checked(self, checking: asyncio.Future[None]) -> None:
        """Take note that a check has ended, and of its error, which nobody may be left to hear."""
        self._checking = None
        if not checking.cancelled():
            checking.exception()
