"""How often somebody may do something: a bucket for each key, that fills at a rate and never beyond its burst.

Kept as one number a key, the time at which the bucket will be full again (the generic cell rate algorithm of ATM).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from canvas_server.core.ports import Clock

_KEYS_MAX: Final = 10_000


class Buckets:
    """The buckets of one kind of thing.

    Args:
        clock: its monotonic time counts.
        per_s: how many a second.
        burst: how many at once, after a pause.
    """

    def __init__(self, clock: Clock, per_s: float, burst: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._burst = burst
        self._full_s: dict[Hashable, float] = {}

    def take(self, key: Hashable, count: float = 1, per_s: float | None = None) -> float:
        """Take `count` out of a bucket; return 0, or the seconds until it holds as many, and then none was taken.

        More than the burst is never there at once: who wants more gets it when the bucket is full.

        Args:
            key: whose bucket.
            count: how many.
            per_s: a rate of its own, with a burst in proportion.
        """
        rate = self._per_s if per_s is None else min(per_s, self._per_s)
        now_s = self._clock.monotonic_s()
        depth_s = self._burst / self._per_s
        full_s = max(self._full_s.get(key, 0.0), now_s) + min(count / rate, depth_s)
        wait_s = full_s - now_s - depth_s
        # A clock that counts in fractions must not keep anybody waiting for less than it can tell.
        if wait_s > 1e-9:
            return wait_s
        self._full_s[key] = full_s
        if len(self._full_s) > _KEYS_MAX:
            self._forget(now_s)
        return 0.0

    def is_empty(self, key: Hashable) -> bool:
        """Tell whether nothing can be taken now."""
        now_s = self._clock.monotonic_s()
        return self._full_s.get(key, 0.0) + 1 / self._per_s - now_s > self._burst / self._per_s + 1e-9

    def _forget(self, now_s: float) -> None:
        """Forget the buckets that are full; if all are in use, those that were used first."""
        self._full_s = {key: full_s for key, full_s in self._full_s.items() if full_s > now_s}
        while len(self._full_s) > _KEYS_MAX:
            del self._full_s[next(iter(self._full_s))]
