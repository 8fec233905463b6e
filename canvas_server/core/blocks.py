"""The top-level blocks of a Markdown text: where each starts, and the headings among them.

A block parser is a loop without memory: what it makes of the text from a block's first line on depends on nothing
before that line. So a scan can begin at any block, and end where a block that is known already starts again.

markdown-it-py is the authority. Blocks whose end can be told from how their lines begin (most of what people write)
are measured, and any other is left to its own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from canvas_server.core import block_lines as lines
from canvas_server.core.block import CUT, SEALED, WARY, Title
from canvas_server.core.block_ends import measure
from canvas_server.core.block_rules import BlockRules
from canvas_server.core.window import ShortWindowError, Source, Window


class Blocks(NamedTuple):
    """Top-level blocks in order. A link reference definition is one of them, and so is an item of a list.

    Attributes:
        starts: where the first line of each starts.
        traits: what is to be known of each: `HEADING`, `SEALED`, `CUT`, `WARY`.
        titles: what each heading says.
        met: whether the scan ended where it was allowed to, before the end of the text.
    """

    starts: list[int]
    traits: bytearray
    titles: list[Title]
    met: bool


Stop: TypeAlias = Callable[[int, bool], bool]
"""Asked before each block, with its start and whether it has the trait `CUT`: may the scan end here?"""


def scan(
    source: Source, start: int, reach: int, *, cut: bool = True, stop: Stop = lambda _start, _cut: False
) -> Blocks:
    """Find the blocks from `start` on.

    Args:
        source: the text.
        start: where a fresh block starts, or the text after front matter.
        reach: how many characters to read at first; more are read when they are needed.
        cut: whether the block at `start` has the trait `CUT`.
        stop: without it the scan goes to the end of the text.
    """
    found = Blocks([], bytearray(), [], met=False)
    window = Window(source, start, reach)
    rules = BlockRules(window)
    at = 0
    while True:
        begin = window.skip(lines.BLANK_LINES, at)
        cut = cut or begin > at
        at = begin
        try:
            if lines.NOTHING.match(window.text, at):
                window.end()
                return found
            if stop(window.base + at, cut):
                return found._replace(met=True)
            block = measure(window, at) or rules.take(at)
        except ShortWindowError:
            window.move(at)
            rules = BlockRules(window)
            at = 0
            continue
        traits = block.traits
        if cut:
            traits |= CUT
        elif not traits & SEALED:
            traits |= found.traits[-1] & WARY
        found.starts.append(window.base + at)
        found.traits.append(traits)
        if block.title is not None:
            found.titles.append(block.title)
        at, cut = block.end, block.closed
