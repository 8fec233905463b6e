"""Secrets that are good for one use and a short time: tickets, and the codes in links to the page.

They are in memory only: a restart forgets them, and whoever holds one asks for another.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Generic, NamedTuple, TypeVar

from canvas_server.core.ports import Clock
from canvas_server.state.minting import new_secret

T = TypeVar("T")

_HELD_MAX: Final = 10_000
"""How many are held at most; the oldest go first."""


class _Held(NamedTuple, Generic[T]):
    value: T
    until_s: float


class OneUse(Generic[T]):
    """Gives out secrets and takes each back once.

    Args:
        clock: its monotonic time counts, so that no jump of the wall clock makes one last longer.
        lasts_s: how long each is good.
    """

    def __init__(self, clock: Clock, lasts_s: float) -> None:
        self._clock = clock
        self._held: dict[bytes, _Held[T]] = {}
        self.lasts_s = lasts_s

    def give(self, value: T) -> str:
        """Return a fresh secret that stands for `value`."""
        secret = new_secret()
        self._held[_digest(secret)] = _Held(value, self._clock.monotonic_s() + self.lasts_s)
        self._forget()
        return secret

    def take(self, secret: str) -> T | None:
        """Return what a secret stands for, and forget it; None if it was taken, never given, or is too old."""
        held = self._held.pop(_digest(secret), None)
        return None if held is None or held.until_s <= self._clock.monotonic_s() else held.value

    def _forget(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._held:
            oldest = next(iter(self._held))
            if self._held[oldest].until_s > now_s and len(self._held) <= _HELD_MAX:
                return
            del self._held[oldest]


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
