"""Where the top-level blocks of a text start, kept up to date edit by edit.

Most edits stay in a line, behind characters that settle what the line is, and only move offsets. Any other scans blocks
again: from one that starts before the edit, to one behind it that starts where it started before. What a block parser
makes of the text from there on is then what it made before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from canvas_server.core.block import CUT, FRESH, HEADING, WARY, Title
from canvas_server.core.block_lines import INERT, MARKERS
from canvas_server.core.blocks import scan
from canvas_server.core.front_matter import front_matter_end, front_matter_end_after
from canvas_server.core.marks import Marks
from canvas_server.core.window import Source

# What settles what a line is.
_SETTLED: Final = re.compile(MARKERS + INERT)
_SETTLED_CHARS_MAX: Final = 64
_READ_AHEAD: Final = 512


class Rescanned(NamedTuple):
    """A stretch of text whose blocks were scanned again.

    Attributes:
        start: in the text before the edit and after it.
        end: in the text before the edit.
        titles: the headings there now, and where they start now.
    """

    start: int
    end: int
    titles: Sequence[tuple[int, Title]]


class BlockIndex:
    """The blocks of a text.

    Attributes:
        front_matter_end: where the text after YAML front matter starts; 0 without.
        length: of the text, in code points.
        scans: how many updates had to scan blocks.
    """

    __slots__ = ("_line_block", "_line_end", "_line_start", "_starts", "_traits", "front_matter_end", "length", "scans")

    def __init__(self, starts: Marks, traits: bytearray, front_matter_end: int, length: int) -> None:
        self.front_matter_end = front_matter_end
        self.length = length
        self.scans = 0
        self._starts = starts
        self._traits = traits
        # An edit from `_line_start` to `_line_end` is in the current line, behind what settles it. Now there is none.
        self._line_start, self._line_end, self._line_block = 1, 0, 0

    @classmethod
    def parse(cls, source: Source) -> tuple[BlockIndex, Sequence[tuple[int, Title]]]:
        """Return the blocks of a text, and its headings with where they start."""
        start, length = front_matter_end(source), len(source)
        blocks = scan(source, start, length)
        return cls(Marks(blocks.starts), blocks.traits, start, length), blocks.titles

    def copy(self) -> BlockIndex:
        """Return an index that goes its own way from here."""
        return BlockIndex(self._starts.copy(), self._traits.copy(), self.front_matter_end, self.length)

    def update(self, source: Source, start: int, removed: str, insert: str) -> Rescanned | None:
        """Take in an edit.

        Args:
            source: the text, edited already.
            start: where it was edited.
            removed: what went.
            insert: what came.

        Returns:
            None if all headings are as they were, but for where they start.
        """
        growth = len(insert) - len(removed)
        rescanned = None
        if self._stays_in_line(source, start, removed, insert):
            self._line_end = max(self._line_end + growth, start + len(insert))
            self._starts.shift(self._line_block + 1, growth)
        else:
            rescanned = self._rescan(source, start, len(removed), len(insert))
        self.length += growth
        return rescanned

    def _stays_in_line(self, source: Source, start: int, removed: str, insert: str) -> bool:
        """Tell whether an edit only moves offsets, and make the line that it is in the current one."""
        if "\n" in insert or "\n" in removed:
            return False
        # "]:" may end the label of a link reference definition, which may have started lines before.
        if (removed or "]" in insert or ":" in insert) and "]:" in source.slice(
            max(start - 1, 0), start + len(insert) + 1
        ):
            return False
        return self._line_start <= start <= self._line_end or self._enter_line(source, start)

    def _enter_line(self, source: Source, start: int) -> bool:
        """Make the line that an edit is in the current one if what is before the edit settles what the line is."""
        block = self._starts.bisect_right(start) - 1
        if block < 0 or self._traits[block] & (HEADING | WARY):
            return False
        first = self._starts[block]
        line = source.rfind("\n", first, start) + 1 or first
        settled = _SETTLED.match(source.slice(line, min(start, line + _SETTLED_CHARS_MAX)))
        if settled is None:
            return False
        self._line_start, self._line_end, self._line_block = line + settled.end(), start, block
        return True

    def _rescan(self, source: Source, start: int, removed: int, inserted: int) -> Rescanned:
        self.scans += 1
        self._line_start, self._line_end = 1, 0
        growth = inserted - removed
        front = front_matter_end_after(source, start, inserted, self.front_matter_end)
        first = self._last_certain_block(source, start) if front == self.front_matter_end else 0
        begin = self._starts[first] if first else front
        self.front_matter_end = front
        known = _Known(self._starts, self._traits, self._starts.bisect_left(start + removed), growth)
        cut = not first or bool(self._traits[first] & CUT)
        reach = start + inserted - begin + _READ_AHEAD
        blocks = scan(source, begin, reach, cut=cut, stop=known.starts_as_before)
        last = known.index if blocks.met else len(self._traits)
        end = self._starts[last] if blocks.met else self.length
        self._starts.shift(last, growth)
        self._starts.replace(first, last, blocks.starts)
        self._traits[first:last] = blocks.traits
        return Rescanned(begin if first else 0, end, blocks.titles)

    def _last_certain_block(self, source: Source, start: int) -> int:
        """Return the last block that surely starts where it does, whatever comes from `start` on; else 0."""
        block = self._starts.bisect_right(start) - 1
        if block > 0 and self._traits[block] & FRESH and source.find("\n", self._starts[block], start) >= 0:
            return block  # its first line ends before the edit
        block -= 1
        while block > 0 and not self._traits[block] & FRESH:
            block -= 1
        return max(block, 0)


class _Known:
    """The blocks behind an edit, to be met again by a scan.

    Args:
        starts: of the blocks, before the edit.
        traits: of the blocks, before the edit.
        index: of the first block behind the edit.
        growth: by how much the text got longer.
    """

    def __init__(self, starts: Marks, traits: bytearray, index: int, growth: int) -> None:
        self.index = index
        self._starts = starts
        self._traits = traits
        self._growth = growth

    def starts_as_before(self, at: int, cut: bool) -> bool:
        """Tell whether `at` is the start of a known block that owes nothing to what is before it."""
        while self.index < len(self._traits) and self._starts[self.index] + self._growth < at:
            self.index += 1
        if self.index == len(self._traits) or self._starts[self.index] + self._growth != at:
            return False
        traits = self._traits[self.index]
        return bool(traits & FRESH) and bool(traits & CUT) == cut
