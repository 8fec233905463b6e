"""The text of a canvas, in pieces, so that an edit costs the same in a small text and in a large one.

Offsets count code points. The pieces are ordinary strings of about `_PIECE` characters; where each starts is kept in
`Marks`, whose shifting is lazy. A text that holds characters beyond the Basic Multilingual Plane also keeps where each
piece starts in UTF-16, so that offsets can be converted without reading it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from canvas_server.core.marks import Marks
from canvas_server.core.splice import Span, Splice, utf16_length

_PIECE = 2048


class Text:
    """A mutable string for edits at any place; `str(text)` is the whole, kept until the next edit."""

    # `_start` is where the piece `_index` starts, which was edited last: the next edit is mostly in it too.
    __slots__ = (
        "_index", "_length", "_pieces", "_size_bytes", "_start", "_starts", "_starts16", "_whole", "_wide_count",
    )  # fmt: skip

    def __init__(self, content: str = "") -> None:
        self._pieces = _cut(content) or [""]
        self._starts = Marks(_starts(map(len, self._pieces)))
        self._starts16 = self._starts
        self._index = self._start = 0
        self._length = len(content)
        self._size_bytes = utf8_length(content)
        self._whole: str | None = content
        self._wide_count = utf16_length(content) - len(content)
        self._settle_units()

    def copy(self) -> Text:
        """Return a text that goes its own way from here."""
        return Text(str(self))

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        if self._whole is None:
            self._whole = "".join(self._pieces)
        return self._whole

    @property
    def size_bytes(self) -> int:
        """How many bytes the text takes in UTF-8."""
        return self._size_bytes

    @property
    def is_wide(self) -> bool:
        """Whether UTF-16 offsets differ from code point offsets anywhere in the text."""
        return self._wide_count > 0

    @property
    def utf16_length(self) -> int:
        """How many UTF-16 code units the text takes."""
        return self._length + self._wide_count

    def slice(self, start: int, end: int) -> str:
        """Return the text from `start` to `end`."""
        if start >= end:
            return ""
        first = self._start
        piece = self._pieces[self._index]
        if first <= start and end - first <= len(piece):
            return piece[start - first : end - first]
        index = self._starts.bisect_right(start) - 1
        first = self._starts[index]
        piece = self._pieces[index]
        if end - first <= len(piece):
            return piece[start - first : end - first]
        last = self._starts.bisect_right(end - 1) - 1
        parts = self._pieces[index : last + 1]
        parts[0] = parts[0][start - first :]
        parts[-1] = parts[-1][: end - self._starts[last]]
        return "".join(parts)

    def find(self, needle: str, start: int, end: int) -> int:
        """Return where `needle` stands first, wholly between `start` and `end`; -1 if nowhere."""
        step = _PIECE
        while start < end:
            stop = min(end, start + step)
            found = self.slice(start, stop).find(needle)
            if found >= 0:
                return start + found
            if stop == end:
                return -1
            start = stop - len(needle) + 1
            step *= 2
        return -1

    def rfind(self, needle: str, start: int, end: int) -> int:
        """Return where `needle` stands last, wholly between `start` and `end`; -1 if nowhere."""
        step = 256
        while start < end:
            first = max(start, end - step)
            found = self.slice(first, end).rfind(needle)
            if found >= 0:
                return first + found
            if first == start:
                return -1
            end = first + len(needle) - 1
            step *= 2
        return -1

    def splice(self, start: int, end: int, insert: str) -> str:
        """Replace the text from `start` to `end` and return what was there."""
        assert 0 <= start <= end <= self._length
        index, first = self._index, self._start
        piece = self._pieces[index]
        if start < first or end - first > len(piece):
            index = self._starts.bisect_right(start) - 1
            first = self._starts[index]
            piece = self._pieces[index]
            if end - first > len(piece):
                return self._splice_many(index, start, end, insert)
            self._index, self._start = index, first
        removed = piece[start - first : end - first]
        piece = piece[: start - first] + insert + piece[end - first :]
        if not 0 < len(piece) <= 2 * _PIECE:
            self._put(index, index + 1, _cut(piece), removed, insert)
            return removed
        self._pieces[index] = piece
        self._shift(index + 1, removed, insert)
        return removed

    def undo(self, spans: Sequence[Span], removed: Sequence[str]) -> None:
        """Take changes back that were the last to be made; `removed` is what each of them took away."""
        for span, gone in zip(reversed(spans), reversed(removed), strict=True):
            self.splice(span.start, span.stop, gone)

    def to_utf16(self, offset: int) -> int:
        """Return a code point offset in UTF-16 code units."""
        if not self._wide_count:
            return offset
        index = self._starts.bisect_right(offset) - 1
        return self._starts16[index] + utf16_length(self._pieces[index][: offset - self._starts[index]])

    def from_utf16(self, offset: int) -> int | None:
        """Return an offset in UTF-16 code units in code points; None when it falls inside a surrogate pair.

        `offset` is at most `utf16_length`.
        """
        if not self._wide_count:
            return offset
        index = self._starts16.bisect_right(offset) - 1
        head = self._pieces[index].encode("utf-16-le")[: 2 * (offset - self._starts16[index])]
        if head and 0xD8 <= head[-1] <= 0xDB:
            return None
        return self._starts[index] + len(head.decode("utf-16-le"))

    def _splice_many(self, index: int, start: int, end: int, insert: str) -> str:
        """Splice over several pieces, of which `index` is the first."""
        last = self._starts.bisect_right(end - 1)
        first = self._starts[index]
        joined = "".join(self._pieces[index:last])
        removed = joined[start - first : end - first]
        self._put(index, last, _cut(joined[: start - first] + insert + joined[end - first :]), removed, insert)
        return removed

    def _put(self, index: int, stop: int, pieces: list[str], removed: str, insert: str) -> None:
        """Let `pieces` take the place of those from `index` to `stop`."""
        pieces = pieces or ([""] if stop - index == len(self._pieces) else [])
        first, first16 = self._starts[index], self._starts16[index]
        self._pieces[index:stop] = pieces
        self._index = self._start = 0
        self._starts.replace(index, stop, _starts(map(len, pieces), first))
        if self._starts16 is not self._starts:
            self._starts16.replace(index, stop, _starts(map(utf16_length, pieces), first16))
        self._shift(index + len(pieces), removed, insert)

    def _shift(self, index: int, removed: str, insert: str) -> None:
        """Take account of a change of which `index` is the first piece behind."""
        self._whole = None
        growth = len(insert) - len(removed)
        self._length += growth
        self._starts.shift(index, growth)
        if not self._wide_count and insert.isascii() and removed.isascii():
            self._size_bytes += growth
            return
        self._size_bytes += utf8_length(insert) - utf8_length(removed)
        growth16 = utf16_length(insert) - utf16_length(removed)
        was_wide, self._wide_count = self._wide_count, self._wide_count + growth16 - growth
        if bool(was_wide) != bool(self._wide_count):
            self._settle_units()
        elif was_wide:
            self._starts16.shift(index, growth16)

    def _settle_units(self) -> None:
        """Start or stop to count UTF-16 apart."""
        self._starts16 = Marks(_starts(map(utf16_length, self._pieces))) if self._wide_count else self._starts


def widened_span(text: Text, splice: Splice) -> Span:
    """Return where a splice of the text as it is acts, in UTF-16 code units."""
    start, end = text.to_utf16(splice.start), text.to_utf16(splice.end)
    return Span(start, end, start - end + utf16_length(splice.insert))


def utf8_length(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _cut(content: str) -> list[str]:
    return [content[at : at + _PIECE] for at in range(0, len(content), _PIECE)]


def _starts(lengths: Iterable[int], first: int = 0) -> list[int]:
    """Return where pieces of those lengths start, the first one at `first`."""
    starts = list(accumulate(lengths, initial=first))
    starts.pop()
    return starts
