"""Markdown: the outline against a whole parse, the ids of headings, and what is made of content."""

from __future__ import annotations

from typing import Final

from canvas_server.core.content import lower_headings, normalise
from canvas_server.core.outline import Outline
from tests.core.markdown import FRAGMENTS, PlainSource, front_matter_end, headings
from tests.fuzz.law import Target, parts_of, text_of

_CHARS_MAX: Final = 2_000
"""The referee takes a time that grows with the square of some texts."""


def outline(data: bytes) -> None:
    """However a text came to be, its headings are those of a whole parse, and each has an id of its own."""
    first, second, how = parts_of(data, 3)
    text, insert = normalise(text_of(first))[:_CHARS_MAX], normalise(text_of(second))[:_CHARS_MAX]
    known = Outline.parse(PlainSource(text), 0)
    _check(known, text)
    start = (int.from_bytes(how[:2]) if how else 0) % (len(text) + 1)
    end = min(len(text), start + (how[2] if len(how) > 2 else 0))
    edited = text[:start] + insert + text[end:]
    known.update(PlainSource(edited), start, text[start:end], insert, 1)
    _check(known, edited)


def _check(known: Outline[int], text: str) -> None:
    assert known.headings() == headings(text)
    assert known.front_matter_end == front_matter_end(text)
    assert len(set(known.ids())) == len(known.ids())
    for index, name in enumerate(known.ids()):
        assert known.index_of_id(name) == index
    assert len(known.changed) == len(known) + 1


def lowered(data: bytes) -> None:
    """Headings that are lowered are as many, as deep as they should be, and a text without any stays as it is."""
    by, text = 1 + (data[0] if data else 0) % 6, normalise(text_of(data[1:]))[:_CHARS_MAX]
    before = Outline.parse(PlainSource(text), 0).headings()
    made = lower_headings(text, by)
    after = Outline.parse(PlainSource(made), 0).headings()
    assert before or made == text
    assert [heading.level for heading in after] == [min(heading.level + by, 6) for heading in before], (text, made)


_SEEDS: Final = (
    b"---\na: b\n---\n\n# One\n\ntext\n\nTwo\n===\n\n- a\n  # no\n\n> # no\n",
    b"# One\n```\n# no\n```\n\n<div>\n# no\n</div>\n\n# One #\n",
    b"# a\n\xffb\n===\n\xff\0\3\1",
    b"[a]: /u 't\n===\nx'\n\xff# h\n\xff\0\5\0",
    b"- - - a\n  b\n1. c\n\n   # d\n\xff> e\n\xff\0\2\4",
    b"~~~\n<!--\n~~~\n-->\n### x\n",
)
_WORDS: Final = (*(fragment.encode() for fragment in FRAGMENTS), b"\xff", b"\n\n", b"    ")
TARGETS: Final = {
    "outline": Target(outline, _SEEDS, _WORDS),
    "lowered": Target(lowered, tuple(b"\1" + seed.replace(b"\xff", b"\n") for seed in _SEEDS), _WORDS),
}
