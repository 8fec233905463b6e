"""Whether a JSON Schema is one of those that OpenAI can hold a model to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from canvas_server.core.job import JsonObject

_KEYWORDS: Final = frozenset(
    ("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$defs", "$ref")
)
_NOTES: Final = frozenset(("title", "description"))


def is_strict(schema: JsonObject) -> bool:
    """Return whether every object in a schema has all its properties and no other, and no rare keyword is used."""
    return schema.get("type") == "object" and _allowed(schema)


def _allowed(schema: object) -> bool:
    if not isinstance(schema, Mapping) or not schema.keys() <= _KEYWORDS | _NOTES:
        return False
    if schema.get("type") == "object" and not _closed(schema):
        return False
    parts = [*_values(schema.get("properties")), *_values(schema.get("$defs")), *_list(schema.get("anyOf"))]
    if "items" in schema:
        parts.append(schema["items"])
    return all(map(_allowed, parts))


def _closed(schema: JsonObject) -> bool:
    properties, required = schema.get("properties"), schema.get("required")
    return (
        schema.get("additionalProperties") is False
        and isinstance(properties, Mapping)
        and isinstance(required, list)
        and set(properties) == set(required)
    )


def _values(part: object) -> list[object]:
    return list(part.values()) if isinstance(part, Mapping) else []


def _list(part: object) -> list[object]:
    return part if isinstance(part, list) else []
