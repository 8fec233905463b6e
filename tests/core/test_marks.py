"""Marks say what a plain list of numbers says, whatever is done to both."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.marks import CHUNK, Marks

_GAPS = st.lists(st.integers(0, 5), max_size=20)
_COUNTS = st.sampled_from([0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 20 * CHUNK])
_PLACE = st.floats(0, 1)
_EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("shift"), _PLACE, st.integers(0, 9)),
        st.tuples(st.just("shift back"), _PLACE, st.integers(0, 9)),
        st.tuples(st.just("insert"), _PLACE, _GAPS),
        st.tuples(st.just("replace"), _PLACE, _GAPS),
        st.tuples(st.just("remove many"), _PLACE, st.integers(0, 4 * CHUNK)),
    ),
    max_size=25,
)
_Edit = tuple[str, float, int | list[int]]


class _Both:
    """Marks and the plain list that they are to equal."""

    def __init__(self, count: int) -> None:
        self.plain = [3 * index // 2 for index in range(count)]
        self.marks = Marks(self.plain)

    def shift(self, index: int, delta: int) -> None:
        self.plain[index:] = [mark + delta for mark in self.plain[index:]]
        self.marks.shift(index, delta)

    def replace(self, start: int, stop: int, offsets: list[int]) -> None:
        self.plain[start:stop] = offsets
        self.marks.replace(start, stop, offsets)

    def edit(self, kind: str, place: float, what: int | list[int]) -> None:
        index = round(place * len(self.plain))
        before = self.plain[index - 1] if index else 0
        if isinstance(what, list):
            stop = min(len(self.plain), index + len(what) // 2) if kind == "replace" else index
            grown = list(accumulate(what, initial=before))
            self.shift(stop, grown[-1] - before)
            self.replace(index, stop, grown[1:])
        elif kind == "remove many":
            self.replace(index, min(len(self.plain), index + what), [])
        elif kind == "shift back" and index < len(self.plain):
            self.shift(index, -min(what, self.plain[index] - before))
        else:
            self.shift(index, what)


@given(_COUNTS, _EDITS)
@settings(max_examples=100, deadline=None)
def test_marks_equal_a_plain_list_after_any_edits(count: int, edits: list[_Edit]) -> None:
    both = _Both(count)
    for edit in edits:
        both.edit(*edit)
        assert list(both.marks) == both.plain
        assert len(both.marks) == len(both.plain)
    assert [both.marks[index] for index in range(len(both.plain))] == both.plain


@given(_COUNTS, _EDITS, st.lists(_PLACE, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_searching_marks_finds_what_searching_the_list_finds(
    count: int, edits: list[_Edit], places: list[float]
) -> None:
    both = _Both(count)
    for edit in edits:
        both.edit(*edit)
        end = (both.plain[-1] if both.plain else 0) + 2
        for place in places:
            offset = round(place * end) - 1
            assert both.marks.bisect_right(offset) == bisect_right(both.plain, offset)
            assert both.marks.bisect_left(offset) == bisect_left(both.plain, offset)


def test_equal_marks_are_all_counted_though_they_lie_in_many_chunks() -> None:
    marks = Marks([1] + [7] * (5 * CHUNK) + [9])
    assert marks.bisect_left(7) == 1
    assert marks.bisect_right(7) == 5 * CHUNK + 1


def test_a_copy_stays_where_it_is_when_the_original_moves() -> None:
    marks = Marks(range(10))
    marks.shift(3, 5)
    twin = marks.copy()
    marks.shift(2, 1)
    marks.replace(0, 2, [])
    assert list(twin) == [0, 1, 2, 8, 9, 10, 11, 12, 13, 14]
    twin.shift(0, 100)
    assert list(marks) == [3, 9, 10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_mark_outside(index: int) -> None:
    with pytest.raises(IndexError):
        Marks([1, 2, 3])[index]


def test_a_shift_where_the_last_one_was_writes_no_mark() -> None:
    marks = Marks(range(100_000))
    marks.shift(50, 1)
    stored = [*marks._bases], [chunk.copy() for chunk in marks._chunks]
    for _ in range(10):
        marks.shift(50, 1)
    assert ([*marks._bases], marks._chunks) == stored
    assert marks[49] == 49
    assert marks[99_999] == 99_999 + 11
