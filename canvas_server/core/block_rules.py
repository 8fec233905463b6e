"""markdown-it-py's block rules, taken one top-level block at a time.

It is the only module that knows markdown-it-py. Nothing here reads the inside of a block: inline text can be made to
cost seconds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.html_block import HTML_SEQUENCES

from canvas_server.core import block_lines as lines
from canvas_server.core.block import HEADING, SEALED, Block, Title, collapse, wariness
from canvas_server.core.window import Window

_STEP: Final = 4096


class Html(NamedTuple):
    """An HTML block.

    Attributes:
        closing: what its last line has in it; None if it ends before a blank line.
        ends_text: whether it may follow a paragraph without a blank line.
    """

    closing: re.Pattern[str] | None
    ends_text: bool


def html_block(line: str) -> Html | None:
    """Return the HTML block that a line starts, if any.

    Args:
        line: from its `<` on, without the newline.
    """
    for opening, closing, ends_text in HTML_SEQUENCES:
        if opening.search(line):
            return Html(None if closing.search("") else closing, ends_text)
    return None


class _Taken(NamedTuple):
    """One block of a chunk.

    Attributes:
        kind: the type of its first token; "" for a link reference definition, which has none.
        end: after its last line that is not blank.
        title: of a heading.
        followed: whether a line that is not blank comes after it in the chunk.
    """

    kind: str
    end: int
    title: Title | None
    followed: bool


class _Chunk:
    """A part of a text for the rules to see.

    It goes on to a line where the block at its start is likely to have ended. No block is taken from that line on: what
    comes after it is not seen.

    Attributes:
        end: where that line starts, or the end of the text.
    """

    def __init__(self, window: Window, start: int, span: int) -> None:
        line = lines.FIRM_LINE.search(window.text, start + span)
        self.end = line.end() if line else window.end()
        self._start = start
        self._stop = window.line_end(self.end)
        text = window.text[start : self._stop]
        # The rules read one character too far where a last line without its newline ends an HTML block in a list.
        self._state = StateBlock(text if text.endswith("\n") else text + "\n", _parser(), {}, [])

    def take(self, at: int) -> _Taken:
        """Return the block at `at`; it is true of the whole text only if another follows."""
        state = self._state
        line = bisect_left(state.bMarks, at - self._start)
        state.line = line
        for rule in _rules():
            if rule(state, line, state.lineMax, False):
                break
        followed = state.skipEmptyLines(state.line) < state.lineMax
        last = state.line
        while state.isEmpty(last - 1):
            last -= 1
        end = min(self._start + state.eMarks[last - 1] + 1, self._stop)
        tokens = state.tokens.copy()
        state.tokens.clear()
        kind = tokens[0].type if tokens else ""
        title = None
        if kind == "heading_open":
            title = Title(collapse(tokens[1].content), int(tokens[0].tag[1]), end - at)
        return _Taken(kind, end, title, followed)


class BlockRules:
    """Takes blocks from a window where they cannot be measured. A window that was moved needs another."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._chunk: _Chunk | None = None

    def take(self, at: int) -> Block:
        """Return the block at `at`.

        Raises:
            ShortWindowError: it may not end in the window.
        """
        chunk = self._chunk
        if chunk is None or at >= chunk.end:
            chunk = _Chunk(self._window, at, 0)
        taken, span = chunk.take(at), 0
        while not self._is_certain(chunk, at, taken):
            span = max(2 * span, _STEP)
            chunk = _Chunk(self._window, at, span)
            taken = chunk.take(at)
        # What follows in a long chunk would be cut at other items than where a scan starts there.
        self._chunk = chunk if span == 0 else None
        return self._block(chunk, at, taken)

    def _is_certain(self, chunk: _Chunk, at: int, taken: _Taken) -> bool:
        window = self._window
        if taken.followed or (window.whole and chunk.end == len(window.text)):
            return True
        # A list that takes in the line at the end goes on with an item there, which is a block of its own.
        return _is_list(taken) and not lines.DEEP_LINE.search(window.text, at, chunk.end)

    def _block(self, chunk: _Chunk, at: int, taken: _Taken) -> Block:
        window = self._window
        end = taken.end
        if not taken.followed and chunk.end < len(window.text):
            end = window.line_end(at + len(window.text[at : chunk.end].rstrip(" \t\n")))
        traits = wariness(window.text, at, end) | (SEALED if _is_list(taken) else 0) | (HEADING if taken.title else 0)
        # Behind a definition the rules look for its title; a heading may have been tried as a definition.
        closed = taken.kind == "paragraph_open" or (not taken.kind and not lines.MAYBE_TITLE.match(window.text, end))
        return Block(end, traits, taken.title, closed)


def _is_list(taken: _Taken) -> bool:
    return taken.kind.endswith("_list_open")


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


@cache
def _rules() -> tuple[RuleFuncBlockType, ...]:
    return tuple(_parser().block.ruler.getRules(""))
