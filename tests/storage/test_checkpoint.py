from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.storage.checkpoint import TEXT_SPACING_OPS, kept_texts

SEQS = st.lists(st.integers(0, 20_000), min_size=1, max_size=40, unique=True).map(sorted)


def test_with_all_history_kept_the_first_and_the_newest_text_stay() -> None:
    assert kept_texts([0, 10, 20], 25, 0) == [0, 20]


def test_a_text_stays_when_it_is_far_from_the_one_kept_before() -> None:
    far = TEXT_SPACING_OPS
    assert kept_texts([0, far - 1, far, far + 1, 2 * far], 2 * far, 0) == [0, far, 2 * far]


def test_history_starts_at_the_newest_text_that_leaves_enough_operations_after_it() -> None:
    assert kept_texts([0, 100, 200, 300], 350, 100) == [200, 300]


def test_a_short_history_keeps_texts_near_enough_to_be_cut_at() -> None:
    assert kept_texts([0, 5, 12, 18, 24], 24, 20) == [0, 24]
    assert kept_texts([0, 5, 12, 18, 24], 24, 10) == [12, 24]


def test_history_is_not_cut_while_no_text_leaves_enough_operations_after_it() -> None:
    assert kept_texts([0, 100], 120, 150) == [0, 100]


def test_history_may_start_at_the_newest_text() -> None:
    assert kept_texts([0, 100], 400, 150) == [100]


@given(SEQS, st.integers(0, 5_000), st.integers(0, 25_000))
def test_the_newest_text_and_enough_operations_always_stay(text_seqs: list[int], tail: int, ops_max: int) -> None:
    newest_seq = text_seqs[-1] + tail
    kept = kept_texts(text_seqs, newest_seq, ops_max)
    assert kept[-1] == text_seqs[-1]
    assert kept == sorted(set(kept) & set(text_seqs))
    assert kept[0] == text_seqs[0] or newest_seq - kept[0] >= ops_max > 0
    assert kept_texts(kept, newest_seq, ops_max) == kept


@given(SEQS)
def test_thinning_text_by_text_or_all_at_once_keeps_the_same(text_seqs: list[int]) -> None:
    one_by_one: list[int] = []
    for seq in text_seqs:
        one_by_one = kept_texts([*one_by_one, seq], seq, 0)
    assert one_by_one == kept_texts(text_seqs, text_seqs[-1], 0)
