"""The outline of a canvas: its top-level headings, kept up to date edit by edit.

The headings are those that CommonMark finds outside lists, quotes, code, HTML blocks and YAML front matter. They cut
the text into segments: segment 0 is what comes before the first heading, segment i + 1 goes from heading i up to the
next heading of any level. An edit costs what it touches, not what the document is long.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from canvas_server.core.block import Title
from canvas_server.core.block_index import BlockIndex, Rescanned
from canvas_server.core.heading_tree import HeadingTree
from canvas_server.core.window import Source

V = TypeVar("V")

_Head: TypeAlias = tuple[int, Title | None]
"""Where a segment starts, and its heading: segment 0 has none."""


class _Edit(NamedTuple):
    """Where a text was edited, and how many characters went and came."""

    start: int
    removed: int
    inserted: int


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


class Outline(Generic[V]):
    """Headings in order, and for each segment the value that came with the last edit that changed it.

    Attributes:
        changed: one value a segment, so one more than there are headings.
    """

    def __init__(self, source: Source, changed: V) -> None:
        self._blocks, titles = BlockIndex.parse(source)
        # The block of each heading: only what changes the structure of the text changes these.
        self._heads = self._blocks.headings()
        # Never changed, but replaced: the tree and copies of the outline hold it too.
        self._titles: Sequence[Title] = titles
        self._tree = HeadingTree(self._titles)
        self.changed = [changed] * (len(titles) + 1)

    @classmethod
    def parse(cls, source: Source, changed: V) -> Outline[V]:
        """Return the outline of a text whose segments all changed last with `changed`."""
        return cls(source, changed)

    def copy(self) -> Outline[V]:
        """Return an outline that goes its own way from here."""
        twin: Outline[V] = Outline.__new__(Outline)
        twin._blocks = self._blocks.copy()
        twin._heads = self._heads.copy()
        twin._titles = self._titles
        twin._tree = self._tree
        twin.changed = self.changed.copy()
        return twin

    @property
    def front_matter_end(self) -> int:
        """Where the text after YAML front matter starts; 0 without."""
        return self._blocks.front_matter_end

    @property
    def scans(self) -> int:
        """How many updates of this outline had to scan blocks."""
        return self._blocks.scans

    def __len__(self) -> int:
        return len(self._titles)

    def heading(self, index: int) -> Heading:
        """Return heading `index`, counted from 0."""
        title = self._titles[index]
        start = self._blocks.start(self._heads[index])
        return Heading(start, start + title.length, title.level, title.text)

    def headings(self) -> list[Heading]:
        """Return all headings in order."""
        placed = zip(map(self._blocks.start, self._heads), self._titles, strict=True)
        return [Heading(start, start + title.length, title.level, title.text) for start, title in placed]

    def own_end(self, index: int) -> int:
        """Return where the segment of heading `index` ends: at the next heading, or at the end of the text."""
        return self._head_start(index + 1)

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
        return bisect_right(self._heads, self._blocks.block_at(offset))

    def touched(self, start: int, removed: int, insert: str) -> range:
        """Return the segments that an edit would touch, as far as the text it meets need not be read.

        An edit that makes or unmakes headings touches more: what `update` gives another `changed`.

        Args:
            start: where the edit is.
            removed: how many characters go.
            insert: what comes.
        """
        end = start + removed
        first = self.segment_at(start if removed else start - 1)
        last = self.segment_at(end - 1)
        if insert and not insert.endswith("\n") and last < len(self._titles) and self._head_start(last) == end:
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
        if not (removed or insert):
            return
        touched = self._blocks.update(source, start, removed, insert)
        if isinstance(touched, int):
            self.changed[bisect_right(self._heads, touched)] = changed
        else:
            self._replace(touched, _Edit(start, len(removed), len(insert)), changed)

    def _replace(self, rescanned: Rescanned, edit: _Edit, changed: V) -> None:
        """Let the headings that a scan found take the place of those that were there."""
        growth = edit.inserted - edit.removed
        first, last = bisect_left(self._heads, rescanned.first), bisect_left(self._heads, rescanned.last)
        begin: _Head = (self._head_start(first - 1), self._titles[first - 1]) if first else (0, None)
        was = [begin, *zip(rescanned.was_starts, self._titles[first:last], strict=True)]
        now = [begin, *zip(rescanned.starts, rescanned.titles, strict=True)]
        grown = rescanned.size - (rescanned.last - rescanned.first)
        self._heads[first:] = [*rescanned.headings, *(head + grown for head in self._heads[last:])]
        end = self._head_start(first + len(rescanned.headings)) - growth
        known = dict(zip(was, zip(_ends(was, end), self.changed[first : last + 1], strict=True), strict=True))
        values = [
            _carried(known, head, end, edit, changed) for head, end in zip(now, _ends(now, end + growth), strict=True)
        ]
        if not edit.removed:
            values[bisect_left(rescanned.starts, edit.start)] = changed
        self.changed[first : last + 1] = values
        if rescanned.titles != self._titles[first:last]:
            self._titles = [*self._titles[:first], *rescanned.titles, *self._titles[last:]]
            self._tree = HeadingTree(self._titles)

    def _head_start(self, index: int) -> int:
        """Return where heading `index` starts, or the text ends if it is the one after the last."""
        return self._blocks.start(self._heads[index]) if index < len(self._heads) else self._blocks.length


def _ends(segments: Sequence[_Head], end: int) -> list[int]:
    """Return where each of the segments ends, the last at `end`."""
    return [*(start for start, _title in segments[1:]), end]


def _carried(known: Mapping[_Head, tuple[int, V]], head: _Head, end: int, edit: _Edit, changed: V) -> V:
    """Return the value of a segment: the old one if it stands wholly before or behind the edit and is as it was."""
    start, title = head
    if end > edit.start:
        if start < edit.start + edit.inserted:
            return changed
        growth = edit.inserted - edit.removed
        start, end = start - growth, end - growth
    was_end, value = known.get((start, title), (-1, changed))
    return value if was_end == end else changed
