"""How often somebody may do something: a bucket for each key, that fills at a rate and never beyond its burst.

Kept as one number a key, the time at which the bucket will be full again (the generic cell rate algorithm of ATM).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from canvas_server.core.ports import Clock

_KEYS_MAX: Final = 10_000
_TOLD_S: Final = 1e-9
"""A clock that counts in fractions must not keep anybody waiting for less than it can tell."""


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
        self._depth_s = burst / per_s
        self._full_s: dict[Hashable, float] = {}

    def take(self, key: Hashable, count: float = 1, per_s: float | None = None) -> float:
        """Take `count` out of a bucket; return 0, or the seconds until it holds as many, and then none was taken.

        More than the burst is never there at once: who wants more gets it when the bucket is full.

        Args:
            key: whose bucket.
            count: how many.
            per_s: a rate of its own, with a burst in proportion.
        """
        now_s = self._clock.monotonic_s()
        full_s = self._full_with(key, count, per_s, now_s)
        wait_s = full_s - now_s - self._depth_s
        if wait_s > _TOLD_S:
            return wait_s
        self._full_s[key] = full_s
        if len(self._full_s) > _KEYS_MAX:
            self._forget(now_s)
        return 0.0

    def wait_s(self, key: Hashable, count: float = 1, per_s: float | None = None) -> float:
        """Return what `take` would return; nothing is taken."""
        now_s = self._clock.monotonic_s()
        wait_s = self._full_with(key, count, per_s, now_s) - now_s - self._depth_s
        return wait_s if wait_s > _TOLD_S else 0.0

    def is_empty(self, key: Hashable) -> bool:
        """Tell whether nothing can be taken now."""
        return self.wait_s(key) > 0

    def _full_with(self, key: Hashable, count: float, per_s: float | None, now_s: float) -> float:
        """Return when a bucket would be full again if `count` were taken now."""
        rate = self._per_s if per_s is None else min(per_s, self._per_s)
        return max(self._full_s.get(key, 0.0), now_s) + min(count / rate, self._depth_s)

    def _forget(self, now_s: float) -> None:
        """Forget the buckets that are full; if all are in use, those that were used first."""
        self._full_s = {key: full_s for key, full_s in self._full_s.items() if full_s > now_s}
        while len(self._full_s) > _KEYS_MAX:
            del self._full_s[next(iter(self._full_s))]
