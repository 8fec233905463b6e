"""The smallest values that may fit a JSON Schema, for the demonstration.

Knows the common keywords and follows references within the schema; what it makes is to be checked against the schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from canvas_server.core.job import JsonObject
from canvas_server.generation.providers.failures import OutputInvalidError
from canvas_server.generation.providers.schema_size import referred

_DEPTH_MAX: Final = 12
"""How deep a value may be: a schema may refer to itself."""
_VALUES_MAX: Final = 1_000
"""How many values, one in another, are made before it is given up."""
_LENGTH_MAX: Final = 10_000
"""Of a text or list that the schema wants long."""
_FORMATS: Final = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_TEXT: Final = "démonstration"


def instance(schema: JsonObject) -> object:
    """Return a value for a schema; every property it names is there, as far as the depth allows.

    Raises:
        OutputInvalidError: it would have to be too large.
    """
    return _Maker(schema).make(schema, 0)


class _Maker:
    def __init__(self, root: JsonObject) -> None:
        self._root: Final = root
        self._made = 0

    def make(self, schema: object, depth: int) -> object:
        """Return a value for a part of the schema."""
        self._made += 1
        if self._made > _VALUES_MAX:
            raise OutputInvalidError(
                "the schema is too large for the demonstration", hint="Ask another provider, or simplify the schema."
            )
        if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
            return None
        if "$ref" in schema:
            return self.make(referred(self._root, str(schema["$ref"])), depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self.make(_merged(schema, _list(schema[keyword])[:1]), depth + 1)
        if "allOf" in schema:
            return self.make(_merged(schema, _list(schema["allOf"])), depth + 1)
        return self._plain(schema, depth)

    def _plain(self, schema: JsonObject, depth: int) -> object:
        if "const" in schema:
            return schema["const"]
        for keyword in ("enum", "examples"):
            if chosen := _list(schema.get(keyword)):
                return chosen[0]
        match _kind(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _text(schema)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case _:
                return None

    def _object(self, schema: JsonObject, depth: int) -> dict[str, object]:
        properties, required = schema.get("properties"), _list(schema.get("required"))
        known = properties if isinstance(properties, Mapping) else {}
        names = [*known, *(name for name in required if name not in known)]
        # Deep down only what must be there, so that a schema that refers to itself comes to an end.
        wanted = names if depth < _DEPTH_MAX // 2 else required
        return {str(name): self.make(known.get(name, {"type": "string"}), depth + 1) for name in wanted}

    def _array(self, schema: JsonObject, depth: int) -> list[object]:
        least = min(_whole(schema.get("minItems"), 0), _LENGTH_MAX)
        shown = 1 if depth < _DEPTH_MAX // 2 and "items" in schema and _whole(schema.get("maxItems"), 1) else 0
        one = self.make(schema.get("items", {"type": "string"}), depth + 1)
        return [one] * max(least, shown)


def _merged(schema: JsonObject, parts: Sequence[object]) -> JsonObject:
    merged = {name: value for name, value in schema.items() if name not in ("anyOf", "oneOf", "allOf")}
    for part in parts:
        if isinstance(part, Mapping):
            inner, outer = part.get("properties"), merged.get("properties")
            merged.update(part)
            if isinstance(inner, Mapping) and isinstance(outer, Mapping):
                merged["properties"] = {**outer, **inner}
    return merged


def _kind(schema: JsonObject) -> str | None:
    told = schema.get("type")
    if isinstance(told, str):
        return told
    if kinds := _list(told):
        return str(kinds[0])
    hints = {"properties": "object", "required": "object", "items": "array", "minLength": "string", "minimum": "number"}
    return next((kind for keyword, kind in hints.items() if keyword in schema), "string")


def _text(schema: JsonObject) -> str:
    text = _FORMATS.get(str(schema.get("format")), _TEXT)
    least = min(_whole(schema.get("minLength"), 0), _LENGTH_MAX)
    text = text.ljust(least, ".")
    return text[: _whole(schema.get("maxLength"), len(text))]


def _number(schema: JsonObject) -> int | float:
    step = _float(schema.get("multipleOf"), 1.0)
    above = schema.get("exclusiveMinimum")
    low = _float(schema.get("minimum") if above is None else above, 0.0)
    high = _float(schema.get("maximum", schema.get("exclusiveMaximum")), max(low, 0.0) + step)
    value = low if low > 0 or high < 0 else 0.0
    value = -(-value // step) * step
    if above is not None and value <= low:
        value += step
    return int(value) if value.is_integer() else value


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def _float(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and value else default


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
