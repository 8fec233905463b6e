"""A version is read and written in one way, and names a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.splice import Splice
from canvas_server.core.version import genesis, next_version, parse_cursor, parse_etag, seq_of

START = genesis("0123456789abcdef")
changes = st.lists(st.builds(Splice, st.integers(0, 9), st.integers(0, 9), st.text("a,\n1", max_size=4)), max_size=3)


@given(changes, changes, st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]))
def test_versions_are_equal_only_for_the_same_operation_with_the_same_changes(
    some: list[Splice], others: list[Splice], name: str, other_name: str
) -> None:
    same = next_version(START, name, some) == next_version(START, other_name, others)
    assert same == ((name, some) == (other_name, others))


def test_a_version_is_read_as_it_is_written() -> None:
    version = next_version(START, "a", [Splice(0, 0, "x")])
    assert parse_etag(version.etag) == parse_cursor(version.cursor) == version
    assert parse_etag(version.etag.removeprefix("W/")) == version
    assert seq_of(str(version)) == 1


@pytest.mark.parametrize("text", ["", "1", '"1"', 'W/"x-0123456789abcdef"', 'W/"1-0123"', 'W/"1-0123456789ABCDEF"'])
def test_what_is_not_a_version_is_none(text: str) -> None:
    assert parse_etag(text) is None
    assert parse_cursor(text) is None
    assert seq_of(text) is None
