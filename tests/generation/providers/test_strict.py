from __future__ import annotations

import pytest

from canvas_server.generation.providers.strict import is_strict


def _object(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        _object(),
        _object(a={"type": "string", "description": "a name"}),
        _object(a={"type": "array", "items": _object(b={"enum": [1, 2]})}),
        _object(a={"anyOf": [{"type": "null"}, _object()]}),
        {**_object(a={"$ref": "#/$defs/b"}), "$defs": {"b": _object()}},
    ],
)
def test_closed_objects_of_plain_keywords_are_strict(schema: dict[str, object]) -> None:
    assert is_strict(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array"},
        {"type": "object"},
        {**_object(a={}), "required": []},
        {**_object(a={}), "additionalProperties": True},
        _object(a={"type": "string", "minLength": 3}),
        _object(a={"type": "object"}),
        _object(a={"type": "array", "items": {"type": "object"}}),
        _object(a={"anyOf": [{"type": "object"}]}),
        {**_object(), "$defs": {"b": {"type": "object"}}},
        _object(a=True),
    ],
)
def test_anything_else_is_not(schema: dict[str, object]) -> None:
    assert not is_strict(schema)
