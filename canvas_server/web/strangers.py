"""Connections on which nobody has shown good credentials yet: there may be few, and the oldest make room for new ones.

So whoever floods the server with connections meets only the like, and who comes with a token is in within a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Client: TypeAlias = tuple[str, int]
"""Address and port of the other end."""


class Strangers:
    """Counts them.

    Args:
        strangers_max: how many there may be; 0: as many as like.
    """

    def __init__(self, strangers_max: int = 0) -> None:
        self._strangers_max = strangers_max
        self._close_by_client: dict[Client, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._close_by_client)

    def add(self, client: Client | None, close: Callable[[], None]) -> None:
        """Take note of a new connection; `close` is called when it must make room."""
        if client is None or not self._strangers_max:
            return
        self._close_by_client[client] = close
        if len(self._close_by_client) > self._strangers_max:
            oldest = next(iter(self._close_by_client))
            self._close_by_client.pop(oldest)()

    def forget(self, client: Client | None) -> None:
        """Count a connection no more: somebody showed credentials on it, or it has ended."""
        if client is not None and self._close_by_client:
            self._close_by_client.pop(client, None)
