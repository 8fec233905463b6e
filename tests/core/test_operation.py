"""An operation that cannot be meant is refused with a pointer to the field."""

from __future__ import annotations

import msgspec
import pytest

from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation, check_operation, continue_operation, payload_digest

END = {"type": "position", "position": {"mode": "end"}}
LIMITS = Limits(regex_chars_max=8, meta_keys_max=2, meta_chars_max=5)


def operation(**fields: object) -> Operation:
    return msgspec.convert({"op_id": "a", "action": "insert", "target": END, "content": "x", **fields}, Operation)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"content": None}, "/content"),
        ({"action": "replace", "content": None}, "/content"),
        ({"action": "upsert_section", "content": None}, "/content"),
        ({"action": "delete"}, "/content"),
        ({"action": "revert"}, "/content"),
        ({"content": "a\0b"}, "/content"),
        ({"content": "é" * 131_073}, "/content"),
        ({"content": "\x01" * 90_000}, "/content"),
        ({"target": {"type": "heading", "heading": {}}}, "/target/heading"),
        ({"target": {"type": "heading", "heading": {"path": ["A"], "heading_id": "a"}}}, "/target/heading"),
        ({"target": {"type": "heading", "heading": {"path": ["A"], "nth": 0}}}, "/target/heading/nth"),
        ({"target": {"type": "text", "text": {"match": "a", "nth": 0}}}, "/target/text/nth"),
        ({"target": {"type": "text", "text": {"match": "a\0"}}}, "/target/text/match"),
        ({"target": {"type": "regex", "regex": {"pattern": "a" * 9}}}, "/target/regex/pattern"),
        ({"target": {"type": "regex", "regex": {"pattern": "a", "nth": 0}}}, "/target/regex/nth"),
        ({"meta": {"a": "1", "b": "2", "c": "3"}}, "/meta"),
        ({"meta": {"a": "123456"}}, "/meta"),
        ({"meta": {"abcdef": "1"}}, "/meta"),
    ],
)
def test_fields_that_do_not_go_together_or_pass_a_limit_are_refused(fields: dict[str, object], pointer: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        check_operation(operation(**fields), LIMITS, "/ops/3")
    assert refused.value.pointer == f"/ops/3{pointer}"
    assert refused.value.hint.endswith(".")


@pytest.mark.parametrize(
    "fields",
    [
        {"content": ""},
        {"content": "é" * 131_072},
        {"action": "delete", "content": ""},
        {"action": "delete", "content": None},
        {"target": {"type": "regex", "regex": {"pattern": "a" * 8, "flags": "ims", "nth": -1}}},
        {"meta": {"a": "12345", "b": ""}},
    ],
)
def test_what_is_within_the_limits_passes(fields: dict[str, object]) -> None:
    check_operation(operation(**fields), LIMITS, "")


@pytest.mark.parametrize(
    "fields",
    [
        {"op_id": "a.1"},
        {"op_id": ""},
        {"op_id": "a" * 65},
        {"op_id": "a\n"},
        {"action": "move"},
        {"scope": "all"},
        {"extra": 1},
        {"target": {"type": "position", "position": {"mode": "offset", "offset": -1}}},
        {"target": {"type": "position", "position": {"mode": "offset", "offset": 1.5}}},
        {"target": {"type": "text", "text": {"match": ""}}},
        {"target": {"type": "regex", "regex": {"pattern": "a", "flags": "x"}}},
        {"target": {"type": "heading", "heading": {"path": []}}},
        {"target": {"type": "heading", "heading": {"path": ["a", "b\0c"]}}},  # upsert_section writes titles
        {"target": {"type": "heading", "heading": {"path": ["a" * 1025]}}},
        {"options": {"surround_with_blank_lines": 4}},
        {"meta": {"a": 1}},
    ],
)
def test_what_has_the_wrong_shape_is_not_an_operation(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        operation(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "y"},
        {"action": "replace"},
        {"where": "after"},
        {"options": {"dedent": True}},
        {"target": {"type": "position", "position": {"mode": "start"}}},
    ],
)
def test_the_digest_tells_operations_apart_by_what_they_do(fields: dict[str, object]) -> None:
    assert payload_digest(operation(**fields)) != payload_digest(operation())


def test_the_digest_does_not_see_who_what_version_and_when() -> None:
    other = operation(op_id="b", client_version='W/"1-ffffffffffffffff"', scope="range", timestamp=5, meta={"a": "b"})
    assert payload_digest(other) == payload_digest(operation())


def test_a_continuation_writes_on_behind_the_line_before_it() -> None:
    continued = continue_operation("a.2", "a.1", "more")
    assert (continued.op_id, continued.scope, continued.where, continued.content) == ("a.2", "range", "after", "more")
    assert msgspec.to_builtins(continued.target) == {"type": "op", "op": {"op_id": "a.1"}}
