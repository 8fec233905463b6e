"""The part of a text that was read to find blocks in it.

Rule: who asks for more than was read gets `ShortWindowError`, never an answer that more text could change.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

_REACH_MIN: Final = 512


class Source(Protocol):
    """A text that is read in parts: LF line ends, no NUL."""

    def __len__(self) -> int: ...

    def slice(self, start: int, end: int) -> str:
        """Return the text from `start` to `end`."""
        ...

    def find(self, needle: str, start: int, end: int) -> int:
        """Return where `needle` first lies between `start` and `end`, else -1."""
        ...

    def rfind(self, needle: str, start: int, end: int) -> int:
        """Return where `needle` last lies between `start` and `end`, else -1."""
        ...


class ShortWindowError(Exception):
    """What was read ends before the answer is certain."""


class Window:
    """Whole lines of a text, from a line start on.

    Args:
        source: the text.
        start: of a line.
        reach: how many characters to read at first.

    Attributes:
        base: where it starts in the text.
        text: what was read.
        whole: whether that goes to the end of the text.
    """

    def __init__(self, source: Source, start: int, reach: int) -> None:
        self._source = source
        self._reach = max(reach, _REACH_MIN)
        self._read(start)

    def move(self, place: int) -> None:
        """Let the window start at a place in it, the start of a line, and go on further than it did."""
        self._reach *= 2
        self._read(self.base + place)

    def end(self) -> int:
        """Return the end of the text as a place in the window.

        Raises:
            ShortWindowError: the window does not reach it.
        """
        if not self.whole:
            raise ShortWindowError
        return len(self.text)

    def ends_at(self, place: int) -> bool:
        """Tell whether the text ends at a place.

        Raises:
            ShortWindowError: the window ends there, the text does not.
        """
        return place == len(self.text) and place == self.end()

    def line_end(self, place: int) -> int:
        """Return the place after the line that a place is in."""
        return self.text.find("\n", place) + 1 or len(self.text)

    def skip(self, pattern: re.Pattern[str], place: int) -> int:
        """Return the place after what `pattern` matches at a place, the same place if it does not."""
        match = pattern.match(self.text, place)
        return match.end() if match else place

    def _read(self, start: int) -> None:
        size = len(self._source)
        while True:
            end = min(start + self._reach, size)
            text = self._source.slice(start, end)
            if end < size:
                text = text[: text.rfind("\n") + 1]
            if text or end == size:
                break
            self._reach *= 2
        self.base, self.text, self.whole = start, text, end == size
