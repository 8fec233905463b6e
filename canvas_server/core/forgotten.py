"""The names of operations that a history holds no longer, as hashes: eight bytes each, however many there were.

A name that is among them may have been applied, another was not. Who must know it for sure asks the store.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable


class ForgottenNames:
    """A growing set of names that says `may be` or `is not`.

    The hashes lie in sorted rows, each more than twice as long as the next, so that there are few rows to look into and
    a hash is moved seldom.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._rows: list[array[int]] = []
        self.add(names)

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __contains__(self, name: str) -> bool:
        wanted = hash(name)
        for row in self._rows:
            index = bisect_left(row, wanted)
            if index < len(row) and row[index] == wanted:
                return True
        return False

    def add(self, names: Iterable[str]) -> None:
        """Take in names."""
        hashes = sorted(map(hash, names))
        if not hashes:
            return
        while self._rows and len(self._rows[-1]) <= 2 * len(hashes):
            hashes = sorted((*self._rows.pop(), *hashes))
        self._rows.append(array("q", hashes))
