"""markdown-it-py's block rules, taken one top-level block at a time.

It is the only module that knows markdown-it-py. Nothing here reads the inside of a block: inline text can be made to
cost seconds, block rules are linear.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

_ONE_LINE: Final = ("fence", "hr")


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
        sealed: an ATX heading, a fence or a thematic break.
        title: of a heading.
        followed: whether a line that is not blank comes after it in the chunk.
    """

    end: int
    sealed: bool
    title: Title | None
    followed: bool


class Chunk:
    """A part of a text with whole lines, to take blocks from in order.

    Args:
        text: all that was read.
        start: where a top-level block starts.
        stop: the end of a line.
    """

    def __init__(self, text: str, start: int, stop: int) -> None:
        self._start = start
        self._state = StateBlock(text[start:stop], _parser(), {}, [])

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
        end = self._start + min(state.eMarks[last - 1] + 1, len(state.src))
        tokens = state.tokens.copy()
        state.tokens.clear()
        return Taken(end, _is_sealed(tokens), _title(tokens, end - at), followed)


def _is_sealed(tokens: Sequence[Token]) -> bool:
    if not tokens:
        return False
    return tokens[0].type in _ONE_LINE or (tokens[0].type == "heading_open" and tokens[0].markup.startswith("#"))


def _title(tokens: Sequence[Token], length: int) -> Title | None:
    if not tokens or tokens[0].type != "heading_open":
        return None
    return Title(collapse(tokens[1].content), int(tokens[0].tag[1]), length)


def collapse(content: str) -> str:
    """Return the text of a heading as titles compare: white space around it gone, inside it one space."""
    return " ".join(content.split())


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


@cache
def _rules() -> Sequence[RuleFuncBlockType]:
    return tuple(_parser().block.ruler.getRules(""))
