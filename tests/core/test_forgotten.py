from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.forgotten import ForgottenNames

names = st.text("abcdef", max_size=4)


@given(st.lists(st.lists(names, max_size=20), max_size=12), st.lists(names, max_size=20))
def test_a_name_that_was_forgotten_may_be_known_and_no_other_is(batches: list[list[str]], others: list[str]) -> None:
    forgotten, known = ForgottenNames(batches[0] if batches else ()), set(batches[0] if batches else ())
    for batch in batches[1:]:
        forgotten.add(batch)
        known.update(batch)
    assert all(name in forgotten for name in known)
    assert {name for name in others if name in forgotten} == known & set(others)
    assert bool(forgotten) == bool(known)


def test_many_names_take_about_four_bytes_each_and_none_is_moved_far() -> None:
    forgotten = ForgottenNames(f"first-{number}" for number in range(5_000))
    for batch in range(40):
        forgotten.add(f"op-{batch}-{number}" for number in range(500))
    assert sum(len(run) for run in forgotten._runs) == 25_000
    assert max(map(len, forgotten._runs)) <= 2_048
    assert sum(map(sys.getsizeof, forgotten._runs)) < 5 * 25_000
