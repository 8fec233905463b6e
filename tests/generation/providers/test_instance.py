from __future__ import annotations

import time

import msgspec
import pytest

from canvas_server.generation.providers.failures import OutputInvalidError
from canvas_server.generation.providers.instance import instance
from canvas_server.generation.providers.structured import misfit


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 40, "maxLength": 50}}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}, "b": {"exclusiveMinimum": 0}}},
        {"type": "object", "properties": {"a": {"type": "number", "multipleOf": 0.5, "minimum": 1.2}}},
        {"type": "object", "properties": {"a": {"type": "integer", "maximum": -3, "minimum": -9}}},
        {"type": "object", "properties": {"a": {"type": "array", "minItems": 3, "items": {"type": "boolean"}}}},
        {"type": "object", "properties": {"a": {"type": "array", "maxItems": 0, "items": {"type": "boolean"}}}},
        {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"const": 7}, "c": {"type": "null"}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}},
        {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {}}, "required": ["a", "b"]}]},
        {"properties": {"a": {"$ref": "#/$defs/x~1y"}}, "required": ["a"], "$defs": {"x/y": {"type": "integer"}}},
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
            "required": ["name"],
        },
    ],
)
def test_a_value_fits_the_schema_it_was_made_for(schema: dict[str, object]) -> None:
    assert misfit(msgspec.json.encode(instance({"type": "object", **schema})).decode(), schema) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"properties": {"a": {"type": "array", "minItems": 10**9, "items": {"type": "string"}}}},
        {"properties": {"a": {"type": "string", "minLength": 10**12}}},
        {"properties": {"a": {"anyOf": [{"anyOf": [{"$ref": "#"}]}]}}},
    ],
)
def test_a_schema_that_nothing_fits_comes_to_an_end(schema: dict[str, object]) -> None:
    assert len(msgspec.json.encode(instance({"type": "object", **schema}))) < 1_000_000


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {f"p{number}": {"$ref": "#"} for number in range(100)}},
        {"properties": {f"p{number}": {"type": "string"} for number in range(2_000)}},
    ],
)
def test_a_value_that_would_be_too_large_is_given_up_at_once(schema: dict[str, object]) -> None:
    start = time.perf_counter()
    with pytest.raises(OutputInvalidError):
        instance({"type": "object", **schema})
    assert time.perf_counter() - start < 0.5
