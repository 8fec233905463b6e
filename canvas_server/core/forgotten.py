"""The names of operations that a history holds no longer, as hashes: some five bytes each, however many there were.

A name that is among them may have been applied, another was not. Who must know it for sure asks the store; among ten
million names one new name in four hundred is asked for in vain.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Final

_RUN_MAX: Final = 2048


class ForgottenNames:
    """A growing set of names that says `may be` or `is not`.

    The hashes lie in sorted runs, one after the other in order. A run that gets too long becomes two, so that a name
    costs the same however many there are.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        hashes = sorted(map(_hash, names))
        self._runs = [array("I", hashes[at : at + _RUN_MAX // 2]) for at in range(0, len(hashes), _RUN_MAX // 2)]
        self._firsts = [run[0] for run in self._runs]

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __contains__(self, name: str) -> bool:
        wanted = _hash(name)
        at = bisect_right(self._firsts, wanted) - 1
        if at < 0:
            return False
        run = self._runs[at]
        index = bisect_left(run, wanted)
        return index < len(run) and run[index] == wanted

    def add(self, names: Iterable[str]) -> None:
        """Take in names."""
        for new in map(_hash, names):
            if not self._runs:
                self._runs, self._firsts = [array("I")], [new]
            at = max(0, bisect_right(self._firsts, new) - 1)
            run = self._runs[at]
            insort(run, new)
            self._firsts[at] = run[0]
            if len(run) > _RUN_MAX:
                half = len(run) // 2
                self._runs[at : at + 1] = [run[:half], run[half:]]
                self._firsts.insert(at + 1, run[half])


def _hash(name: str) -> int:
    return hash(name) & 0xFFFF_FFFF
