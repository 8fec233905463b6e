"""Markdown to test the outline with: what markdown-it-py itself says of a text, and strategies for nasty texts."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hypothesis import strategies as st
from markdown_it import MarkdownIt

from canvas_server.core.outline import Heading

_PARSER: Final = MarkdownIt("commonmark").disable("inline")
_FENCE: Final = re.compile(r"---[ \t]*")
_CLOSING: Final = re.compile(r"(?:---|\.\.\.)[ \t]*")

FRAGMENTS: Final = (
    *("\n", "\n", "\n", "\n\n", " ", "  ", "   ", "    ", "\t", "a", "b c", "é", "😀", "1", "\\"),
    *("# ", "## ", "#", "###### x", "#5", " ##", "===", "=", "---", "-", "***", "* * *", "___", "_x_", "** x"),
    *("- ", "* ", "+ ", "1. ", "2) ", "10. ", "- - ", "-\t", "- [ ] x", "> ", ">", "```", "~~~", "````", "`c`", "~"),
    *("[a]: /u", "[b]:", "]: x", "[", "]", ":", "'t", "'", '"', "(", ")", "[a]: <b>\n", "[c]: /u 't'\n"),
    *("<div>", "</div>", "<!--", "-->", "<script>", "</script>", "<?", "?>", "<b>", "<x y>", "<!X>", "<", ">"),
    *(
        "<![CDATA[",
        "]]>",
        "<pre>",
        "</pre>",
        "...",
        ".",
        "| a | b |",
        "-- | --",
        "\x0b",
        "\x0c",
        "\x85",
        "\u2028",
        "\xa0",
    ),
)
_INDENTS: Final = ("", "", "", " ", "  ", "   ", "    ", "      ", "\t")
_MARKERS: Final = ("", "", "", "- ", "* ", "1. ", "10. ", "-   ", "> ", "# ", "- - ", "> - ", "-", "1.")
_CONTENTS: Final = (
    *("a", "foo bar", "", "```", "```js", "~~~", "---", "===", "***", "**B** c", "`c`", "1", "2024 x", "é😀", "..."),
    *("<div>", "<b>", "<!-- x", "-->", "[a]: /u", "[a]: /u 't", "t'", "[b]", "]: x", "[a]:", "/u", "# h", "    code"),
)


class PlainSource:
    """A text as one string."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __len__(self) -> int:
        return len(self.text)

    def slice(self, start: int, end: int) -> str:
        return self.text[start:end]

    def find(self, needle: str, start: int, end: int) -> int:
        return self.text.find(needle, start, end)

    def rfind(self, needle: str, start: int, end: int) -> int:
        return self.text.rfind(needle, start, end)


class Edit(NamedTuple):
    """An edit that fits any text: places are shares of its length."""

    place: float
    removed: int
    insert: str

    def apply(self, text: str) -> tuple[str, int, str]:
        """Return the text after it, where it was, and what went."""
        start = round(self.place * len(text))
        end = min(start + self.removed, len(text))
        return text[:start] + self.insert + text[end:], start, text[start:end]


def front_matter_end(text: str) -> int:
    """Return where the text after YAML front matter starts."""
    first, *lines = text.split("\n")
    if not _FENCE.fullmatch(first):
        return 0
    end = len(first) + 1
    for line in lines:
        end += len(line) + 1
        if _CLOSING.fullmatch(line):
            return min(end, len(text))
    return 0


def headings(text: str) -> list[Heading]:
    """Return the top-level headings that a whole parse by markdown-it-py finds.

    markdown-it-py 4.3 fails with an IndexError on some texts whose last line has no newline; CommonMark makes no
    difference.
    """
    start = front_matter_end(text)
    body = text[start:] if text.endswith("\n") else text[start:] + "\n"
    lines = [start]
    for line in body.split("\n"):
        lines.append(min(lines[-1] + len(line) + 1, len(text)))
    tokens = _PARSER.parse(body)
    return [
        Heading(
            lines[token.map[0]], lines[token.map[1]], int(token.tag[1]), " ".join(tokens[index + 1].content.split())
        )
        for index, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map
    ]


def fragments(count_max: int) -> st.SearchStrategy[str]:
    """Return texts of nasty fragments in any order."""
    return st.lists(st.sampled_from(FRAGMENTS), max_size=count_max).map("".join)


def lines(count_max: int) -> st.SearchStrategy[str]:
    """Return texts of lines that each look like something."""
    line = st.tuples(st.sampled_from(_INDENTS), st.sampled_from(_MARKERS), st.sampled_from(_CONTENTS)).map("".join)
    return st.lists(line | st.sampled_from(["", "", " "]), max_size=count_max).map("\n".join)


def texts() -> st.SearchStrategy[str]:
    """Return whole texts, some with what may be front matter."""
    body = fragments(25) | lines(12)
    return body | body.map(lambda text: "---\n" + text)


def edits() -> st.SearchStrategy[Edit]:
    """Return small and large edits at any place."""
    small = st.sampled_from(FRAGMENTS) | st.characters(codec="ascii", exclude_characters="\r\0") | st.just("\n")
    insert = st.just("") | small | fragments(5) | lines(3)
    return st.builds(Edit, st.floats(0, 1), st.sampled_from([0, 0, 0, 1, 1, 2, 5, 40]), insert)
