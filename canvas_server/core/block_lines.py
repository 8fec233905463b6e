"""What the first characters of a Markdown line make of it, as regular expressions.

All take a text and the start of a line in it. A line is indented by at most three spaces unless it says otherwise:
four columns are code or go on with a paragraph, and every tab ends at four or more.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

INERT: Final = (
    r"(?:[^\s#\-+*_=~`><0-9.]"
    r"|[*_]{1,2}[^\s*_]|-[^\s\-]|\+[^\s]|=[^\s=]|\.[^\s.]|`{1,2}[^\s`]|~{1,2}[^\s~]|#{1,6}[^\s#]"
    r"|[0-9]{1,9}(?:[.)][^\s]|[^\n0-9.)]))"
)
"""How text begins that is, whatever follows, no underline, fence, thematic break, heading, list item, quote or HTML.

Nor is it `...`, which ends YAML front matter.
"""
MARKERS: Final = r"(?:[ \t]|[-+*][ \t]|[0-9]{1,9}[.)][ \t]|>)*+"
"""What may come before the text of a line: indentation, the markers of quotes and list items."""

_EOL: Final = r"(?:\n|\Z)"
_HEADING: Final = rf"#{{1,6}}(?:[ \t]|(?={_EOL}))"
_FENCE: Final = rf"(?:`{{3,}}(?=[^`\n]*{_EOL})|~{{3,}})"
_RULE: Final = rf"(?P<mark>[-*_])[ \t]*+(?:(?P=mark)[ \t]*+){{2,}}+{_EOL}"
_ITEM: Final = rf"(?:[-+*]|[0-9]{{1,9}}[.)])(?:[ \t]|{_EOL})"
_REST: Final = rf"[^\n]*+{_EOL}"

BLANK_LINES: Final = re.compile(r"(?:[ \t]*+\n)*+")
BLANK_LINE: Final = re.compile(rf"[ \t]*{_EOL}")
NOTHING: Final = re.compile(r"[ \t]*\Z")
"""The text ends here, or in a line of white space that has no end of its own and counts for nothing."""
NON_BLANK_LINES: Final = re.compile(rf"(?:[ \t]*+[^ \t\n]{_REST})*+")
CODE_LINES: Final = re.compile(rf"(?:(?: {{4}}| {{0,3}}\t){_REST}|[ \t]*+\n)*+")
"""Lines of indented code, and blank ones."""
INERT_LINES: Final = re.compile(rf"(?:[ \t]*+{INERT}{_REST})*+")
QUOTE_LINES: Final = re.compile(rf"(?:[ \t]*+>{_REST})*+")
"""Lines of a quote, all but the first indented as they like."""
EMPTY_QUOTE_LINE: Final = re.compile(rf"[ \t]*>[ \t]*{_EOL}")
QUOTED_TEXT: Final = re.compile(rf" {{0,3}}> ?(?!\[){INERT}{_REST}(?:[ \t]*+(?:> ?)?{INERT}{_REST})*+")
"""Lines of a quote that is one paragraph, with or without the marker on all but the first."""

OPENING: Final = re.compile(
    r"(?P<code> {4}| {0,3}\t)"
    r"| {0,3}(?:"
    rf"(?P<heading>{_HEADING})|(?P<fence>{_FENCE})|(?P<rule>{_RULE})|(?P<quote>>)|(?P<item>{_ITEM})"
    r"|(?P<bracket>\[)|(?P<tag><)|(?P<text>)"
    r")"
)
"""What starts with a line where nothing else goes on; a tag may not be one, and is text then."""
UNDERLINE: Final = re.compile(rf" {{0,3}}(?:=+|-+)[ \t]*{_EOL}")
ENDS_TEXT: Final = re.compile(rf" {{0,3}}(?:{_HEADING}|{_FENCE}|{_RULE}|>|(?:[-+*]|0{{0,8}}1[.)])[ \t]+[^ \t\n])")
"""The line is no more of a paragraph; it may be an underline all the same, or HTML."""
ENDS_QUOTE: Final = re.compile(rf" {{0,3}}(?:{_HEADING}|{_FENCE}|{_RULE}|{_ITEM})")
"""The line, which has no marker of the quote before it, is no more of it."""
ENDS_ITEM: Final = re.compile(rf" {{0,3}}(?:{_HEADING}|{_FENCE}|{_RULE}|{_ITEM}|>)")
"""The line is no more of the list item before it, if it is indented less than the content of that."""
NO_TAB: Final = re.compile(r" *+[^ \t]")
TAG: Final = re.compile(r" {0,3}(?=<)")

FENCE_END: Final = re.compile(rf" {{0,3}}(?P<run>`{{3,}}|~{{3,}})[ \t]*{_EOL}")
RAW_END: Final = re.compile(r"```|~~~|</(?:script|pre|style|textarea)>|-->|\?>|\]\]>", re.IGNORECASE)
"""May end a block of code or of HTML."""
RAW_END_CHARS: Final = 11
PLAIN_ITEM: Final = re.compile(
    rf"(?P<head> {{0,3}}(?!{_RULE})(?:[-+*]|[0-9]{{1,9}}[.)])(?: {{1,4}}|\t))"
    rf"(?:(?P<text>(?!\[){INERT})|[^\s]){_REST}"
)
"""A list item that starts with text or another block: `head` is as wide as its content is indented."""
EMPTY_ITEM: Final = re.compile(rf"(?P<head> {{0,3}}(?:[-+*]|[0-9]{{1,9}}[.)]))[ \t]*{_EOL}")
"""A list item that starts with an empty line; content must be indented by one column more than `head` is wide."""
PLAIN_DEFINITION: Final = re.compile(
    r" {0,3}\[[^\[\]\\\n]*[^\[\]\\\s][^\[\]\\\n]*\]:[ \t]+(?:https?://|[/#.])[A-Za-z0-9/_.~:?#@!$,;=%+\-]*"
    r"(?P<title>[ \t]+(?:\"[^\"\\\n]*\"|'[^'\\\n]*'|\([^()\\\n]*\)))?[ \t]*" + _EOL
)
MAYBE_TITLE: Final = re.compile(r"[ \t]*[\"'(]")
"""The line may be the title of a link reference definition on the line before."""
FIRM_LINE: Final = re.compile(rf"\n[ \t]*\n(?=[^\s\-+*0-9])|\n(?=(?!{_RULE}){_ITEM})")
"""Up to a line that ends what is before it, HTML and fences aside: one after a blank line, or another item."""
DEEP_LINE: Final = re.compile(
    rf"^{MARKERS}(?<=.{{18}})|^(?=(?: |[-+*] |[0-9]{{1,9}}[.)] |>)*+(?:[-+*]|[0-9]{{1,9}}[.)])?\t){MARKERS}(?<=.{{5}})",
    re.MULTILINE,
)
"""A line that may be nested twenty levels deep, where markdown-it-py gives up.

A level takes a column at least, and a tab may stand for four.
"""
HTML_LINE: Final = re.compile(rf"^{MARKERS}<", re.MULTILINE)


@cache
def indented_lines(columns: int) -> re.Pattern[str]:
    """Return what matches lines that are sure to be indented so far, and blank ones."""
    tab = r"| {0,3}\t" if columns <= 4 else ""
    return re.compile(rf"(?:(?: {{{columns}}}{tab}){_REST}|[ \t]*+\n)*+")
