from __future__ import annotations

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


def test_many_names_take_eight_bytes_each_in_few_rows() -> None:
    forgotten = ForgottenNames()
    for batch in range(40):
        forgotten.add(f"op-{batch}-{number}" for number in range(500))
    assert len(forgotten._rows) <= 6
    assert sum(len(row) * row.itemsize for row in forgotten._rows) == 8 * 40 * 500
