"""markdown-it-py's block rules, taken one top-level block at a time.

It is the only module that knows markdown-it-py. Nothing here reads the inside of a block: inline text can be made to
cost seconds, block rules are linear.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.html_block import HTML_SEQUENCES
from markdown_it.token import Token


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


class Taken(NamedTuple):
    """One block, as the rules see it.

    Attributes:
        end: after its last line that is not blank.
        title: of a heading.
        is_list: whether it is a list.
        followed: whether a line that is not blank comes after it in the chunk.
    """

    end: int
    title: Title | None
    is_list: bool
    followed: bool


class Html(NamedTuple):
    """An HTML block.

    Attributes:
        closing: what its last line has in it; None if it ends before a blank line.
        ends_text: whether it may follow a paragraph without a blank line.
    """

    closing: re.Pattern[str] | None
    ends_text: bool


class Chunk:
    """A part of a text with whole lines, to take blocks from in order.

    Args:
        text: all that was read.
        start: where a top-level block starts.
        stop: the end of a line.
    """

    def __init__(self, text: str, start: int, stop: int) -> None:
        self._start = start
        self._stop = stop
        source = text[start:stop]
        # The rules read one character too far where a last line without its newline ends an HTML block in a list.
        self._state = StateBlock(source if source.endswith("\n") else source + "\n", _parser(), {}, [])

    def take(self, at: int) -> Taken:
        """Return the block that starts at `at`; it is true of the whole text only if another follows in the chunk."""
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
        is_list = bool(tokens) and tokens[0].type.endswith("_list_open")
        return Taken(end, _title(tokens, end - at), is_list, followed)


def html_block(line: str) -> Html | None:
    """Return the HTML block that a line starts, if any.

    Args:
        line: from its `<` on, without the newline.
    """
    for opening, closing, ends_text in HTML_SEQUENCES:
        if opening.search(line):
            return Html(None if closing.search("") else closing, ends_text)
    return None


def collapse(content: str) -> str:
    """Return the text of a heading as titles compare: white space around it gone, inside it one space."""
    return " ".join(content.split())


def _title(tokens: Sequence[Token], length: int) -> Title | None:
    if not tokens or tokens[0].type != "heading_open":
        return None
    return Title(collapse(tokens[1].content), int(tokens[0].tag[1]), length)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


@cache
def _rules() -> Sequence[RuleFuncBlockType]:
    return tuple(_parser().block.ruler.getRules(""))
