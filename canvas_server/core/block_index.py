"""Where the top-level blocks of a text start, kept up to date edit by edit.

Most edits stay in a line, behind characters that settle what the line is, and only move offsets. Any other scans blocks
again: from one that starts before the edit, to one behind it that starts where it started before. What a block parser
makes of the text from there on is then what it made before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from canvas_server.core.block import CODE, CUT, FRESH, HEADING, RAW, WARY, Title
from canvas_server.core.block_lines import INERT, MARKERS, RAW_END, RAW_END_CHARS
from canvas_server.core.blocks import scan
from canvas_server.core.front_matter import front_matter_end, front_matter_end_after
from canvas_server.core.marks import Marks
from canvas_server.core.window import Source

# What settles what a line is.
_SETTLED: Final = re.compile(MARKERS + INERT)
_SETTLED_CODE: Final = re.compile(r"(?: {4}| {0,3}\t)[ \t]*[^ \t\n]")
_PLAIN: Final = re.compile(r"(?!\[)" + INERT)
_PLAIN_CHARS: Final = 16
_NEAR: Final = 256
_READ_AHEAD: Final = 512


class Rescanned(NamedTuple):
    """Blocks that a scan put in place of others.

    Attributes:
        first, last: they took the place of the blocks from `first` up to `last`.
        size: how many they are.
        was_starts: where headings started there before.
        headings: which of the blocks there now are headings.
        starts: where these start.
        titles: what these say.
    """

    first: int
    last: int
    size: int
    was_starts: Sequence[int]
    headings: Sequence[int]
    starts: Sequence[int]
    titles: Sequence[Title]


class BlockIndex:
    """The blocks of a text.

    Attributes:
        front_matter_end: where the text after YAML front matter starts; 0 without.
        length: of the text, in code points.
        scans: how many updates had to scan blocks.
    """

    __slots__ = (
        "_calm_block", "_calm_end", "_calm_start", "_in_raw", "_starts", "_traits", "front_matter_end", "length",
        "scans",
    )  # fmt: skip

    def __init__(self, starts: Marks, traits: bytearray, front_matter_end: int, length: int) -> None:
        self.front_matter_end = front_matter_end
        self.length = length
        self.scans = 0
        self._starts = starts
        self._traits = traits
        # Where most edits only move offsets: the line of the last edit, behind what settles what it is, or the inside
        # of a raw block. Now there is no such stretch.
        self._calm_start, self._calm_end, self._calm_block, self._in_raw = 1, 0, 0, False

    @classmethod
    def parse(cls, source: Source) -> tuple[BlockIndex, Sequence[Title]]:
        """Return the blocks of a text, and its headings."""
        start, length = front_matter_end(source), len(source)
        blocks = scan(source, start, length)
        return cls(Marks(blocks.starts), blocks.traits, start, length), blocks.titles

    def copy(self) -> BlockIndex:
        """Return an index that goes its own way from here."""
        return BlockIndex(self._starts.copy(), self._traits.copy(), self.front_matter_end, self.length)

    def headings(self) -> list[int]:
        """Return which blocks are headings."""
        return _headings(self._traits)

    def start(self, block: int) -> int:
        """Return where a block starts."""
        return self._starts[block]

    def block_at(self, offset: int) -> int:
        """Return the last block that starts at `offset` or before; -1 if none does."""
        return self._starts.bisect_right(offset) - 1

    def update(self, source: Source, start: int, removed: str, insert: str) -> Rescanned | int:
        """Take in an edit.

        Args:
            source: the text, edited already.
            start: where it was edited.
            removed: what went.
            insert: what came.

        Returns:
            The block that the edit stays in, if all blocks are as they were but for where they start.
        """
        growth = len(insert) - len(removed)
        self.length += growth
        if not self._only_moves(source, start, removed, insert):
            return self._rescan(source, start, len(removed), len(insert))
        self._calm_end = max(self._calm_end + growth, start + len(insert))
        self._starts.shift(self._calm_block + 1, growth)
        return self._calm_block

    def _only_moves(self, source: Source, start: int, removed: str, insert: str) -> bool:
        """Tell whether an edit only moves offsets; the calm stretch is then the one that it is in."""
        if self._calm_start <= start <= self._calm_end:
            if not self._in_raw:
                return _keeps_line(source, start, removed, insert)
            if start + len(removed) <= self._calm_end:
                return _keeps_raw(source, self._calm_start, start, removed, insert)
        block = self._starts.bisect_right(start) - 1
        if block < 0 or self._traits[block] & HEADING:
            return False
        if self._traits[block] & RAW:
            return self._enter_raw(source, block, start, len(insert) - len(removed)) and (
                start + len(removed) <= self._calm_end and _keeps_raw(source, self._calm_start, start, removed, insert)
            )
        if self._traits[block] & WARY:
            return False
        return _keeps_line(source, start, removed, insert) and (
            self._enter_line(source, block, start) or self._keeps_start(source, block, start, removed, insert)
        )

    def _enter_line(self, source: Source, block: int, start: int) -> bool:
        """Make the line that an edit is in the calm stretch if what is before the edit settles what the line is."""
        first = self._starts[block]
        near = max(first, start - _NEAR)
        text = source.slice(near, start)
        line = text.rfind("\n") + 1
        if not line and near > first:  # a long line
            near = source.rfind("\n", first, near) + 1 or first
            text = source.slice(near, min(start, near + _NEAR))
        pattern = _SETTLED_CODE if self._traits[block] & CODE else _SETTLED
        settled = pattern.match(text, line)
        if settled is None:
            return False
        self._calm_start, self._calm_end, self._calm_block, self._in_raw = near + settled.end(), start, block, False
        return True

    def _keeps_start(self, source: Source, block: int, start: int, removed: str, insert: str) -> bool:
        """Tell whether an edit at the start of a line of plain text leaves it one, the calm stretch then."""
        if start and source.slice(start - 1, start) != "\n":
            return False
        end = start + len(insert)
        after = source.slice(end, end + _PLAIN_CHARS)
        plain = _PLAIN.match(insert + after)
        if plain is None or not _PLAIN.match(removed + after):
            return False
        self._calm_start = start + plain.end()
        self._calm_end, self._calm_block, self._in_raw = self._calm_start - len(insert) + len(removed), block, False
        return True

    def _enter_raw(self, source: Source, block: int, start: int, growth: int) -> bool:
        """Make the inside of a raw block the calm stretch, up to what may end it, if an edit by `growth` is in it."""
        first = self._starts[block]
        line_end = source.find("\n", first, start)
        opening = source.slice(first, line_end)
        if line_end < 0 or (RAW_END.search(opening) and not opening.lstrip(" ").startswith(("`", "~"))):
            return False
        if not self.front_matter_end and source.slice(0, 3) == "---":
            return False  # an end of front matter may be written here
        is_last = block + 1 == len(self._traits)
        stop = len(source) if is_last else self._starts[block + 1] + growth
        closing = RAW_END.search(source.slice(line_end + 1, stop))
        if closing is None and not is_last:
            return False
        end = line_end + 1 + closing.start() if closing else stop
        self._calm_start, self._calm_end, self._calm_block, self._in_raw = line_end + 1, end - growth, block, True
        return start <= end - growth

    def _rescan(self, source: Source, start: int, removed: int, inserted: int) -> Rescanned:
        self.scans += 1
        self._calm_start, self._calm_end = 1, 0
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
        was_starts = [self._starts[first + index] for index in _headings(self._traits[first:last])]
        self._starts.shift(last, growth)
        self._starts.replace(first, last, blocks.starts)
        self._traits[first:last] = blocks.traits
        found = _headings(blocks.traits)
        return Rescanned(
            first,
            last,
            len(blocks.starts),
            was_starts,
            [first + index for index in found],
            [blocks.starts[index] for index in found],
            blocks.titles,
        )

    def _last_certain_block(self, source: Source, start: int) -> int:
        """Return the last block that surely starts where it does, whatever comes from `start` on; else 0."""
        block = self._starts.bisect_right(start) - 1
        if block > 0 and self._traits[block] & FRESH and source.find("\n", self._starts[block], start) >= 0:
            return block  # its first line ends before the edit
        block -= 1
        while block > 0 and not self._traits[block] & FRESH:
            block -= 1
        return max(block, 0)


def _headings(traits: bytearray) -> list[int]:
    return [index for index, trait in enumerate(traits) if trait & HEADING]


def _keeps_line(source: Source, start: int, removed: str, insert: str) -> bool:
    """Tell whether an edit behind what settles what its line is leaves all lines what they are."""
    if "\n" in insert or "\n" in removed:
        return False
    if insert and "]" not in insert and ":" not in insert:
        return True
    # "]:" may end the label of a link reference definition, which may have started lines before.
    return "]:" not in source.slice(max(start - 1, 0), start + len(insert) + 1)


def _keeps_raw(source: Source, begin: int, start: int, removed: str, insert: str) -> bool:
    """Tell whether an edit in a raw block, whose inside starts at `begin`, makes or unmakes nothing that may end it."""
    end = start + len(insert)
    before = source.slice(max(start - RAW_END_CHARS, begin), start).rpartition("\n")[2]
    after = source.slice(end, end + RAW_END_CHARS).partition("\n")[0]
    return not (RAW_END.search(before + removed + after) or RAW_END.search(before + insert + after))


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
