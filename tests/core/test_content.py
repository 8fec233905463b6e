"""Content is fitted to its place, and only as far as it asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.content import (
    content_end,
    fit,
    lower_headings,
    newlines_after,
    newlines_before,
    normalise,
    surround,
)
from canvas_server.core.operation import Options
from canvas_server.core.text import Text

lines = st.text(alphabet="ab \t\n", max_size=12)


@given(st.text(alphabet="a\r\n", max_size=12))
def test_all_line_ends_become_lf_and_nothing_else_changes(content: str) -> None:
    assert normalise(content).split("\n") == content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert normalise(normalise(content)) == normalise(content)


@given(lines, lines, st.integers(1, 3), st.sampled_from(["x", "\n\nx\n", "x\ny"]))
def test_content_stands_between_as_many_blank_lines_as_it_asks_for(
    before: str, after: str, blank_lines: int, content: str
) -> None:
    text = Text(before + after)
    insert = surround(text, len(before), len(before), content, blank_lines)
    assert insert.strip("\n") == content.strip("\n")
    whole = before + insert + after
    first = len(before) + len(insert) - len(insert.lstrip("\n"))
    last = len(before) + len(insert.rstrip("\n"))
    wanted = blank_lines + 1
    if before.strip():
        assert whole[:first][len(before.rstrip()) :].count("\n") >= wanted
    else:
        assert first == len(before)
    if after.strip():
        assert whole[last:][: len(whole) - last - len(after.lstrip())].count("\n") >= wanted
    else:
        assert last == len(before) + len(insert)


@given(lines, lines)
def test_with_no_blank_lines_content_is_spliced_as_it_is(before: str, content: str) -> None:
    assert surround(Text(before), len(before), len(before), content, 0) == content


@given(lines, lines)
def test_newlines_are_counted_up_to_the_nearest_text(before: str, after: str) -> None:
    text = Text(before + after)
    here = len(before)
    kept = before.rstrip()
    assert newlines_before(text, here) == (before[len(kept) :].count("\n") if kept else None)
    kept = after.lstrip()
    assert newlines_after(text, here) == (after[: len(after) - len(kept)].count("\n") if kept else None)


@pytest.mark.parametrize("count", [100, 300, 5_000])
def test_long_stretches_of_blank_lines_are_looked_through(count: int) -> None:
    text = Text("a" + "\n" * count + "b")
    assert newlines_before(text, count + 1) == count
    assert newlines_after(text, 1) == count
    assert content_end(text, 0, count + 1) == 1


@pytest.mark.parametrize(
    ("text", "end"), [("", 0), ("\n \n", 0), ("a", 1), ("a\n", 1), ("a  \n\n", 3), ("a\nb \n \n", 4)]
)
def test_the_content_ends_after_the_last_line_that_is_not_blank(text: str, end: int) -> None:
    assert content_end(Text(text), 0, len(text)) == end


@pytest.mark.parametrize(
    ("content", "by", "lowered"),
    [
        ("# A\n\n## B\n", 1, "## A\n\n### B\n"),
        ("##### A #####\n", 3, "###### A #####\n"),
        ("A\n===\n\nB\n---\n", 1, "## A\n\n### B\n"),
        ("```\n# no heading\n```\n", 2, "```\n# no heading\n```\n"),
        ("text", 2, "text"),
    ],
)
def test_headings_are_lowered_and_nothing_else(content: str, by: int, lowered: str) -> None:
    assert lower_headings(content, by) == lowered


def test_dedent_comes_before_headings_are_lowered() -> None:
    options = Options(dedent=True, relative_headings=True)
    assert fit("    # A\r\n    text\r\n", options, 1) == "## A\ntext\n"
    assert fit("    # A\n", options, 0) == "# A\n"
