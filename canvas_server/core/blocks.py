"""The top-level blocks of a Markdown text: where each starts, and the headings among them.

A block parser is a loop without memory: what it makes of the text from a block's first line on depends on nothing
before that line. So a scan can begin at any block, and end where a block that is known already starts again.

markdown-it-py is the authority. Blocks whose end can be told from how their lines begin (most of what people write)
are measured here; every other one is left to markdown-it-py's own rules. What measures must be certain: it may leave a
block to the rules, but never differ from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple, Protocol, TypeAlias

from canvas_server.core.block_rules import Chunk, Title, collapse

HEADING: Final = 1
"""The block is a heading."""
SEALED: Final = 2
"""No rule for what comes before looks further than the block's first line (ATX heading, fence, thematic break)."""
AFTER_BLANK: Final = 4
"""The line before is blank, or there is none: no rule for what comes before looks further than the first line."""
WARY: Final = 8
"""Text in the middle of a line may decide where blocks end: HTML blocks, link reference definitions."""
FRESH: Final = SEALED | AFTER_BLANK
"""One of these: the block starts where it does as long as its first line and all before it stay as they are."""

MARKERS: Final = r"(?:[ \t]|[-+*][ \t]|[0-9]{1,9}[.)][ \t]|>)*+"
"""What may come before the text of a line: indentation, the markers of quotes and list items."""

INERT: Final = (
    r"(?:[^\s#\-+*_=~`><0-9.]"
    r"|[*_]{1,2}[^\s*_]|-[^\s\-]|\+[^\s]|=[^\s=]|\.[^\s.]|`{1,2}[^\s`]|~{1,2}[^\s~]|#{1,6}[^\s#]"
    r"|[0-9]{1,9}(?:[.)][^\s]|[^\n0-9.)]))"
)
"""How text begins that is, whatever follows, no underline, fence, thematic break, heading, list item, quote or HTML.

Nor is it `...`, which ends YAML front matter.
"""

_EOL: Final = r"(?:\n|\Z)"
_ATX: Final = rf"#{{1,6}}(?:[ \t]|(?={_EOL}))"
_FENCE: Final = rf"(?:`{{3,}}(?=[^`\n]*{_EOL})|~{{3,}})"
_BLANK_LINES: Final = re.compile(r"(?:[ \t]*+\n)*+")
_OPENING: Final = re.compile(
    r" {0,3}(?:"
    rf"(?P<heading>{_ATX})"
    rf"|(?P<fence>{_FENCE})"
    rf"|(?P<rule>([-*_])[ \t]*+(?:\4[ \t]*+){{2,}}+{_EOL})"
    r"|(?P<quote>>)"
    rf"|(?P<text>(?!\[){INERT})"  # a reference definition starts with a bracket
    r")"
    r"|(?P<item>(?:[-+*]|[0-9]{1,9}[.)]) )"
)
_FENCE_END: Final = re.compile(rf" {{0,3}}(?P<run>`{{3,}}|~{{3,}})[ \t]*{_EOL}")
_TEXT_LINES: Final = re.compile(rf"(?:[ \t]*+{INERT}[^\n]*+{_EOL})++")
_AFTER_TEXT: Final = re.compile(
    rf"(?P<blank>[ \t]*{_EOL})"
    r"|(?P<underline> {0,3}(?:=+|-+)[ \t]*(?:\n|\Z))"
    rf"|(?P<block> {{0,3}}(?:{_ATX}|{_FENCE}|>|(?:[-+*]|1[.)])[ \t]+[^\s]))"
)
_QUOTE_LINES: Final = re.compile(rf"(?: {{0,3}}>[^\n]*+{_EOL})++")
_ITEM: Final = re.compile(
    rf"(?![-*_ \t]+{_EOL})(?:[0-9]{{1,9}}(?=[.)])|(?=[-+*]))(?P<kind>[-+*.)])(?P<gap> {{1,4}})[^\s][^\n]*+{_EOL}"
)
_AFTER_LIST: Final = re.compile(rf"{_ATX}|{_FENCE}")
# The rules give up at twenty levels of nesting. A level takes a column at least, and a tab may stand for four.
_DEEP: Final = re.compile(r"^[ >*+\-0-9.)]*+\t|^[ >*+\-0-9.)]{18}", re.MULTILINE)
_HTML_LINE: Final = re.compile(rf"^{MARKERS}<", re.MULTILINE)
# Lines after a blank one; no list goes on with the first kind.
_FIRM_LINE: Final = re.compile(r"\n[ \t]*\n(?=[^\s\-+*0-9])")
_ANY_LINE: Final = re.compile(r"\n[ \t]*\n(?=[ \t]*[^\s])")
_NOTHING: Final = re.compile(r"[ \t]*\Z")
_BLANK_LINE: Final = re.compile(r"[ \t]*(?:\n|\Z)")
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
    """Top-level blocks in order; a link reference definition is one of them.

    Attributes:
        starts: where the first line of each starts.
        traits: what is to be known of each: `HEADING`, `SEALED`, `AFTER_BLANK`, `WARY`.
        titles: of each heading, where it starts and what it says.
    """

    starts: list[int]
    traits: bytearray
    titles: list[tuple[int, Title]]


Stop: TypeAlias = Callable[[int, bool], bool]
"""Asked before each block with its start and whether a blank line is before it: may the scan end here?"""


def scan(source: Source, start: int, reach: int, *, after_blank: bool, stop: Stop | None) -> tuple[Blocks, bool]:
    """Find the blocks from `start` on.

    Args:
        source: the text.
        start: where a top-level block starts, or may start; the rules for what comes before must not look beyond.
        reach: how many characters to read at first; more are read when they are needed.
        after_blank: whether a blank line, or nothing, is before `start`.
        stop: None scans to the end of the text.

    Returns:
        The blocks, and whether `stop` ended the scan.
    """
    scanner = _Scanner(source, start, reach)
    return scanner.blocks, scanner.run(after_blank, stop)


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
        self._read(start)

    def run(self, after_blank: bool, stop: Stop | None) -> bool:
        at = 0
        while True:
            begin = _skip(_BLANK_LINES, self._text, at)
            after_blank = after_blank or begin > at
            if _NOTHING.match(self._text, begin):
                if self._whole:
                    return False
                at = self._read(self._base + begin)
            elif stop is not None and stop(self._base + begin, after_blank):
                return True
            else:
                self._after_blank = after_blank
                at = self._take(begin)
                after_blank = False

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
        return 0

    def _take(self, at: int) -> int:
        """Add the block at `at` and return where it ends."""
        while True:
            try:
                end = self._measure(at)
                return self._apply_rules(at) if end == _LEFT else end
            except _ShortError:
                at = self._read(self._base + at)

    def _measure(self, at: int) -> int:
        opening = _OPENING.match(self._text, at)
        if opening is None:
            return _LEFT
        match opening.lastgroup:
            case "heading":
                return self._measure_heading(at, opening.end())
            case "fence":
                return self._measure_fence(at, opening.end())
            case "rule":
                return self._add(at, opening.end(), SEALED)
            case "quote":
                return self._measure_quote(at)
            case "text":
                return self._measure_text(at)
            case _:
                return self._measure_list(at)

    def _measure_heading(self, at: int, inside: int) -> int:
        end = self._line_end(inside)
        level = self._text.count("#", at, inside)
        content = self._text[inside:end].rstrip(" \t\n")
        # Closing hashes stand apart; the space after the opening ones, which is behind us, will do.
        shorter = content.rstrip("#")
        if not shorter or shorter[-1] in " \t":
            content = shorter
        return self._add(at, end, HEADING | SEALED, Title(collapse(content), level, end - at))

    def _measure_fence(self, at: int, inside: int) -> int:
        text = self._text
        run = text[at:inside].lstrip(" ")
        place = self._line_end(inside)
        while (place := text.find(run, place)) >= 0:
            closing = _FENCE_END.match(text, text.rfind("\n", 0, place) + 1)
            if closing and closing["run"].startswith(run):
                return self._add(at, closing.end(), SEALED)
            place = self._line_end(place)
        if not self._whole:
            raise _ShortError
        return self._add(at, len(text), SEALED)

    def _measure_quote(self, at: int) -> int:
        end = _skip(_QUOTE_LINES, self._text, at)
        if self._ends_at(end) or _BLANK_LINE.match(self._text, end):
            return self._add(at, end, self._wariness(at, end))
        return _LEFT

    def _measure_text(self, at: int) -> int:
        text = self._text
        end = _skip(_TEXT_LINES, text, at)
        if self._ends_at(end):
            return self._add(at, end, 0)
        after = _AFTER_TEXT.match(text, end)
        if after is None:
            return _LEFT
        if after.lastgroup != "underline":
            return self._add(at, end, 0)
        level = 1 if "=" in after[0] else 2
        return self._add(at, after.end(), HEADING, Title(collapse(text[at:end]), level, after.end() - at))

    def _measure_list(self, at: int) -> int:
        text = self._text
        end = at
        kind = ""
        while (item := _ITEM.match(text, end)) and (item["kind"] == kind or not kind):
            kind = item["kind"]
            end = _skip(_inside(item.end("gap") - end), text, item.end())
        body = self._line_end(at + len(text[at:end].rstrip(" \t\n")))
        if not kind or not self._ends_list(kind, body, end) or _DEEP.search(text, at, body):
            return _LEFT
        return self._add(at, body, self._wariness(at, body))

    def _ends_list(self, kind: str, body: int, end: int) -> bool:
        """Tell whether it is certain that a list of this kind, whose last line ends at `body`, ends before `end`."""
        if self._ends_at(end) or _NOTHING.match(self._text, end):
            return True
        if end == body:
            return _AFTER_LIST.match(self._text, end) is not None
        return self._text[end] not in (" \t0123456789" if kind in ".)" else " \t" + kind)

    def _apply_rules(self, at: int) -> int:
        """Let markdown-it-py's rules take the block."""
        span = 0
        while True:
            if self._chunk is None or at >= self._chunk_end:
                self._cut_chunk(at, span)
            assert self._chunk is not None
            taken = self._chunk.take(at)
            if taken.followed or (self._whole and self._chunk_end == len(self._text)):
                break
            self._chunk = None
            span = max(2 * span, _STEP)
        traits = self._wariness(at, taken.end) | (SEALED if taken.sealed else 0) | (HEADING if taken.title else 0)
        return self._add(at, taken.end, traits, taken.title)

    def _cut_chunk(self, at: int, span: int) -> None:
        """Cut off a chunk that goes on to a line where the block at `at` is likely to have ended.

        That line is in the chunk, for the rules to see, but no block is taken there: what follows it is not.
        """
        text = self._text
        line = _FIRM_LINE.search(text, at + span, at + span + _STEP) or _ANY_LINE.search(text, at + span)
        if line is not None:
            self._chunk, self._chunk_end = Chunk(text, at, self._line_end(line.end())), line.end()
        elif self._whole:
            self._chunk, self._chunk_end = Chunk(text, at, len(text)), len(text)
        else:
            raise _ShortError

    def _add(self, at: int, end: int, traits: int, title: Title | None = None) -> int:
        blocks = self.blocks
        if self._after_blank:
            traits |= AFTER_BLANK
        elif not traits & SEALED and blocks.traits:
            traits |= blocks.traits[-1] & WARY
        blocks.starts.append(self._base + at)
        blocks.traits.append(traits)
        if title is not None:
            blocks.titles.append((self._base + at, title))
        return end

    def _wariness(self, at: int, end: int) -> int:
        text = self._text
        if text.find("]:", at, end) >= 0 or (text.find("<", at, end) >= 0 and _HTML_LINE.search(text, at, end)):
            return WARY
        return 0

    def _ends_at(self, place: int) -> bool:
        if place < len(self._text):
            return False
        if not self._whole:
            raise _ShortError
        return True

    def _line_end(self, place: int) -> int:
        return self._text.find("\n", place) + 1 or len(self._text)


def _skip(lines: re.Pattern[str], text: str, at: int) -> int:
    match = lines.match(text, at)
    return match.end() if match else at


@cache
def _inside(indent: int) -> re.Pattern[str]:
    """Return what the lines of a list item match: indented to its content, or blank."""
    return re.compile(rf"(?: {{{indent}}}[^\n]*+{_EOL}|[ \t]*+\n)*+")
