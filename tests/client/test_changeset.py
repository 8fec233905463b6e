"""The laws of change sets."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.client.changeset import Change, ChangeSet, text_difference, trimmed
from canvas_server.core.splice import Span, apply_changes, map_point
from tests.client.changeset_vectors import VECTORS, cases

TEXTS = st.text(alphabet="abcé🙂", max_size=12)


@st.composite
def change_lists(draw: st.DrawFn, length: int) -> list[Change]:
    changes = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, length))
        end = draw(st.integers(start, min(length, start + 4)))
        changes.append(Change(start, end, draw(st.text(alphabet="XYZ", max_size=3))))
        length += changes[-1].growth
    return changes


@st.composite
def sets(draw: st.DrawFn, text: str) -> ChangeSet:
    return ChangeSet.of(draw(change_lists(len(text))))


@given(st.data(), TEXTS)
def test_a_set_of_changes_does_what_they_do_one_after_the_other(data: st.DataObject, text: str) -> None:
    changes = data.draw(change_lists(len(text)))
    after = text
    for start, end, insert in changes:
        after = after[:start] + insert + after[end:]
    made = ChangeSet.of(changes)
    assert made.apply(text) == after
    assert made.growth == len(after) - len(text)
    assert ChangeSet.of(made.changes) == made


@given(st.data(), TEXTS)
def test_composing_is_doing_one_after_the_other_and_associative(data: st.DataObject, text: str) -> None:
    a = data.draw(sets(text))
    b = data.draw(sets(a.apply(text)))
    c = data.draw(sets(b.apply(a.apply(text))))
    assert a.compose(b).apply(text) == b.apply(a.apply(text))
    assert a.compose(b).compose(c) == a.compose(b.compose(c))
    assert ChangeSet().compose(a) == a == a.compose(ChangeSet())


@given(st.data(), TEXTS)
def test_two_orders_lead_to_one_text(data: st.DataObject, text: str) -> None:
    a, b = data.draw(sets(text)), data.draw(sets(text))
    one = a.compose(b.rebase(a, before=False))
    other = b.compose(a.rebase(b, before=True))
    assert one == other
    assert one.apply(text) == other.apply(text)


@given(st.data(), TEXTS)
def test_the_inverse_undoes(data: st.DataObject, text: str) -> None:
    a = data.draw(sets(text))
    inverse = a.invert(text)
    assert inverse.apply(a.apply(text)) == text
    assert inverse.invert(a.apply(text)) == a


@given(st.data(), TEXTS)
def test_what_is_inserted_survives_being_rebased(data: st.DataObject, text: str) -> None:
    a, b = data.draw(sets(text)), data.draw(sets(text))
    rebased = a.rebase(b, before=data.draw(st.booleans()))
    assert "".join(spot.insert for spot in rebased) == "".join(spot.insert for spot in a)


@given(TEXTS, TEXTS)
def test_the_difference_of_two_texts_makes_one_of_the_other(before: str, after: str) -> None:
    difference = text_difference(before, after)
    assert difference.apply(before) == after
    assert len(difference) == (before != after)


@given(st.data(), TEXTS)
def test_trimming_changes_nothing_of_what_is_done(data: st.DataObject, text: str) -> None:
    a = data.draw(sets(text))
    assert trimmed(a, text).apply(text) == a.apply(text)
    assert all(spot.insert != text[spot.start : spot.end] for spot in trimmed(a, text))


@given(st.data(), TEXTS)
def test_a_point_is_carried_as_the_server_carries_it(data: st.DataObject, text: str) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    spot = Change(start, end, data.draw(st.text(alphabet="XY", max_size=3)))
    point = data.draw(st.integers(0, len(text)))
    moved = ChangeSet.of([spot]).map_point(point)
    if point == end > start:
        assert moved == start + len(spot.insert)
    elif spot.growth or end > start:
        told = map_point(point, Span(start, end, spot.growth))
        assert moved == (told if point < start or point >= end or point == start == end else start + len(spot.insert))


@given(st.data(), TEXTS)
def test_a_long_row_of_changes_on_the_wire_means_the_same(data: st.DataObject, text: str) -> None:
    from canvas_server.core.splice import Splice

    changes = data.draw(change_lists(len(text)))
    told = [Splice(*change) for change in changes]
    assert ChangeSet.of(told).apply(text) == apply_changes(text, told)


@given(st.data(), st.text(alphabet="abc", min_size=20, max_size=40))
def test_one_change_after_many_is_composed_as_by_the_walk(data: st.DataObject, text: str) -> None:
    many = ChangeSet([Change(2 * n, 2 * n + n % 2, "X" * ((n + 1) % 2 + n % 3)) for n in range(len(text) // 2)])
    after = many.apply(text)
    start = data.draw(st.integers(0, len(after)))
    end = data.draw(st.integers(start, len(after)))
    one = ChangeSet.of([Change(start, end, data.draw(st.text(alphabet="YZ", max_size=2)))])
    both = many.compose(one)
    assert both.apply(text) == one.apply(after)
    assert ChangeSet(both.spots) == both
    assert both.compose(ChangeSet()) == both


def spots(rows: list[list[object]]) -> list[Change]:
    return [msgspec.convert(row, Change) for row in rows]


@pytest.mark.parametrize("case", json.loads(VECTORS.read_text(encoding="utf-8")), ids=lambda case: case["name"])
def test_all_clients_agree_on_what_changes_do(case: dict[str, Any]) -> None:
    """The client in JavaScript is checked by the same file."""
    if case.get("unit") == "utf16":
        return
    text = case["text"]
    a, b, c = (ChangeSet.of(spots(case[name])) for name in "abc")
    assert (list(a), list(b)) == (spots(case["a_spots"]), spots(case["b_spots"]))
    assert a.apply(text) == case["result"]
    assert list(a.rebase(b, before=True)) == spots(case["before"])
    assert list(a.rebase(b, before=False)) == spots(case["after"])
    assert list(a.compose(c)) == spots(case["composed"])
    assert list(a.invert(text)) == spots(case["inverse"])


def test_the_file_of_cases_is_what_its_script_writes() -> None:
    assert json.loads(VECTORS.read_text(encoding="utf-8")) == json.loads(json.dumps(cases()))
