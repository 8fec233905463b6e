from __future__ import annotations

import time

import pytest

from canvas_server.generation.providers.schema_size import TooMuchError, check_size, referred


def doubled(levels: int, keyword: str = "allOf") -> dict[str, object]:
    """Return a schema that twice refers to one that twice refers to one, and so on."""
    parts: dict[str, object] = {
        f"a{level}": {keyword: [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(levels)
    }
    return {"type": "object", "$defs": {**parts, f"a{levels}": {"type": "object"}}, "$ref": "#/$defs/a0"}


def nested(levels: int) -> dict[str, object]:
    """Return a schema so deep; each level is an object in an object."""
    schema: dict[str, object] = {}
    for _ in range(levels // 2):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        doubled(5),
        nested(30),
        {"properties": {f"p{number}": {"type": "string"} for number in range(1_000)}},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "$schema": {}}},
        {"$id": "https://example.org/a", "$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"a": {"enum": ["x" * 1_000] * 50}}},
    ],
)
def test_a_schema_of_a_common_size_is_taken(schema: dict[str, object]) -> None:
    assert not check_size(schema).comes_back


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/%24defs/a"}}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
    ],
)
def test_a_schema_that_refers_to_itself_is_taken_and_known(schema: dict[str, object]) -> None:
    assert check_size(schema).comes_back


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf", "prefixItems"])
@pytest.mark.parametrize("levels", [13, 100, 600])
def test_a_short_schema_that_stands_for_endless_parts_is_refused_at_once(keyword: str, levels: int) -> None:
    start = time.perf_counter()
    with pytest.raises(TooMuchError, match="parts"):
        check_size(doubled(levels, keyword))
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    "schema",
    [
        {"description": "x" * 65_536},
        nested(32),
        nested(10_000),
        {"allOf": [{}] * 10_000},
        {"enum": [0] * 10_000},
        {"$defs": {"a": {"$anchor": "b"}}, "$ref": "#b"},
        {"$ref": "https://example.org/schema.json"},
        {"$dynamicRef": "#/$defs/a"},
        {"$defs": {"a": {"$id": "https://example.org/b", "$ref": "#/$defs/c"}}},
        {"$schema": "http://json-schema.org/draft-04/schema#", "definitions": {"a": {"id": "https://example.org/b"}}},
    ],
)
def test_a_schema_that_is_too_large_or_cannot_be_followed_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(TooMuchError):
        check_size(schema)


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("#/$defs/a~1b~0", 1),
        ("#/%24defs/a~1b~0", 1),
        ("#/allOf/1", 3),
        ("#/allOf/9", None),
        ("#/allOf/٣", None),
        ("#/allOf/" + "9" * 5_000, None),
        ("#/nowhere/at/all", None),
    ],
)
def test_a_reference_leads_where_its_path_says(reference: str, found: object) -> None:
    assert referred({"$defs": {"a/b~": 1}, "allOf": [2, 3]}, reference) == found
