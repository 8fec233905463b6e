"""A parameter of a path, a query or a header, as OpenAPI has it."""

from __future__ import annotations

from typing import Literal, TypeAlias

Parameter: TypeAlias = dict[str, object]


def parameter(
    place: Literal["path", "query", "header"], name: str, description: str, schema: object, example: object = None
) -> Parameter:
    """Return a parameter; one of a path is required, any other may be left out."""
    told: Parameter = {"name": name, "in": place, "description": description, "schema": schema}
    if place == "path":
        told["required"] = True
    if example is not None:
        told["example"] = example
    return told


def text(pattern: str | None = None) -> dict[str, object]:
    """Return the schema of a text."""
    return {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}


def number(default: int, maximum: int) -> dict[str, object]:
    """Return the schema of a whole number from 1 on."""
    return {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}


def flag(*, default: bool) -> dict[str, object]:
    """Return the schema of what is true or false."""
    return {"type": "boolean", "default": default}
