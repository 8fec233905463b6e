"""JSON objects that are not ours: what they must keep to, and when two are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

import msgspec

DEPTH_MAX: Final = 32
"""Objects and arrays within each other, the outermost included."""


def is_too_deep(value: object) -> bool:
    """Tell whether a JSON value nests deeper than `DEPTH_MAX`."""
    level: list[object] = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def digest_of(value: Mapping[str, object]) -> str:
    """Return 32 hex digits that two objects share only if they say the same; the order of fields says nothing."""
    return sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:32]


def _inside(outer: object) -> Iterator[object]:
    """Iterate over the objects and arrays that stand in an object or array."""
    items = outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
    return (item for item in items if isinstance(item, dict | list))
