"""Where YAML front matter ends, before and after edits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.front_matter import front_matter_end, front_matter_end_after
from tests.core import markdown
from tests.core.markdown import Edit, PlainSource

_TEXTS = st.lists(st.sampled_from(["---", "...", "\n", "\n", " ", "\t", "a", "-", "."]), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("---\na: b\n---\ntext", 13),
        ("---\na: b\n...\ntext", 13),
        ("--- \n---\t\n", 10),
        ("---\n---", 7),
        ("---\na\n", 0),
        ("---", 0),
        ("", 0),
        ("\n---\n---\n", 0),
        (" ---\n---\n", 0),
        ("---x\n---\n", 0),
        ("---\n ---\n--- x\n----\n", 0),
    ],
)
def test_front_matter_goes_from_a_first_line_to_a_closing_one(text: str, end: int) -> None:
    assert front_matter_end(PlainSource(text)) == end


@given(_TEXTS, st.builds(Edit, st.floats(0, 1), st.integers(0, 4), _TEXTS))
@settings(max_examples=150, deadline=None)
def test_after_an_edit_its_end_is_what_the_whole_text_says(text: str, edit: Edit) -> None:
    edited, start, _gone = edit.apply(text)
    end = markdown.front_matter_end(text)
    source = PlainSource(edited)
    assert front_matter_end(source) == markdown.front_matter_end(edited)
    assert front_matter_end_after(source, start, len(edit.insert), end) == markdown.front_matter_end(edited)
