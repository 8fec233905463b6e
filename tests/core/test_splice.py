"""Places are carried over splices as the text itself would carry them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.splice import (
    Span,
    Splice,
    apply_changes,
    map_point,
    map_range,
    map_whole,
    splice_span,
    touches,
    unmap_untouched,
    utf16_length,
)

TEXT = "abcdefghij"


@st.composite
def stretches(draw: st.DrawFn) -> tuple[int, int]:
    start, end = sorted((draw(st.integers(0, len(TEXT))), draw(st.integers(0, len(TEXT)))))
    return start, end


@st.composite
def splices(draw: st.DrawFn) -> Splice:
    start, end = draw(stretches())
    return Splice(start, end, draw(st.sampled_from(["", "X", "XYZ"])))


@given(stretches(), splices())
def test_a_stretch_that_a_splice_does_not_touch_keeps_its_text_and_finds_its_way_back(
    stretch: tuple[int, int], splice: Splice
) -> None:
    start, end = stretch
    span = splice_span(splice)
    if touches(start, end, span):
        return
    moved = map_point(start, span), map_point(end, span)
    after = apply_changes(TEXT, [splice])
    assert after[moved[0] : moved[1]] == TEXT[start:end]
    assert start == end == splice.start or unmap_untouched(*moved, span) == stretch


@given(stretches(), splices())
def test_what_a_stretch_was_before_a_splice_is_known_only_if_the_splice_did_not_touch_it(
    stretch: tuple[int, int], splice: Splice
) -> None:
    after = apply_changes(TEXT, [splice])
    start, end = min(stretch[0], len(after)), min(stretch[1], len(after))
    before = unmap_untouched(start, end, splice_span(splice))
    if before is None:
        assert splice.start <= end
        assert start <= splice.start + len(splice.insert)
    else:
        assert TEXT[before[0] : before[1]] == after[start:end]
        assert not touches(*before, splice_span(splice))


@given(st.integers(0, len(TEXT)), splices())
def test_a_place_stays_where_it_is_or_keeps_what_is_left_of_the_text_behind_it(point: int, splice: Splice) -> None:
    moved = map_point(point, splice_span(splice))
    if point < splice.start:
        assert moved == point
    else:
        assert apply_changes(TEXT, [splice])[moved:] == TEXT[max(point, splice.end) :]


@given(stretches(), splices())
def test_a_stretch_is_whole_after_a_splice_only_with_the_same_text(stretch: tuple[int, int], splice: Splice) -> None:
    moved = map_whole(*stretch, splice_span(splice))
    if moved is not None:
        assert apply_changes(TEXT, [splice])[moved[0] : moved[1]] == TEXT[stretch[0] : stretch[1]]


@given(stretches(), splices())
def test_what_is_left_of_a_stretch_holds_all_of_its_text_that_was_not_removed(
    stretch: tuple[int, int], splice: Splice
) -> None:
    start, end = stretch
    moved = map_range(start, end, splice_span(splice))
    kept = [char for at, char in enumerate(TEXT) if start <= at < end and not splice.start <= at < splice.end]
    if moved is None:
        assert kept == []
        assert start < end
    else:
        now = apply_changes(TEXT, [splice])[moved[0] : moved[1]]
        assert [char for char in now if char.islower()] == kept


@pytest.mark.parametrize(
    ("stretch", "span", "touched"),
    [
        ((3, 3), Span(3, 3, 1), False),
        ((3, 5), Span(3, 3, 1), True),
        ((3, 5), Span(5, 5, 1), True),
        ((3, 5), Span(4, 4, 1), True),
        ((3, 5), Span(6, 6, 1), False),
        ((3, 5), Span(1, 2, 0), False),
        ((3, 3), Span(2, 3, -1), True),
        ((3, 3), Span(3, 4, -1), True),
    ],
)
def test_a_splice_touches_what_it_changes_inside_or_at_the_borders(
    stretch: tuple[int, int], span: Span, touched: bool
) -> None:
    assert touches(*stretch, span) is touched


def test_two_insertions_at_one_point_leave_the_earlier_one_first() -> None:
    assert map_point(3, Span(3, 3, 2)) == 5


@pytest.mark.parametrize("splice", [Splice(-1, 0, ""), Splice(3, 2, ""), Splice(0, 11, "")])
def test_a_splice_outside_the_text_is_refused(splice: Splice) -> None:
    with pytest.raises(ValueError, match="outside"):
        apply_changes(TEXT, [splice])


@given(st.text(alphabet="aé€😀", max_size=20))
def test_utf16_counts_what_the_encoding_takes(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2
