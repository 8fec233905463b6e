"""One top-level block of a Markdown text: where it ends, and what is to be known of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from canvas_server.core.block_lines import HTML_LINE

HEADING: Final = 1
"""The block is a heading."""
SEALED: Final = 2
"""No rule for what comes before looks further than the block's first line: heading of one line, fence, break, item."""
CUT: Final = 4
"""The same, for what comes before is a blank line, nothing, or a closed block."""
WARY: Final = 8
"""Text in the middle of a line may decide where blocks end: HTML blocks, link reference definitions."""
RAW: Final = 16
"""Behind its first line only a `RAW_END` can end the block: a fence, or HTML that does not end at a blank line."""
CODE: Final = 32
"""The block is indented code: whatever stands behind the indentation of a line is code as well."""
FRESH: Final = SEALED | CUT
"""One of these: the block starts where it does as long as its first line and all before it stay as they are."""


class Title(NamedTuple):
    """A heading, wherever it is.

    Attributes:
        text: the raw source, without space around it and closing `#`s, inner white space collapsed.
        level: 1 to 6.
        length: characters from the start of its first line to after the newline of its last.
    """

    text: str
    level: int
    length: int


class Block(NamedTuple):
    """A block of a text that was read.

    Attributes:
        end: after its last line; blank lines behind it may be included.
        traits: of `HEADING`, `SEALED`, `WARY`, `RAW`, `CODE`.
        title: of a heading.
        closed: whether no rule for it looks further than the first line of what follows.
    """

    end: int
    traits: int = 0
    title: Title | None = None
    closed: bool = True


def collapse(content: str) -> str:
    """Return the text of a heading as titles compare: white space around it gone, inside it one space."""
    return " ".join(content.split())


def wariness(text: str, start: int, end: int) -> int:
    """Return `WARY` if an HTML block or a link reference definition may be inside a block."""
    if text.find("]:", start, end) >= 0:
        return WARY
    return WARY if text.find("<", start, end) >= 0 and HTML_LINE.search(text, start, end) else 0
