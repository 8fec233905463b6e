"""YAML front matter: what stands between a first line `---` and a line `---` or `...`, both included."""

from __future__ import annotations

import re
from typing import Final

from canvas_server.core.window import Source

_OPENING: Final = "---"
_CLOSING: Final = ("\n---", "\n...")
_CLOSING_LINE: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)


def front_matter_end(source: Source) -> int:
    """Return where the text after the front matter starts; 0 without front matter."""
    if source.slice(0, len(_OPENING)) != _OPENING:
        return 0
    first = _line_end(source, 0)
    if source.slice(len(_OPENING), first).strip(" \t"):
        return 0
    ends = (_closing_end(source, marker, first) for marker in _CLOSING)
    return min((end for end in ends if end), default=0)


def front_matter_end_after(source: Source, start: int, length: int, end: int) -> int:
    """Return `front_matter_end` of a text that was edited.

    Args:
        source: the text after the edit.
        start: where it was edited.
        length: of what was inserted there.
        end: of the front matter before; 0 without.
    """
    if end:
        return front_matter_end(source) if start <= end else end
    if source.slice(0, len(_OPENING)) != _OPENING:
        return 0
    line = source.rfind("\n", 0, start) + 1
    # A first line like that may be a thematic break of a long text: only an edited line can have come to close it.
    if line and not _CLOSING_LINE.search(source.slice(line, _line_end(source, start + length))):
        return 0
    return front_matter_end(source)


def _closing_end(source: Source, marker: str, start: int) -> int:
    """Return the end of the first line from the newline at `start` on that is `marker` and white space, 0 if none."""
    size = len(source)
    at = start
    while (at := source.find(marker, at, size)) >= 0:
        end = _line_end(source, at + 1)
        if not source.slice(at + len(marker), end).strip(" \t"):
            return min(end + 1, size)
        at = end
    return 0


def _line_end(source: Source, place: int) -> int:
    size = len(source)
    end = source.find("\n", place, size)
    return size if end < 0 else end
