"""How `content` is fitted to its place: line ends, indentation, heading levels, blank lines (PROTOCOL section 6)."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Final

from canvas_server.core.operation import Options
from canvas_server.core.outline import Outline
from canvas_server.core.text import Text

_BLANK: Final = " \t\n"
_ATX: Final = re.compile(r"( {0,3})#{1,6}(?=[ \t\n]|\Z)")
_LOOK: Final = 256


def normalise(content: str) -> str:
    """Return text with LF line ends: CRLF and CR become LF, nothing else changes."""
    if "\r" not in content:
        return content
    return content.replace("\r\n", "\n").replace("\r", "\n")


def fit(content: str, options: Options, section_level: int) -> str:
    """Return `content` as the options want it, before it is surrounded.

    Args:
        content: as it came.
        options: of the operation.
        section_level: level of the section it goes into, 0 for none.
    """
    content = normalise(content)
    if options.dedent:
        content = dedent(content)
    if options.relative_headings and section_level:
        content = lower_headings(content, section_level)
    return content


def lower_headings(content: str, by: int) -> str:
    """Return Markdown whose top-level headings stand `by` levels lower, 6 at most; setext headings become ATX."""
    source = Text(content)
    outline = Outline.parse(source, None)
    parts, end = [], 0
    for heading in outline.headings():
        level = min(heading.level + by, 6)
        line = content[heading.start : heading.body_start]
        if _ATX.match(line):
            line = _ATX.sub(lambda match: match[1] + "#" * level, line, count=1)  # noqa: B023 - used at once
        else:
            line = f"{'#' * level} {heading.title}" + ("\n" if line.endswith("\n") else "")
        parts += [content[end : heading.start], line]
        end = heading.body_start
    return "".join([*parts, content[end:]])


def surround(text: Text, start: int, end: int, content: str, blank_lines: int) -> str:
    """Return `content` with the newlines that set it apart from the text before `start` and after `end`.

    Newlines that are there already count, none is removed. With `blank_lines` 0 it comes back as it is.
    """
    if blank_lines == 0:
        return content
    content = content.strip("\n")
    before = newlines_before(text, start)
    lead = 0 if before is None else max(0, blank_lines + 1 - before)
    return "\n" * lead + content + "\n" * newlines_lacking_after(text, end, blank_lines)


def newlines_lacking_after(text: Text, offset: int, blank_lines: int) -> int:
    """Return how many newlines `surround` adds at the end to set content apart from the text after `offset`."""
    after = newlines_after(text, offset) if blank_lines else None
    return 0 if after is None else max(0, blank_lines + 1 - after)


def newlines_before(text: Text, offset: int) -> int | None:
    """Count the newlines between the last text before `offset` and it; None when there is no text before."""
    look = _LOOK
    while True:
        start = max(0, offset - look)
        window = text.slice(start, offset)
        kept = window.rstrip(_BLANK)
        if kept:
            return window.count("\n", len(kept))
        if start == 0:
            return None
        look *= 4


def newlines_after(text: Text, offset: int) -> int | None:
    """Count the newlines between `offset` and the next text after it; None when there is no text after."""
    look = _LOOK
    while True:
        stop = min(len(text), offset + look)
        window = text.slice(offset, stop)
        kept = window.lstrip(_BLANK)
        if kept:
            return window.count("\n", 0, len(window) - len(kept))
        if stop == len(text):
            return None
        look *= 4


def content_end(text: Text, start: int, end: int) -> int:
    """Return the offset after the last line between `start` and `end` that is not blank; `start` if all are."""
    look = _LOOK
    while True:
        first = max(start, end - look)
        window = text.slice(first, end)
        kept = window.rstrip(_BLANK)
        if kept or first == start:
            break
        look *= 4
    if not kept:
        return start
    line_end = window.find("\n", len(kept))
    return end if line_end < 0 else first + line_end
