"""The top-level blocks of a Markdown text: where each starts, and the headings among them.

A block parser is a loop without memory: what it makes of the text from a block's first line on depends on nothing
before that line. So a scan can begin at any block, and end where a block that is known already starts again. The same
is true of an item of a top-level list, so here each is a block of its own.

markdown-it-py is the authority. Blocks whose end can be told from how their lines begin (most of what people write)
are measured here; any other is left to markdown-it-py's own rules. What measures must be certain: it may leave a block
to the rules, but never differ from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from canvas_server.core import block_lines as lines
from canvas_server.core.block_rules import Chunk, Title, collapse, html_block

HEADING: Final = 1
"""The block is a heading."""
SEALED: Final = 2
"""No rule for what comes before looks further than the block's first line: ATX heading, fence, thematic break."""
CUT: Final = 4
"""Nor does any here because of what comes before: a blank line, nothing, or a block that was measured."""
WARY: Final = 8
"""Text in the middle of a line may decide where blocks end: HTML blocks, link reference definitions."""
FRESH: Final = SEALED | CUT
"""One of these: the block starts where it does as long as its first line and all before it stay as they are."""

_STEP: Final = 4096
_REACH_MIN: Final = 512
_LEFT: Final = -1


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


class Blocks(NamedTuple):
    """Top-level blocks in order; a link reference definition is one of them, and an item of a list.

    Attributes:
        starts: where the first line of each starts.
        traits: what is to be known of each: `HEADING`, `SEALED`, `CUT`, `WARY`.
        titles: of each heading, where it starts and what it says.
    """

    starts: list[int]
    traits: bytearray
    titles: list[tuple[int, Title]]


Stop: TypeAlias = Callable[[int, bool], bool]
"""Asked before each block with its start and whether it is cut off from what comes before: may the scan end here?"""


def scan(source: Source, start: int, reach: int, *, cut: bool, stop: Stop | None) -> tuple[Blocks, bool]:
    """Find the blocks from `start` on.

    Args:
        source: the text.
        start: where a fresh block starts, or the text after front matter.
        reach: how many characters to read at first; more are read when they are needed.
        cut: whether the block at `start` has the trait `CUT`.
        stop: None scans to the end of the text.

    Returns:
        The blocks, and whether `stop` ended the scan.
    """
    scanner = _Scanner(source, start, reach)
    return scanner.blocks, scanner.run(cut, stop)


class _ShortError(Exception):
    """The text read so far ends before it is certain where a block ends."""


class _Scanner:
    """Reads a text block by block.

    A measuring method gets the place of a block in the text read so far. It adds the block and returns where it ends,
    or adds nothing and returns `_LEFT`: only the rules can tell.
    """

    def __init__(self, source: Source, start: int, reach: int) -> None:
        self.blocks = Blocks([], bytearray(), [])
        self._source = source
        self._reach = max(reach, _REACH_MIN)
        self._closed = True
        self._cut = True
        self._read(start)

    def run(self, cut: bool, stop: Stop | None) -> bool:
        at = 0
        while True:
            begin = _skip(lines.BLANK_LINES, self._text, at)
            cut = cut or begin > at
            if lines.NOTHING.match(self._text, begin):
                if self._whole:
                    return False
                at = self._read(self._base + begin)
            elif stop is not None and stop(self._base + begin, cut):
                return True
            else:
                self._cut = cut
                at = self._take(begin)
                cut = self._closed

    def _read(self, start: int) -> int:
        """Read whole lines from `start` on and return the place of `start` among them."""
        size = len(self._source)
        text = ""
        while not text:
            end = min(start + self._reach, size)
            text = self._source.slice(start, end)
            if end == size:
                break
            text = text[: text.rfind("\n") + 1]
            self._reach *= 2
        self._base, self._text, self._whole = start, text, end == size
        self._chunk: Chunk | None = None
        self._chunk_end = 0
        self._chunk_at_item = False
        return 0

    def _take(self, at: int) -> int:
        """Add the block at `at` and return where it ends."""
        while True:
            self._closed = True
            try:
                end = self._measure(at)
                return self._apply_rules(at) if end == _LEFT else end
            except _ShortError:
                at = self._read(self._base + at)

    def _measure(self, at: int) -> int:
        opening = lines.OPENING.match(self._text, at)
        assert opening is not None
        match opening.lastgroup:
            case "code":
                return self._measure_code(at)
            case "heading":
                return self._measure_heading(at, opening.end())
            case "fence":
                return self._measure_fence(at, opening.end())
            case "rule":
                return self._add(at, opening.end(), SEALED)
            case "quote":
                return self._measure_quote(at)
            case "item":
                return self._measure_item(at)
            case "bracket":
                return self._measure_bracket(at)
            case "tag":
                return self._measure_html(at, opening.end() - 1)
            case _:
                return self._measure_text(at)

    def _measure_heading(self, at: int, inside: int) -> int:
        end = self._line_end(inside)
        level = self._text.count("#", at, inside)
        content = self._text[inside:end].rstrip(" \t\n")
        # Closing hashes stand apart; the space after the opening ones, which is behind us, will do.
        shorter = content.rstrip("#")
        if not shorter or shorter[-1] in " \t":
            content = shorter
        return self._add(at, end, HEADING | SEALED, Title(collapse(content), level, end - at))

    def _measure_code(self, at: int) -> int:
        end = _skip(lines.CODE_LINES, self._text, at)
        self._ends_at(end)
        return self._add(at, end, 0)

    def _measure_fence(self, at: int, inside: int) -> int:
        text = self._text
        run = text[at:inside].lstrip(" ")
        place = self._line_end(inside)
        while (place := text.find(run, place)) >= 0:
            closing = lines.FENCE_END.match(text, text.rfind("\n", 0, place) + 1)
            if closing and closing["run"].startswith(run):
                return self._add(at, closing.end(), SEALED)
            place = self._line_end(place)
        return self._add(at, self._text_end(), SEALED)

    def _measure_html(self, at: int, tag: int) -> int:
        html = html_block(self._text[tag : self._line_end(tag)].rstrip("\n"))
        if html is None:
            return self._measure_text(at)
        if html.closing is None:
            end = _skip(lines.NON_BLANK_LINES, self._text, at)
            self._ends_at(end)
        else:
            closing = html.closing.search(self._text, tag)
            end = self._line_end(closing.end()) if closing else self._text_end()
        return self._add(at, end, WARY)

    def _measure_text(self, at: int) -> int:
        text = self._text
        end = self._line_end(at)
        while True:
            end = _skip(lines.INERT_LINES, text, end)
            if self._ends_at(end) or lines.BLANK_LINE.match(text, end):
                break
            if underline := lines.UNDERLINE.match(text, end):
                level = 1 if "=" in underline[0] else 2
                return self._add(
                    at, underline.end(), HEADING, Title(collapse(text[at:end]), level, underline.end() - at)
                )
            if lines.ENDS_TEXT.match(text, end) or self._is_html(end):
                break
            end = self._line_end(end)
        return self._add(at, end, 0 if self._closed else self._wariness(at, end))

    def _measure_bracket(self, at: int) -> int:
        """Measure what may be a link reference definition."""
        text = self._text
        if definition := lines.PLAIN_DEFINITION.match(text, at):
            end = definition.end()
            if definition["title"] or self._ends_at(end) or not lines.MAYBE_TITLE.match(text, end):
                return self._add(at, end, WARY)
            return _LEFT
        self._closed = False
        stop = text.find("\n\n", at, at + _STEP)
        if stop < 0 and self._whole and len(text) <= at + _STEP:
            stop = len(text)
        if stop < 0 or text.find("]:", at, stop) >= 0:
            return _LEFT
        return self._measure_text(at)

    def _measure_quote(self, at: int) -> int:
        text = self._text
        end = _skip(lines.QUOTE_LINES, text, at)
        last = text.rfind("\n", at, end - 1) + 1 or at
        if self._ends_quote(end) or lines.EMPTY_QUOTE_LINE.match(text, last):
            return self._add(at, end, self._wariness(at, end))
        end = _skip(lines.QUOTED_TEXT, text, at)
        if end > at and self._ends_quote(end):
            return self._add(at, end, self._wariness(at, end))
        return _LEFT

    def _ends_quote(self, end: int) -> bool:
        if self._ends_at(end) or lines.BLANK_LINE.match(self._text, end):
            return True
        return lines.ENDS_QUOTE.match(self._text, end) is not None or self._is_html(end)

    def _measure_item(self, at: int) -> int:
        text = self._text
        item = lines.PLAIN_ITEM.match(text, at)
        if item is None:
            return _LEFT
        end = _skip(lines.INERT_LINES, text, item.end()) if item["text"] else item.end()
        end = _skip(lines.indented_lines(len(item["head"])), text, end)
        if not self._ends_item(end) or lines.DEEP_LINE.search(text, at, end):
            return _LEFT
        return self._add(at, end, self._wariness(at, end))

    def _ends_item(self, end: int) -> bool:
        """Tell whether a list item is sure to end at `end`, where no line comes that is blank or indented as it is."""
        text = self._text
        if self._ends_at(end) or lines.NOTHING.match(text, end):
            return True
        if text[text.rfind("\n", 0, end - 1) + 1 : end].strip(" \t\n"):
            return lines.ENDS_ITEM.match(text, end) is not None or self._is_html(end)
        return lines.NO_TAB.match(text, end) is not None

    def _is_html(self, at: int) -> bool:
        """Tell whether a line starts an HTML block though no blank line is before it."""
        tag = lines.TAG.match(self._text, at)
        html = tag and html_block(self._text[tag.end() : self._line_end(at)].rstrip("\n"))
        return bool(html and html.ends_text)

    def _apply_rules(self, at: int) -> int:
        """Let markdown-it-py's rules take the block."""
        self._closed = False
        span = 0
        while True:
            if self._chunk is None or at >= self._chunk_end:
                self._cut_chunk(at, span)
            assert self._chunk is not None
            taken = self._chunk.take(at)
            end = taken.end
            if taken.followed or (self._whole and self._chunk_end == len(self._text)):
                break
            self._chunk = None
            if taken.is_list and self._chunk_at_item and not lines.DEEP_LINE.search(self._text, at, self._chunk_end):
                end = self._line_end(at + len(self._text[at : self._chunk_end].rstrip(" \t\n")))
                break
            span = max(2 * span, _STEP)
        if span:
            self._chunk = None
        return self._add(at, end, self._wariness(at, end) | (HEADING if taken.title else 0), taken.title)

    def _cut_chunk(self, at: int, span: int) -> None:
        """Cut off a chunk that goes on to a line where the block at `at` is likely to have ended.

        That line is in the chunk, for the rules to see, but no block is taken there: what follows it is not.
        """
        text = self._text
        if line := lines.FIRM_LINE.search(text, at + span):
            self._chunk, self._chunk_end = Chunk(text, at, self._line_end(line.end())), line.end()
            self._chunk_at_item = line["item"] is not None
        else:
            self._chunk, self._chunk_end = Chunk(text, at, self._text_end()), len(text)

    def _add(self, at: int, end: int, traits: int, title: Title | None = None) -> int:
        blocks = self.blocks
        if self._cut:
            traits |= CUT
        elif not traits & SEALED and blocks.traits:
            traits |= blocks.traits[-1] & WARY
        blocks.starts.append(self._base + at)
        blocks.traits.append(traits)
        if title is not None:
            blocks.titles.append((self._base + at, title))
        return end

    def _wariness(self, at: int, end: int) -> int:
        text = self._text
        if text.find("]:", at, end) >= 0 or (text.find("<", at, end) >= 0 and lines.HTML_LINE.search(text, at, end)):
            return WARY
        return 0

    def _ends_at(self, place: int) -> bool:
        """Tell whether the whole text ends there."""
        return place == len(self._text) and place == self._text_end()

    def _text_end(self) -> int:
        """Return the end of the text, if that was read."""
        if not self._whole:
            raise _ShortError
        return len(self._text)

    def _line_end(self, place: int) -> int:
        return self._text.find("\n", place) + 1 or len(self._text)


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
