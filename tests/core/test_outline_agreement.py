"""However a text came to be, its outline is what markdown-it-py makes of it as a whole."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from canvas_server.core.outline import Heading, Outline
from tests.core.markdown import Edit, PlainSource, edits, front_matter_end, headings, texts

_SPEC: Final = Path(__file__).parents[3] / "shared" / "corpora" / "commonmark-spec.txt"
_EXAMPLE: Final = re.compile(r"^`{32} example[^\n]*\n(.*?)^\.$.*?^`{32}$", re.MULTILINE | re.DOTALL)
_PROSE: Final = "A paragraph of some words, and a [link](/to).\n\n- an item\n- another\n\n" * 20


class _Editor:
    """A text and its outline, edited together."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.outline = Outline.parse(PlainSource(text), 0)
        self.version = 0

    def splice(self, start: int, removed: int, insert: str) -> None:
        gone = self.text[start : start + removed]
        self.text = self.text[:start] + insert + self.text[start + removed :]
        self.version += 1
        self.outline.update(PlainSource(self.text), start, gone, insert, self.version)

    def edit(self, edit: Edit) -> None:
        text, start, gone = edit.apply(self.text)
        self.text = text
        self.version += 1
        self.outline.update(PlainSource(text), start, gone, edit.insert, self.version)

    def check(self) -> None:
        assert self.outline.headings() == headings(self.text)
        assert self.outline.front_matter_end == front_matter_end(self.text)


@cache
def _examples() -> list[str]:
    if not _SPEC.exists():
        pytest.skip(f"the CommonMark specification is not at {_SPEC}")
    found = [example.replace("→", "\t") for example in _EXAMPLE.findall(_SPEC.read_text(encoding="utf-8"))]
    assert len(found) > 600
    return found


def _blocks(outline: Outline[int]) -> tuple[list[int], bytes]:
    return list(outline._blocks._starts), bytes(outline._blocks._traits)


def test_every_example_of_the_specification_has_the_headings_of_a_whole_parse() -> None:
    for text in _examples():
        _Editor(text).check()
        _Editor(text.removesuffix("\n")).check()


@pytest.mark.slow
def test_every_example_typed_character_by_character_agrees_at_every_step() -> None:
    for text in _examples():
        editor = _Editor("")
        for place, character in enumerate(text):
            editor.splice(place, 0, character)
            editor.check()


@pytest.mark.slow
def test_every_example_deleted_chunk_by_chunk_agrees_at_every_step() -> None:
    random = Random(7)
    for text in _examples():
        editor = _Editor(text)
        while editor.text:
            editor.splice(random.randrange(len(editor.text)), random.randint(1, 6), "")
            editor.check()


@pytest.mark.slow
def test_the_whole_specification_with_its_examples_moved_about_agrees() -> None:
    random = Random(8)
    examples = _examples()
    editor = _Editor(_SPEC.read_text(encoding="utf-8"))
    for _ in range(20):
        editor.splice(random.randrange(len(editor.text)), random.choice([0, 1, 30]), random.choice(examples))
        editor.check()


@given(texts())
@settings(max_examples=150, deadline=None)
# A quote goes on with a marked line however far that is indented, and then with text that has no marker.
@example("> \n     > a\n b\n===\n")
# markdown-it-py's rules read past the end of a text whose last line, in a list in a quote, has no newline.
@example("> - a\nb\n> - <!--\n>")
# A definition reaches over the underline of what would be a heading without it.
@example("[a\n===\n" + "b\n" * 600 + "c]: /u\nd\n===\n")
# Behind a tab, what is indented further than an item has its columns counted by the rules.
@example("1.   a\n\n\t b\nc\n===\n")
# A fence ends with one of its own kind that is as long.
@example("````\n```\n# h\n````\n# h\n~~~\n```\n# h\n")
# Ten lists in one line are too deep for markdown-it-py: all that follows is lost to them, other items too.
@example("- - - - - - - - - - x\n- b\n# h\n")
# An item of a list ends where the next one starts, though its own inside is for the rules to tell.
@example("- a\n  - b\nc\n- d\n  e\nf\n# h\n")
def test_a_parsed_text_has_the_headings_of_a_whole_parse(text: str) -> None:
    _Editor(text).check()


@given(texts(), st.lists(edits(), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
# A reference definition reaches over a heading that comes to be inside its title.
@example("[a]: /u 't\n===\nfoo", [Edit(1.0, 0, "'"), Edit(1.0, 0, "x")])
# Ten lists in one line are too deep: all that follows is lost to them.
@example("# h\n", [Edit(0.0, 0, "- - - - - - - - - x\n"), Edit(0.0, 0, "- ")])
def test_an_edited_outline_agrees_after_every_edit(text: str, changes: list[Edit]) -> None:
    editor = _Editor(text)
    for change in changes:
        editor.edit(change)
        editor.check()


@given(texts(), st.lists(edits(), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_an_edited_outline_knows_the_blocks_that_a_parse_of_its_text_finds(text: str, changes: list[Edit]) -> None:
    editor = _Editor(text)
    for change in changes:
        editor.edit(change)
        assert _blocks(editor.outline) == _blocks(Outline.parse(PlainSource(editor.text), 0))


@given(texts(), st.lists(edits(), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_edits_in_the_middle_of_a_long_text_agree(text: str, changes: list[Edit]) -> None:
    editor = _Editor(_PROSE + text + "\n\n" + _PROSE)
    share = len(text) / len(editor.text)
    for change in changes:
        editor.edit(Edit(0.5 + (change.place - 0.5) * share, change.removed, change.insert))
        editor.check()


@given(texts(), st.lists(edits(), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_segment_that_keeps_its_value_holds_the_very_text_it_held(text: str, changes: list[Edit]) -> None:
    editor = _Editor(text)
    for change in changes:
        before = _segments(editor)
        editor.edit(change)
        for segment, version in _segments(editor):
            assert version == editor.version or (segment, version) in before


@given(texts(), st.lists(edits(), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_an_edit_that_leaves_the_headings_alone_touches_no_more_than_was_said_before(
    text: str, changes: list[Edit]
) -> None:
    editor = _Editor(text)
    for change in changes:
        _, start, gone = change.apply(editor.text)
        told = editor.outline.touched(start, len(gone), change.insert)
        before = editor.outline.headings()
        editor.edit(change)
        if _moved(before, start, len(gone), len(change.insert)) == editor.outline.headings():
            found = {index for index, version in enumerate(editor.outline.changed) if version == editor.version}
            assert found <= set(told)


def _segments(editor: _Editor) -> list[tuple[str, int]]:
    starts = [0, *(heading.start for heading in editor.outline.headings())]
    ends = [*starts[1:], len(editor.text)]
    pairs = zip(starts, ends, editor.outline.changed, strict=True)
    return [(editor.text[start:end], version) for start, end, version in pairs]


def _moved(before: list[Heading], start: int, removed: int, inserted: int) -> list[Heading]:
    """Return the headings as an edit between them moves them."""
    growth = inserted - removed
    return [
        heading._replace(start=heading.start + growth, body_start=heading.body_start + growth)
        if heading.start >= start + removed
        else heading
        for heading in before
    ]
