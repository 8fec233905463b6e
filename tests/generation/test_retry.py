from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.generation.retry import ASKED_S_MAX, CAP_S, delay_s, longest_s


class Chance:
    """Always the lowest, or always the highest."""

    def __init__(self, *, high: bool) -> None:
        self._high = high

    def chain(self) -> str:
        return "0" * 16

    def name(self) -> str:
        return "name"

    def between(self, low: int, high: int) -> int:
        return high if self._high else low


_LOW, _HIGH = Chance(high=False), Chance(high=True)
_TRIES = st.integers(1, 10_000)


@pytest.mark.parametrize(("tries", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (5_000, 30.0)])
def test_the_longest_wait_doubles_with_every_try_up_to_its_cap(tries: int, longest: float) -> None:
    assert longest_s(tries) == longest
    assert delay_s(tries, None, _HIGH) == longest


@given(_TRIES)
def test_without_a_wish_any_wait_from_none_at_all_may_come(tries: int) -> None:
    assert delay_s(tries, None, _LOW) == 0
    assert delay_s(tries, None, _HIGH) == longest_s(tries) <= CAP_S


@given(_TRIES, st.floats(0, ASKED_S_MAX))
def test_a_wish_is_waited_for_at_least_and_the_jitter_comes_on_top(tries: int, asked_s: float) -> None:
    assert delay_s(tries, asked_s, _LOW) == asked_s
    assert delay_s(tries, asked_s, _HIGH) == asked_s + longest_s(tries)


@given(_TRIES, st.floats(ASKED_S_MAX, exclude_min=True))
def test_a_wish_that_is_too_long_ends_it(tries: int, asked_s: float) -> None:
    assert delay_s(tries, asked_s, _LOW) is None


@given(_TRIES)
def test_the_longest_wait_never_shrinks(tries: int) -> None:
    assert longest_s(tries) <= longest_s(tries + 1)
