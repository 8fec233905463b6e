"""Counting: a histogram says what sorting all values would, and every word of the protocol has its place."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.counts import FAST_S, SIZES, SLOW_S, Counts, Histogram
from canvas_server.core.event import ByeReason, ConflictReason, ErrorCode, ResetReason
from canvas_server.core.operation import Scope

values = st.floats(min_value=0, max_value=20, allow_nan=False)


@given(st.lists(values | st.sampled_from(SLOW_S)))
def test_a_histogram_counts_below_each_bound_what_is_at_most_that(taken: list[float]) -> None:
    histogram = Histogram(SLOW_S)
    for value in taken:
        histogram.take(value)
    for number, bound in enumerate(SLOW_S, 1):
        assert sum(histogram.counts[:number]) == sum(value <= bound for value in taken)
    assert histogram.count == len(taken)
    assert abs(histogram.total - sum(taken)) < 1e-6


def test_bounds_rise() -> None:
    for bounds in (FAST_S, SLOW_S, SIZES):
        assert list(bounds) == sorted(set(bounds))


def test_every_scope_reason_and_code_has_its_place_from_the_start() -> None:
    counts = Counts()
    assert counts.conflicts.keys() == set(get_args(Scope))
    assert all(reasons.keys() == set(get_args(ConflictReason)) for reasons in counts.conflicts.values())
    assert counts.errors.keys() == set(get_args(ErrorCode))
    assert counts.dropped.keys() == set(get_args(ByeReason))
    assert counts.resets.keys() == set(get_args(ResetReason))


def test_two_servers_count_apart() -> None:
    one, other = Counts(), Counts()
    one.conflicts["range"]["overlap"] += 1
    one.refuse("admission", "ORIGIN_NOT_ALLOWED")
    one.apply_s.take(1.0)
    one.requests_of("/x").take("GET", 200)
    assert (other.all_conflicts, other.refusals["admission"], other.apply_s.count, other.requests) == (0, {}, 0, [])
    assert (one.all_conflicts, one.refusals["admission"]) == (1, {"ORIGIN_NOT_ALLOWED": 1})
