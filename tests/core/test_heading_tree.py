"""What follows from levels and titles alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.block import Title
from canvas_server.core.heading_tree import HeadingTree


def _tree(*titles: str) -> HeadingTree:
    return HeadingTree([Title(title, 1, 0) for title in titles])


def test_ids_are_lower_case_with_hyphens_and_without_punctuation() -> None:
    assert _tree("What's New in 2.0?", "Élan vital_x", "a - b", "😀 ok", "!!!").ids == [
        "whats-new-in-20",
        "élan-vital_x",
        "a---b",
        "-ok",
        "",
    ]


def test_a_repeated_title_counts_on_past_ids_that_are_taken() -> None:
    assert _tree("a", "a-1", "a", "a", "A").ids == ["a", "a-1", "a-2", "a-3", "a-4"]


@given(st.lists(st.sampled_from(["a", "a-1", "a-2", "a-1-1", "A", ""]), max_size=12))
@settings(max_examples=100, deadline=None)
def test_no_two_headings_have_one_id(titles: list[str]) -> None:
    tree = _tree(*titles)
    assert len(set(tree.ids)) == len(titles)
    assert [tree.index_of_id[name] for name in tree.ids] == list(range(len(titles)))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_heading_is_below_the_last_one_before_it_that_ranks_higher(levels: list[int]) -> None:
    tree = HeadingTree([Title(str(index), level, 0) for index, level in enumerate(levels)])
    for index, level in enumerate(levels):
        above = [at for at in range(index) if levels[at] < level]
        assert tree.parents[index] == max(above, default=-1)
        assert tree.path(index) == (*(tree.path(above[-1]) if above else ()), str(index))
        after = [at for at in range(index + 1, len(levels)) if levels[at] <= level]
        assert tree.next_of_rank(index) == min(after, default=len(levels))
