"""Where a top-level block ends, told from how its lines begin.

Rule: `measure` is certain. It returns None where only markdown-it-py's rules can tell, and otherwise what they would
say, at a fraction of the cost.
"""

from __future__ import annotations

from typing import Final

from canvas_server.core import block_lines as lines
from canvas_server.core.block import CODE, HEADING, RAW, SEALED, WARY, Block, Title, collapse, wariness
from canvas_server.core.block_rules import html_block
from canvas_server.core.window import Window

_LABEL_CHARS: Final = 1024


def measure(window: Window, at: int) -> Block | None:
    """Return the block whose first line, not blank, starts at `at`; None if that cannot be told here.

    An item of a list is a block of its own: what a parser makes of the text from there on depends on nothing before.

    Raises:
        ShortWindowError: it may not end in the window.
    """
    opening = lines.OPENING.match(window.text, at)
    assert opening is not None
    match opening.lastgroup:
        case "text":
            return _text(window, at)
        case "item":
            return _item(window, at)
        case "heading":
            return _heading(window, at, opening.end())
        case "fence":
            return Block(_fence_end(window, at, opening.end()), SEALED | RAW)
        case "rule":
            return Block(opening.end(), SEALED)
        case "quote":
            return _quote(window, at)
        case "bracket":
            return _bracket(window, at)
        case "tag":
            return _tag(window, at, opening.end() - 1)
        case _:
            return _code(window, at)


def _text(window: Window, at: int) -> Block:
    end, level = _text_end(window, at)
    if not level:
        return Block(end)
    content = window.text[at : window.text.rindex("\n", at, end - 1)]
    return Block(end, HEADING, Title(collapse(content), level, end - at))


def _text_end(window: Window, at: int) -> tuple[int, int]:
    """Return where a paragraph ends, or the heading that it is; and its level, 0 for a paragraph."""
    text = window.text
    end = window.line_end(at)
    while True:
        end = window.skip(lines.INERT_LINES, end)
        if window.ends_at(end) or lines.BLANK_LINE.match(text, end):
            return end, 0
        if underline := lines.UNDERLINE.match(text, end):
            return underline.end(), 1 if "=" in underline[0] else 2
        if lines.ENDS_TEXT.match(text, end) or _is_html(window, end):
            return end, 0
        end = window.line_end(end)


def _bracket(window: Window, at: int) -> Block | None:
    """Measure what may be a link reference definition."""
    text = window.text
    if definition := lines.PLAIN_DEFINITION.match(text, at):
        end = definition.end()
        if definition["title"] or window.ends_at(end) or not lines.MAYBE_TITLE.match(text, end):
            return Block(end, WARY)
    if text.find("]:", at, at + _LABEL_CHARS) >= 0:
        return None
    end, level = _text_end(window, at)
    # A definition may go on where a heading ends, but not where a paragraph does.
    return None if level or text.find("]:", at, end) >= 0 else Block(end, wariness(text, at, end))


def _heading(window: Window, at: int, inside: int) -> Block:
    end = window.line_end(inside)
    level = window.text.count("#", at, inside)
    content = window.text[inside:end].rstrip(" \t\n")
    # Closing hashes stand apart; the space after the opening ones, which is behind us, will do.
    shorter = content.rstrip("#")
    if not shorter or shorter[-1] in " \t":
        content = shorter
    return Block(end, HEADING | SEALED, Title(collapse(content), level, end - at))


def _fence_end(window: Window, at: int, inside: int) -> int:
    text = window.text
    run = text[at:inside].lstrip(" ")
    place = window.line_end(inside)
    while (place := text.find(run, place)) >= 0:
        closing = lines.FENCE_END.match(text, text.rfind("\n", 0, place) + 1)
        if closing and closing["run"].startswith(run):
            return closing.end()
        place = window.line_end(place)
    return window.end()


def _code(window: Window, at: int) -> Block:
    end = window.skip(lines.CODE_LINES, at)
    window.ends_at(end)
    return Block(end, CODE)


def _tag(window: Window, at: int, tag: int) -> Block:
    html = html_block(_rest_of_line(window, tag))
    if html is None:
        return _text(window, at)
    if html.closing is None:
        end = window.skip(lines.NON_BLANK_LINES, at)
        window.ends_at(end)
        return Block(end, WARY)
    closing = html.closing.search(window.text, tag)
    end = window.line_end(closing.end()) if closing else window.end()
    return Block(end, WARY if html.closing.match(">") else WARY | RAW)


def _is_html(window: Window, at: int) -> bool:
    """Tell whether a line starts an HTML block even without a blank line before it."""
    tag = lines.TAG.match(window.text, at)
    html = tag and html_block(_rest_of_line(window, tag.end()))
    return bool(html and html.ends_text)


def _rest_of_line(window: Window, place: int) -> str:
    return window.text[place : window.line_end(place)].rstrip("\n")


def _quote(window: Window, at: int) -> Block | None:
    text = window.text
    end = window.skip(lines.QUOTE_LINES, at)
    last = text.rfind("\n", at, end - 1) + 1 or at
    if not _ends_quote(window, end) and not lines.EMPTY_QUOTE_LINE.match(text, last):
        # Without a marker, a line can only go on with a paragraph.
        end = window.skip(lines.QUOTED_TEXT, at)
        if end == at or not _ends_quote(window, end):
            return None
    return Block(end, wariness(text, at, end))


def _ends_quote(window: Window, end: int) -> bool:
    if window.ends_at(end) or lines.BLANK_LINE.match(window.text, end):
        return True
    return lines.ENDS_QUOTE.match(window.text, end) is not None or _is_html(window, end)


def _item(window: Window, at: int) -> Block | None:
    text = window.text
    end: int | None
    if empty := lines.EMPTY_ITEM.match(text, at):
        end = _empty_item_end(window, empty.end(), len(empty["head"]) + 1)
    elif item := lines.PLAIN_ITEM.match(text, at):
        begin = window.skip(lines.INERT_LINES, item.end()) if item["text"] else item.end()
        end = window.skip(lines.indented_lines(len(item["head"].expandtabs(4))), begin)
        end = end if _ends_item(window, end) else None
    else:
        return None
    if end is None or lines.DEEP_LINE.search(text, at, end):
        return None
    return Block(end, SEALED | wariness(text, at, end))


def _empty_item_end(window: Window, begin: int, indent: int) -> int | None:
    """Return the end of an item whose first line, up to `begin`, is only its marker."""
    if window.ends_at(begin) or lines.BLANK_LINE.match(window.text, begin):
        return begin  # nothing behind a blank line is in it
    end = window.skip(lines.indented_lines(indent), begin)
    if end == begin:
        return end if lines.NO_TAB.match(window.text, end) else None
    return end if _ends_item(window, end) else None


def _ends_item(window: Window, end: int) -> bool:
    """Tell whether a list item is sure to end at `end`, where no line comes that is blank or indented as it is."""
    text = window.text
    if window.ends_at(end) or lines.NOTHING.match(text, end):
        return True
    if text[text.rfind("\n", 0, end - 1) + 1 : end].strip(" \t\n"):
        return lines.ENDS_ITEM.match(text, end) is not None or _is_html(window, end)
    return lines.NO_TAB.match(text, end) is not None
