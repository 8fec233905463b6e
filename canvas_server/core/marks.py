"""Marks: sorted offsets into a text that is being edited.

An edit moves every mark behind it. Moving them one by one would make an edit cost what the document is long, so moves
are owed: the marks lie in chunks, a chunk owes one move to its marks from some place on, and one more is owed to all
chunks behind the last edit. Written are only the marks between the last two edits of one chunk, and one number for
each chunk between the last two edits of all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

CHUNK: Final = 96
"""Marks in a fresh chunk; one is split when it holds more than twice as many."""


class Marks:
    """Offsets in ascending order (equal ones allowed), by index, under edits.

    `shift` costs O(1) where the last one was, and elsewhere what the module says. Finding and reading are logarithmic,
    `replace` adds the size of a chunk and what it writes.

    `shift` and `replace` do not check the order: a caller may leave it for a moment, but not while it searches.
    """

    # Mark k of chunk c is `_bases[c] + _chunks[c][k]`, and `_owed[c]` more if k >= `_places[c]`, and `_delta` more if
    # c > `_chunk`. The first number of a chunk is always 0, so its base moves instead, and no place is 0.
    # `_index` is the mark at the place of `_chunk`, -1 if that is not known.
    __slots__ = ("_bases", "_chunk", "_chunks", "_delta", "_firsts", "_index", "_owed", "_places")

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self._bases: list[int] = []
        self._chunks: list[list[int]] = []
        self._firsts: list[int] = []  # the index of the first mark of each chunk
        self._places: list[int] = []
        self._owed: list[int] = []
        self._index = -1
        self._chunk = -1
        self._delta = 0
        self._rebuild(0, 0, list(offsets))

    def __len__(self) -> int:
        return self._firsts[-1] + len(self._chunks[-1]) if self._chunks else 0

    def __getitem__(self, index: int) -> int:
        """Return the mark at `index`, which counts from 0 and never from the end.

        Raises:
            IndexError: there is no such mark.
        """
        if index < 0:
            raise IndexError(index)
        chunk = bisect_right(self._firsts, index) - 1
        local = index - self._firsts[chunk]
        mark = self._bases[chunk] + self._chunks[chunk][local]
        if local >= self._places[chunk]:
            mark += self._owed[chunk]
        return mark + self._delta if chunk > self._chunk else mark

    def __iter__(self) -> Iterator[int]:
        for chunk in range(len(self._chunks)):
            yield from self._values(chunk)

    def bisect_right(self, offset: int) -> int:
        """Return how many marks are at or before `offset`."""
        behind = self._chunk + 1
        if behind < len(self._bases) and self._bases[behind] + self._delta <= offset:
            offset -= self._delta
            chunk = bisect_right(self._bases, offset, behind) - 1
        else:
            chunk = bisect_right(self._bases, offset, 0, behind) - 1
        if chunk < 0:
            return 0
        marks, place, owed = self._chunks[chunk], self._places[chunk], self._owed[chunk]
        offset -= self._bases[chunk]
        if place < len(marks) and marks[place] + owed <= offset:
            return self._firsts[chunk] + bisect_right(marks, offset - owed, place)
        return self._firsts[chunk] + bisect_right(marks, offset, 0, place)

    def bisect_left(self, offset: int) -> int:
        """Return how many marks are before `offset`."""
        return self.bisect_right(offset - 1)

    def shift(self, index: int, delta: int) -> None:
        """Move every mark from `index` (0 to the count of marks) on by `delta`."""
        if not delta:
            return
        if index != self._index:
            self._seek(index)
        if self._chunk >= 0:
            self._owed[self._chunk] += delta
        self._delta += delta

    def replace(self, start: int, stop: int, offsets: Sequence[int]) -> None:
        """Let `offsets` take the place of the marks from index `start` to `stop`."""
        assert 0 <= start <= stop <= len(self)
        # With the place at `stop`, nothing is owed to what goes and comes.
        self._seek(stop)
        first = max(bisect_left(self._firsts, start) - 1, 0)
        if first == self._chunk and self._fits(first, start, stop, len(offsets)):
            self._rewrite(first, start, stop, offsets)
            return
        last = max(self._chunk, 0)
        self._move_bases(last)
        kept = self._values(first)[: start - self._firsts[first]] if self._chunks else []
        rest = self._values(last)[stop - self._firsts[last] :] if self._chunks else []
        self._rebuild(first, last + 1, [*kept, *offsets, *rest])

    def copy(self) -> Marks:
        """Return marks that can be moved without moving these."""
        twin = Marks()
        twin._bases = self._bases.copy()
        twin._chunks = [chunk.copy() for chunk in self._chunks]
        twin._firsts = self._firsts.copy()
        twin._places = self._places.copy()
        twin._owed = self._owed.copy()
        twin._index, twin._chunk, twin._delta = self._index, self._chunk, self._delta
        return twin

    def _values(self, chunk: int) -> list[int]:
        """Return the marks of a chunk."""
        base = self._bases[chunk] + (self._delta if chunk > self._chunk else 0)
        marks, place, moved = self._chunks[chunk], self._places[chunk], base + self._owed[chunk]
        return [base + mark for mark in marks[:place]] + [moved + mark for mark in marks[place:]]

    def _fits(self, chunk: int, start: int, stop: int, count: int) -> bool:
        """Tell whether a chunk keeps its first mark and can hold `count` others in place of `start` to `stop`."""
        return start > self._firsts[chunk] and len(self._chunks[chunk]) - (stop - start) + count <= 2 * CHUNK

    def _rewrite(self, chunk: int, start: int, stop: int, offsets: Sequence[int]) -> None:
        """Replace marks that all lie in one chunk, behind its first and in front of its place."""
        base, first = self._bases[chunk], self._firsts[chunk]
        self._chunks[chunk][start - first : stop - first] = [offset - base for offset in offsets]
        if growth := len(offsets) - (stop - start):
            self._firsts[chunk + 1 :] = [index + growth for index in self._firsts[chunk + 1 :]]
            self._places[chunk] += growth
            self._index += growth

    def _rebuild(self, start: int, stop: int, offsets: list[int]) -> None:
        """Let fresh chunks with `offsets` take the place of those from `start` to `stop`, the last owed nothing."""
        index = self._firsts[start] if start < len(self._firsts) else len(self)
        size = len(offsets) if len(offsets) <= 2 * CHUNK else CHUNK
        pieces = [offsets[at : at + size] for at in range(0, len(offsets), size or 1)]
        self._bases[start:stop] = [piece[0] for piece in pieces]
        self._chunks[start:stop] = [[offset - piece[0] for offset in piece] for piece in pieces]
        self._places[start:stop] = map(len, pieces)
        self._owed[start:stop] = [0] * len(pieces)
        self._firsts[start:] = accumulate(map(len, self._chunks[start:]), initial=index)
        self._firsts.pop()  # the sum of all is no chunk's first
        self._index, self._chunk = -1, start + len(pieces) - 1

    def _seek(self, index: int) -> None:
        """Make `index` the mark from which on the next move counts, and leave every mark as it is."""
        chunk = bisect_left(self._firsts, index) - 1
        self._move_bases(chunk)
        self._index = index
        if chunk < 0:
            return
        local, place = index - self._firsts[chunk], self._places[chunk]
        self._places[chunk] = local
        if place < local:
            _add(self._chunks[chunk], place, local, self._owed[chunk])
        elif place > local:
            _add(self._chunks[chunk], local, place, -self._owed[chunk])

    def _move_bases(self, chunk: int) -> None:
        """Make the chunks behind `chunk` those to which `_delta` is owed."""
        if chunk > self._chunk:
            _add(self._bases, self._chunk + 1, chunk + 1, self._delta)
        elif chunk < self._chunk:
            _add(self._bases, chunk + 1, self._chunk + 1, -self._delta)
        self._chunk = chunk


def _add(numbers: list[int], start: int, stop: int, delta: int) -> None:
    if delta:
        numbers[start:stop] = [number + delta for number in numbers[start:stop]]
