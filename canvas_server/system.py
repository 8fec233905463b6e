"""The wall clock and chance, as the house knows them by its ports."""

from __future__ import annotations

import secrets
import time
import uuid


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Return ms since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds since some moment."""
        return time.perf_counter()


class SystemIds:
    """Names that nobody can guess."""

    def chain(self) -> str:
        """Return 16 random hex digits."""
        return secrets.token_hex(8)

    def name(self) -> str:
        """Return a fresh UUID."""
        return str(uuid.uuid4())

    def between(self, low: int, high: int) -> int:
        """Return a random whole number, both ends included."""
        return low + secrets.randbelow(high - low + 1)
