"""Marks: sorted offsets into a text that is being edited.

An edit moves every mark behind it. Moving them one by one would make an edit cost what the document is long, so the
move is owed: one pending shift (from which mark on, by how much) stands for all of it, and only the marks between the
last place of editing and the next one are ever written. They lie in chunks with a base each, so that even a jump
across the whole text writes some of two chunks and one number for each chunk between them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

CHUNK: Final = 64
"""Marks in a fresh chunk; one is split when it holds more than twice as many."""


class Marks:
    """Offsets in ascending order (equal ones allowed), by index, under edits.

    `shift` costs O(1) where the last one was, and elsewhere what lies between: at most two chunks and one number a
    chunk. Finding and reading are logarithmic, `replace` adds the size of a chunk and what it writes.

    `shift` and `replace` do not check the order: a caller may leave it for a moment, but not while it searches.
    """

    # A mark is `_bases[c] + _chunks[c][k]`, and `_delta` more at and behind the pending place (`_chunk`, `_local`).
    # The first number of a chunk is always 0, and so the pending place is never there: it is then at the end of the
    # chunk before, which is -1 where there is none.
    __slots__ = ("_bases", "_chunk", "_chunks", "_delta", "_firsts", "_from", "_local")

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self._bases: list[int] = []
        self._chunks: list[list[int]] = []
        self._firsts: list[int] = []  # the index of the first mark of each chunk
        self._from = 0
        self._chunk = -1
        self._local = 0
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
        mark = self._bases[chunk] + self._chunks[chunk][index - self._firsts[chunk]]
        return mark + self._delta if index >= self._from else mark

    def __iter__(self) -> Iterator[int]:
        pending = self._from
        index = 0
        for base, chunk in zip(self._bases, self._chunks, strict=True):
            for offset in chunk:
                yield base + offset + (self._delta if index >= pending else 0)
                index += 1

    def bisect_right(self, offset: int) -> int:
        """Return how many marks are at or before `offset`."""
        after = self._chunk + 1
        if after < len(self._bases) and self._bases[after] + self._delta <= offset:
            offset -= self._delta
            chunk = bisect_right(self._bases, offset, after) - 1
            return self._firsts[chunk] + bisect_right(self._chunks[chunk], offset - self._bases[chunk])
        chunk = bisect_right(self._bases, offset, 0, after) - 1
        if chunk < 0:
            return 0
        offset -= self._bases[chunk]
        marks = self._chunks[chunk]
        if chunk < self._chunk:
            return self._firsts[chunk] + bisect_right(marks, offset)
        local = self._local
        if local < len(marks) and marks[local] + self._delta <= offset:
            return self._firsts[chunk] + bisect_right(marks, offset - self._delta, local)
        return self._firsts[chunk] + bisect_right(marks, offset, 0, local)

    def bisect_left(self, offset: int) -> int:
        """Return how many marks are before `offset`."""
        return self.bisect_right(offset - 1)

    def shift(self, index: int, delta: int) -> None:
        """Move every mark from `index` (0 to the count of marks) on by `delta`."""
        if index != self._from:
            self._seek(index)
        self._delta += delta

    def replace(self, start: int, stop: int, offsets: Sequence[int]) -> None:
        """Let `offsets` take the place of the marks from index `start` to `stop`."""
        assert 0 <= start <= stop <= len(self)
        # With the pending place at `stop`, whatever goes and comes is in front of it and as it says.
        self._seek(stop)
        first = max(bisect_left(self._firsts, start) - 1, 0)
        last = max(bisect_left(self._firsts, stop) - 1, first)
        if first == last == self._chunk and self._fits(first, start, stop, len(offsets)):
            self._rewrite(first, start, stop, offsets)
        else:
            kept = self._stored(first)[: start - self._firsts[first]] if self._chunks else []
            rest = self._stored(last)[stop - self._firsts[last] :] if self._chunks else []
            self._rebuild(first, last + 1, [*kept, *offsets, *rest])
        self._from = start + len(offsets)
        self._chunk, self._local = self._place(self._from)

    def copy(self) -> Marks:
        """Return marks that can be moved without moving these."""
        twin = Marks()
        twin._bases = self._bases.copy()
        twin._chunks = [chunk.copy() for chunk in self._chunks]
        twin._firsts = self._firsts.copy()
        twin._from, twin._chunk, twin._local, twin._delta = self._from, self._chunk, self._local, self._delta
        return twin

    def _fits(self, chunk: int, start: int, stop: int, count: int) -> bool:
        """Tell whether a chunk keeps its first mark and can hold `count` others in place of `start` to `stop`."""
        return start > self._firsts[chunk] and len(self._chunks[chunk]) - (stop - start) + count <= 2 * CHUNK

    def _rewrite(self, chunk: int, start: int, stop: int, offsets: Sequence[int]) -> None:
        """Replace marks that all lie in one chunk, behind its first."""
        base, first = self._bases[chunk], self._firsts[chunk]
        self._chunks[chunk][start - first : stop - first] = [offset - base for offset in offsets]
        if growth := len(offsets) - (stop - start):
            self._firsts[chunk + 1 :] = [index + growth for index in self._firsts[chunk + 1 :]]

    def _stored(self, chunk: int) -> list[int]:
        """Return the marks of a chunk without what is pending."""
        base = self._bases[chunk]
        return [base + offset for offset in self._chunks[chunk]]

    def _rebuild(self, start: int, stop: int, offsets: list[int]) -> None:
        """Let fresh chunks with `offsets` (nothing pending in them) take the place of those from `start` to `stop`."""
        index = self._firsts[start] if start < len(self._firsts) else len(self)
        size = len(offsets) if len(offsets) <= 2 * CHUNK else CHUNK
        pieces = [offsets[at : at + size] for at in range(0, len(offsets), size or 1)]
        self._bases[start:stop] = [piece[0] for piece in pieces]
        self._chunks[start:stop] = [[offset - piece[0] for offset in piece] for piece in pieces]
        self._firsts[start:] = accumulate(map(len, self._chunks[start:]), initial=index)
        self._firsts.pop()  # the sum of all is no chunk's first

    def _place(self, index: int) -> tuple[int, int]:
        """Return the chunk and the place in it of a mark, or of the end; never the first place of a chunk."""
        chunk = bisect_left(self._firsts, index) - 1
        return (chunk, index - self._firsts[chunk]) if chunk >= 0 else (-1, 0)

    def _seek(self, index: int) -> None:
        """Move the pending place to `index`: write what lies between, so that every mark stays as it is."""
        was_chunk, was_local, delta = self._chunk, self._local, self._delta
        self._from = index
        self._chunk, self._local = chunk, local = self._place(index)
        if delta == 0:
            return
        if chunk == was_chunk:
            if local > was_local:
                _add(self._chunks[chunk], was_local, local, delta)
            elif local < was_local:
                _add(self._chunks[chunk], local, was_local, -delta)
            return
        if was_chunk >= 0:
            _add(self._chunks[was_chunk], was_local, None, delta)
        if chunk >= 0:
            _add(self._chunks[chunk], local, None, -delta)
        if chunk > was_chunk:
            _add(self._bases, was_chunk + 1, chunk + 1, delta)
        else:
            _add(self._bases, chunk + 1, was_chunk + 1, -delta)


def _add(numbers: list[int], start: int, stop: int | None, delta: int) -> None:
    numbers[start:stop] = [number + delta for number in numbers[start:stop]]
