from __future__ import annotations

import pytest

from canvas_server.core.dialogue import is_dialogue_id, is_empty, without_stamps
from canvas_server.core.json_value import DEPTH_MAX, digest_of, is_too_deep


@pytest.mark.parametrize("name", ["notes", "a.b", "CONSOLE", "com", "lpt10", "0", "a" * 128, "console.con"])
def test_a_name_of_a_canvas_is_one_of_a_dialogue(name: str) -> None:
    assert is_dialogue_id(name)


@pytest.mark.parametrize("name", ["con", "PRN", "Aux.txt", "nul..", "com0", "LPT9.a.b"])
def test_a_name_of_a_device_is_not(name: str) -> None:
    assert not is_dialogue_id(name)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"id": "x", "title": "Scene", "saved_at": "now", "version": "1"},
        {"nodes": []},
        {"nodes": {}, "edges": [], "viewport": {"x": 1}},
        {"content": ""},
        {"content": " \n"},
        {"content": None, "nodes": []},
    ],
)
def test_nothing_that_anybody_could_miss_is_empty(value: dict[str, object]) -> None:
    assert is_empty(value)


@pytest.mark.parametrize(
    "value",
    [{"nodes": [1]}, {"content": "x"}, {"content": "", "nodes": [{}]}, {"lines": []}, {"id": "x", "author": ""}],
)
def test_anything_else_is_content(value: dict[str, object]) -> None:
    assert not is_empty(value)


def test_stamps_are_the_server_s() -> None:
    assert without_stamps({"saved_at": 1, "version": 2, "id": 3}) == {"id": 3}


def test_a_digest_tells_apart_what_python_takes_for_equal_but_not_the_order_of_fields() -> None:
    assert len({digest_of({"a": value}) for value in (1, 1.0, True, "1", [1])}) == 5
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("inner", [1, [], {}, [1, [2]]])
def test_nesting_is_bounded(inner: object) -> None:
    own = 0 if inner == 1 else 2 if inner == [1, [2]] else 1
    value = inner
    for depth in range(own, DEPTH_MAX):
        assert not is_too_deep(value), depth
        value = {"a": value, "b": 1} if depth % 2 else [1, value]
    assert not is_too_deep(value)
    assert is_too_deep([value])
