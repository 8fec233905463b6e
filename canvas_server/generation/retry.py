"""When a failed call is made again: exponential waits with full jitter, the provider's own wish first.

Pure; chance comes in through `core.ports.Ids`, so that tests own it.
"""

from __future__ import annotations

from typing import Final

from canvas_server.core.ports import Ids

BASE_S: Final = 0.5
"""The longest wait before the second try; doubles with every try."""
CAP_S: Final = 30.0
ASKED_S_MAX: Final = 60.0
"""A provider that wants a longer pause than this is not waited for."""


def delay_s(tries: int, asked_s: float | None, chance: Ids) -> float | None:
    """Return how long to wait before the next try, in seconds; None to give up.

    Args:
        tries: how many there were, from 1.
        asked_s: how long the provider asks to wait. It is waited at least; the jitter comes on top, so that those who
            were sent away together do not come back together.
        chance: decides the jitter, to the millisecond.
    """
    if asked_s is not None and asked_s > ASKED_S_MAX:
        return None
    jitter_s = chance.between(0, round(longest_s(tries) * 1000)) / 1000
    return jitter_s if asked_s is None else asked_s + jitter_s


def longest_s(tries: int) -> float:
    """Return the longest wait after so many tries, where the provider asks for none."""
    # Beyond this exponent the cap holds, and a float would overflow sooner or later.
    return min(CAP_S, BASE_S * 2.0 ** min(tries - 1, 16))
