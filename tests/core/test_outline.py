"""What an outline tells, and what edits cost it."""

from __future__ import annotations

import pytest

from canvas_server.core.outline import Heading, Outline
from tests.core.markdown import PlainSource

_TEXT = """\
intro

# Book
## One

text of one

## Two #

Under
lined
-----
### Deep

# End
"""


class _Editor:
    """A text and its outline, edited together; every edit gets the next number."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.outline = Outline.parse(PlainSource(text), 0)
        self.edits = 0

    def splice(self, start: int, removed: int, insert: str) -> None:
        gone = self.text[start : start + removed]
        self.text = self.text[:start] + insert + self.text[start + removed :]
        self.edits += 1
        self.outline.update(PlainSource(self.text), start, gone, insert, self.edits)

    def replace(self, old: str, new: str) -> None:
        self.splice(self.text.index(old), len(old), new)

    def type_after(self, place: str, keys: str) -> None:
        start = self.text.index(place) + len(place)
        for key in keys:
            self.splice(start, 0, key)
            start += 1


def _titles(text: str) -> list[str]:
    return [heading.title for heading in Outline.parse(PlainSource(text), 0).headings()]


@pytest.fixture
def editor() -> _Editor:
    return _Editor(_TEXT)


def test_headings_come_in_order_with_level_title_and_place(editor: _Editor) -> None:
    outline = editor.outline
    assert [(heading.level, heading.title) for heading in outline.headings()] == [
        (1, "Book"),
        (2, "One"),
        (2, "Two"),
        (2, "Under lined"),
        (3, "Deep"),
        (1, "End"),
    ]
    assert outline.heading(1) == Heading(start=14, body_start=21, level=2, title="One")
    assert _TEXT[outline.heading(3).start : outline.heading(3).body_start] == "Under\nlined\n-----\n"
    assert outline.heading(5).body_start == len(_TEXT)
    assert len(outline) == 6


def test_a_section_ends_at_the_next_heading_of_its_rank_and_a_segment_at_any(editor: _Editor) -> None:
    outline = editor.outline
    assert [outline.section_end(index) for index in range(6)] == [
        _TEXT.index("# End"),
        _TEXT.index("## Two"),
        _TEXT.index("Under"),
        _TEXT.index("# End"),
        _TEXT.index("# End"),
        len(_TEXT),
    ]
    assert outline.own_end(0) == _TEXT.index("## One")
    assert outline.own_end(5) == len(_TEXT)


def test_every_offset_lies_in_one_segment_and_the_first_is_before_all_headings(editor: _Editor) -> None:
    outline = editor.outline
    assert outline.segment_at(0) == 0
    assert outline.segment_at(_TEXT.index("# Book") - 1) == 0
    assert outline.segment_at(_TEXT.index("# Book")) == 1
    assert outline.segment_at(_TEXT.index("text of one")) == 2
    assert outline.segment_at(len(_TEXT)) == 6
    assert len(outline.changed) == 7


def test_a_path_names_the_headings_above_outermost_first(editor: _Editor) -> None:
    assert editor.outline.path(4) == ("Book", "Under lined", "Deep")
    assert editor.outline.path(5) == ("End",)


def test_titles_and_ids_find_headings(editor: _Editor) -> None:
    outline = editor.outline
    assert outline.ids() == ["book", "one", "two", "under-lined", "deep", "end"]
    assert outline.id(3) == "under-lined"
    assert outline.index_of_id("under-lined") == 3
    assert outline.index_of_id("nowhere") is None
    assert list(outline.indices_of_title("Two")) == [2]
    assert list(outline.indices_of_title("two")) == []


def test_front_matter_holds_no_heading_and_ends_where_the_text_starts() -> None:
    text = "---\n# not: a heading\n---\n# Yes\n"
    outline = Outline.parse(PlainSource(text), 0)
    assert outline.front_matter_end == text.index("# Yes")
    assert [heading.title for heading in outline.headings()] == ["Yes"]


def test_what_is_nested_or_literal_holds_no_heading() -> None:
    nested = (
        "- # item\n\n> # quote\n\n    # code\n\n```\n# fence\n```\n\n<div>\n# html\n</div>\n\n\\# escaped\n\n#tag\n"
    )
    assert _titles(nested) == []


def test_a_line_ends_only_at_a_line_feed() -> None:
    assert _titles("a\u2028# b\x0b# c\x85# d\x0c# e\n# f\n") == ["f"]


def test_typing_in_a_line_of_prose_scans_nothing(editor: _Editor) -> None:
    editor.type_after("text of", " chapter # 1 - <b>not</b> `a` [heading]")
    assert editor.outline.scans == 0
    assert editor.outline.heading(2).start == editor.text.index("## Two")


@pytest.mark.parametrize(
    "line",
    ["- an item", "  1. an item", "> a quote", "> - **both", "| a | table", "2024 was", "    code", "**Bold", "`code`"],
)
def test_typing_behind_the_start_of_any_settled_line_scans_nothing(line: str) -> None:
    editor = _Editor(f"# a\n\n{line}\n\n# b\n")
    editor.type_after(line, " more words")
    assert editor.outline.scans == 0
    assert editor.outline.heading(1).start == editor.text.index("# b")


def test_deleting_in_a_line_of_prose_scans_nothing(editor: _Editor) -> None:
    for _ in range(3):
        editor.replace("f one", " one") if "f one" in editor.text else editor.replace(" one", " one!")
    assert editor.outline.scans == 0


class _CountingSource(PlainSource):
    """Counts the characters that are read of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.read = 0

    def slice(self, start: int, end: int) -> str:
        found = super().slice(start, end)
        self.read += len(found)
        return found


def _read_by_edits(copies: int, inserts: list[str]) -> list[int]:
    """Return how many characters of a text of so many copies are read by edits in the middle of it."""
    text = (_TEXT + "\n- an item\n- another\n\n> quoted\n\n```\ncode\n```\n\n") * copies
    start = text.index("text of one", len(text) // 2)
    outline = Outline.parse(PlainSource(text), 0)
    counts = []
    for insert in inserts:
        text = text[:start] + insert + text[start:]
        source = _CountingSource(text)
        outline.update(source, start, "", insert, 1)
        counts.append(source.read)
    return counts


def test_an_edit_reads_no_more_of_a_long_text_than_of_a_short_one() -> None:
    inserts = ["x", "\n", "# H\n", "- item\n", "> quote\n\n", "<div>\n\n", "[a]: /u\n\n", "```\ncode\n```\n"]
    counts = _read_by_edits(1000, inserts)
    assert counts == _read_by_edits(20, inserts)
    assert max(counts) < 1000


@pytest.mark.parametrize(
    ("place", "keys"),
    [("## On", "ly"), ("text of one", "\n"), ("text of one\n", "x"), ("intro\n", "- "), ("intro", "]:")],
)
def test_an_edit_that_may_change_blocks_is_scanned(editor: _Editor, place: str, keys: str) -> None:
    editor.type_after(place, keys)
    assert editor.outline.scans > 0


def test_an_edit_changes_the_segment_it_is_in_and_no_other(editor: _Editor) -> None:
    editor.replace("text of", "all of")
    assert editor.outline.changed == [0, 0, 1, 0, 0, 0, 0]
    assert editor.outline.touched(editor.text.index("all of"), 3, "") == range(2, 3)


def test_a_renamed_heading_changes_its_own_segment_only(editor: _Editor) -> None:
    editor.replace("## Two", "## Three")
    assert editor.outline.changed == [0, 0, 0, 1, 0, 0, 0]
    assert list(editor.outline.indices_of_title("Three")) == [2]


def test_text_inserted_before_a_heading_belongs_to_the_segment_before(editor: _Editor) -> None:
    start = _TEXT.index("## Two")
    assert editor.outline.touched(start, 0, "more\n\n") == range(2, 3)
    editor.splice(start, 0, "more\n\n")
    assert editor.outline.changed == [0, 0, 1, 0, 0, 0, 0]


def test_a_section_inserted_before_a_heading_touches_the_segment_before(editor: _Editor) -> None:
    editor.splice(_TEXT.index("## Two"), 0, "## New\n\n")
    assert editor.outline.changed == [0, 0, 1, 1, 0, 0, 0, 0]


def test_text_inserted_on_the_line_of_a_heading_changes_both_segments(editor: _Editor) -> None:
    start = _TEXT.index("## Two")
    assert editor.outline.touched(start, 0, "no ") == range(2, 4)
    editor.splice(start, 0, "no ")
    assert [heading.title for heading in editor.outline.headings()] == ["Book", "One", "Under lined", "Deep", "End"]
    assert editor.outline.changed == [0, 0, 1, 0, 0, 0]


def test_a_new_heading_changes_the_segment_it_splits_and_makes_one(editor: _Editor) -> None:
    editor.replace("text of one\n", "text\n\n## New\n\nof one\n")
    assert [heading.title for heading in editor.outline.headings()][1:4] == ["One", "New", "Two"]
    assert editor.outline.changed == [0, 0, 1, 1, 0, 0, 0, 0]


def test_a_deleted_heading_changes_the_segment_that_its_text_falls_to(editor: _Editor) -> None:
    editor.replace("## Two #\n", "")
    assert editor.outline.changed == [0, 0, 1, 0, 0, 0]


def test_an_edit_over_several_segments_touches_all_of_them(editor: _Editor) -> None:
    start, end = _TEXT.index("of one"), _TEXT.index("Deep")
    assert editor.outline.touched(start, end - start, "") == range(2, 6)
    editor.splice(start, end - start, "")
    assert editor.outline.changed == [0, 0, 1, 0]


def test_a_fence_opened_far_above_changes_the_segment_that_swallows_the_rest(editor: _Editor) -> None:
    editor.replace("text of", "```\ntext of")
    assert [heading.title for heading in editor.outline.headings()] == ["Book", "One"]
    assert editor.outline.changed == [0, 0, 1]
    editor.replace("```\n", "")
    assert len(editor.outline) == 6
    assert editor.outline.changed == [0, 0, 2, 2, 2, 2, 2]


def test_an_edit_in_front_matter_changes_the_first_segment_only() -> None:
    editor = _Editor("---\na: 1\n---\n# H\n")
    editor.replace("a: 1", "a: 2\nb: 3")
    assert editor.outline.front_matter_end == editor.text.index("# H")
    assert editor.outline.changed == [1, 0]


def test_front_matter_that_loses_its_end_gives_its_lines_to_the_text() -> None:
    editor = _Editor("---\n# a\n---\n# b\n")
    editor.splice(editor.text.index("---\n# b"), 1, "")
    assert editor.outline.front_matter_end == 0
    assert [heading.title for heading in editor.outline.headings()] == ["a", "b"]


def test_an_edit_of_nothing_changes_nothing(editor: _Editor) -> None:
    editor.splice(_TEXT.index("text of"), 0, "")
    assert set(editor.outline.changed) == {0}


def test_a_copy_and_its_original_go_their_own_ways(editor: _Editor) -> None:
    twin = editor.outline.copy()
    editor.replace("## One", "# Only")
    editor.replace("intro", "a longer introduction")
    assert twin.heading(1) == Heading(start=14, body_start=21, level=2, title="One")
    assert twin.path(1) == ("Book", "One")
    assert set(twin.changed) == {0}
    assert editor.outline.path(1) == ("Only",)


@pytest.mark.parametrize(
    ("opening", "closing"), [("```js", "```"), ("<script>", "</script>"), ("<!--", "-->"), ("    code", "    code")]
)
def test_typing_in_code_or_in_html_that_has_an_end_scans_once_at_most(opening: str, closing: str) -> None:
    begin = "# One\n\n" + opening + "\n    let a = 1\n"
    text = begin + "    let b = 2\n    let c = 3\n" + closing + "\n\n# Two\n"
    outline, place = Outline.parse(PlainSource(text), 0), len(begin) + len("    let b")
    for character in " = <b> + '-' > 1":
        text = text[:place] + character + text[place:]
        outline.update(PlainSource(text), place, "", character, 1)
        place += 1
    assert outline.scans <= 1
    assert [heading.title for heading in outline.headings()] == ["One", "Two"]


def test_an_end_written_into_code_lets_headings_stand_behind_it() -> None:
    editor = _Editor("```\n# no\n\n# heading\n")
    for place, character in enumerate("```\n", start=len("```\n# no\n")):
        editor.splice(place, 0, character)
    assert [heading.title for heading in editor.outline.headings()] == ["heading"]
