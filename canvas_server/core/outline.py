"""The outline of a canvas: its top-level headings, kept up to date edit by edit.

The headings are those that CommonMark finds outside lists, quotes, code, HTML blocks and YAML front matter. They cut
the text into segments: segment 0 is what comes before the first heading, segment i + 1 goes from heading i up to the
next heading of any level.

An edit costs what it touches, not what the document is long. Most edits stay in a line, behind characters that settle
what the line is, and only move offsets. Any other scans blocks again: from one that starts before the edit, to one
behind it that starts where it started before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from canvas_server.core.block_rules import Title
from canvas_server.core.blocks import INERT, Source, scan
from canvas_server.core.front_matter import front_matter_end
from canvas_server.core.heading_tree import HeadingTree
from canvas_server.core.marks import Marks

V = TypeVar("V")

# What settles a line: indentation, markers of quotes and list items, and one character that is no marker.
_SETTLED: Final = re.compile(rf"(?:[ \t]|[-+*][ \t]|[0-9]{{1,9}}[.)][ \t]|>)*+{INERT}")
_SETTLED_CHARS_MAX: Final = 64
_READ_AHEAD: Final = 512


class Heading(NamedTuple):
    """A heading, where it is now.

    Attributes:
        start: of its first line.
        body_start: after the newline that ends it (of a setext heading: its underline).
        level: 1 to 6.
        title: its raw source, space around it and closing `#`s stripped, inner white space collapsed.
    """

    start: int
    body_start: int
    level: int
    title: str


class _Segment(NamedTuple):
    start: int
    end: int
    title: Title | None


class Outline(Generic[V]):
    """Headings in order, and for each segment the value that came with the last edit that changed it.

    Attributes:
        changed: one value a segment, so one more than there are headings.
        front_matter_end: where the text after YAML front matter starts; 0 without.
        scans: how many updates had to scan blocks.
    """

    def __init__(self, source: Source, changed: V) -> None:
        self.front_matter_end = front_matter_end(source)
        blocks, _stopped = scan(source, self.front_matter_end, len(source), after_blank=True, stop=None)
        self.changed = [changed] * (len(blocks.titles) + 1)
        self.scans = 0
        self._length = len(source)
        self._starts = Marks(blocks.starts)
        self._traits = blocks.traits
        self._heads = Marks(start for start, _title in blocks.titles)
        self._titles: Sequence[Title] = [title for _start, title in blocks.titles]
        self._tree = HeadingTree(self._titles)
        self._leave_line()

    @classmethod
    def parse(cls, source: Source, changed: V) -> Outline[V]:
        """Return the outline of a text whose segments all changed last with `changed`."""
        return cls(source, changed)

    def copy(self) -> Outline[V]:
        """Return an outline that goes its own way from here."""
        twin: Outline[V] = Outline.__new__(Outline)
        vars(twin).update(vars(self))
        twin.changed = self.changed.copy()
        twin._starts = self._starts.copy()
        twin._traits = self._traits.copy()
        twin._heads = self._heads.copy()
        return twin

    def __len__(self) -> int:
        return len(self._titles)

    def heading(self, index: int) -> Heading:
        """Return heading `index`, counted from 0."""
        title = self._titles[index]
        start = self._heads[index]
        return Heading(start, start + title.length, title.level, title.text)

    def headings(self) -> list[Heading]:
        """Return all headings in order."""
        placed = zip(self._heads, self._titles, strict=True)
        return [Heading(start, start + title.length, title.level, title.text) for start, title in placed]

    def own_end(self, index: int) -> int:
        """Return where the segment of heading `index` ends: at the next heading, or at the end of the text."""
        return self._heads[index + 1] if index + 1 < len(self._titles) else self._length

    def section_end(self, index: int) -> int:
        """Return where the section of heading `index` ends: at the next heading of the same or a higher level."""
        return self.own_end(self._tree.next_of_rank(index) - 1)

    def path(self, index: int) -> tuple[str, ...]:
        """Return the titles of heading `index` and of the headings above it, outermost first."""
        return self._tree.path(index)

    def id(self, index: int) -> str:
        """Return the id of heading `index`, as GitHub makes them for links; unique in the outline."""
        return self._tree.ids[index]

    def ids(self) -> Sequence[str]:
        """Return the ids of all headings in order."""
        return self._tree.ids

    def index_of_id(self, name: str) -> int | None:
        """Return the index of the heading whose id is `name`."""
        return self._tree.index_of_id.get(name)

    def indices_of_title(self, title: str) -> Sequence[int]:
        """Return the indices of the headings with exactly this title, in order."""
        return self._tree.indices_of_title.get(title, ())

    def segment_at(self, offset: int) -> int:
        """Return the segment that holds the character at `offset`."""
        return self._heads.bisect_right(offset)

    def touched(self, start: int, removed: int, insert: str) -> range:
        """Return the segments that an edit would touch, as far as the text it meets need not be read.

        An edit that makes or unmakes headings touches more: what `update` gives another `changed`.

        Args:
            start: where the edit is.
            removed: how many characters go.
            insert: what comes.
        """
        end = start + removed
        first = self._heads.bisect_right(start) if removed else self._heads.bisect_left(start)
        last = self._heads.bisect_left(end)
        if insert and not insert.endswith("\n") and last < len(self._titles) and self._heads[last] == end:
            last += 1  # the heading there gets something before it on its line
        return range(min(first, last), last + 1)

    def update(self, source: Source, start: int, removed: str, insert: str, changed: V) -> None:
        """Take in an edit.

        Args:
            source: the text, edited already.
            start: where it was edited.
            removed: what went.
            insert: what came.
            changed: for every segment that the edit touched. At the border of two, an insertion touches the first, and
                the second if it changes the heading.
        """
        growth = len(insert) - len(removed)
        if self._stays_in_line(source, start, removed, insert):
            self._line_end = max(self._line_end + growth, start + len(insert))
            self._starts.shift(self._line_block + 1, growth)
            self._heads.shift(self._line_segment, growth)
            self.changed[self._line_segment] = changed
        elif removed or insert:
            self._leave_line()
            self._rescan(source, start, len(removed), len(insert), changed)
        self._length += growth

    def _stays_in_line(self, source: Source, start: int, removed: str, insert: str) -> bool:
        """Tell whether an edit can move nothing but offsets; the line it is in is the current one then."""
        if "\n" in insert or "\n" in removed:
            return False
        if (removed or "]" in insert or ":" in insert) and "]:" in source.slice(
            max(start - 1, 0), start + len(insert) + 1
        ):
            return False  # this may be, or end, the label of a link reference definition
        return self._line_start <= start <= self._line_end or self._enter_line(source, start)

    def _enter_line(self, source: Source, start: int) -> bool:
        """Make the line that an edit is in the current one, if what is before the edit settles what the line is."""
        block = self._starts.bisect_right(start) - 1
        if block < 0 or self._traits[block] & (HEADING | WARY):
            return False
        first = self._starts[block]
        line = source.rfind("\n", first, start) + 1 or first
        settled = _SETTLED.match(source.slice(line, min(start, line + _SETTLED_CHARS_MAX)))
        if settled is None:
            return False
        self._line_start = line + settled.end()
        self._line_end = start
        self._line_block = block
        self._line_segment = self._heads.bisect_left(start)
        return True

    def _leave_line(self) -> None:
        # From `_line_start` to `_line_end` an edit without newlines stays in one line and is settled.
        self._line_start, self._line_end = 1, 0
        self._line_block = self._line_segment = 0

    def _rescan(self, source: Source, start: int, removed: int, inserted: int, changed: V) -> None:
        """Scan the blocks around an edit again."""
        self.scans += 1
        growth = inserted - removed
        front = front_matter_end_after(source, start, inserted, self.front_matter_end)
        first = self._last_block_before(source, start) if front == self.front_matter_end else 0
        self.front_matter_end = front
        begin = self._starts[first] if first else front
        last = self._starts.bisect_left(start + removed)

        def starts_as_before(at: int, after_blank: bool) -> bool:
            nonlocal last
            while last < len(self._traits) and self._starts[last] + growth < at:
                last += 1
            if last == len(self._traits) or self._starts[last] + growth != at:
                return False
            traits = self._traits[last]
            return bool(traits & FRESH) and bool(traits & AFTER_BLANK) == after_blank

        after_blank = not first or bool(self._traits[first] & AFTER_BLANK)
        reach = start + inserted - begin + _READ_AHEAD
        blocks, met = scan(source, begin, reach, after_blank=after_blank, stop=starts_as_before)
        if not met:
            last = len(self._traits)
        behind = self._starts[last] if met else self._length
        edit = _Edit(start, removed, inserted)
        self._replace_headings(self._heads.bisect_left(begin if first else 0), behind, blocks.titles, edit, changed)
        self._starts.shift(last, growth)
        self._starts.replace(first, last, blocks.starts)
        self._traits[first:last] = blocks.traits

    def _last_block_before(self, source: Source, start: int) -> int:
        """Return the last block that is sure to start where it does whatever happens from `start` on; else the first."""
        block = self._starts.bisect_right(start) - 1
        if block > 0 and self._traits[block] & FRESH and source.find("\n", self._starts[block], start) >= 0:
            return block  # its first line ends before the edit
        block -= 1
        while block > 0 and not self._traits[block] & FRESH:
            block -= 1
        return max(block, 0)
