"""JSON objects that are not ours: what they must keep to, and when two are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

import msgspec

DEPTH_MAX: Final = 32
"""Objects and arrays within each other, the outermost included."""
INTEGER_MAX: Final = 2**53 - 1
"""Beyond it, and below its negative, not all readers of JSON read the same number."""


def is_too_deep(value: object) -> bool:
    """Tell whether a JSON value nests deeper than `DEPTH_MAX`."""
    level: list[object] = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def flaw_of(value: object) -> str | None:
    """Return why others may not read a JSON value as it was meant, None if they do.

    It nests too deep, or holds a NUL or an integer that is beyond `INTEGER_MAX`.
    """
    if is_too_deep(value):
        return f"it nests deeper than {DEPTH_MAX}"
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            rest.extend(item)
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, str):
            if "\0" in item:
                return "it holds a NUL character"
        elif isinstance(item, int) and abs(item) > INTEGER_MAX:
            return f"it holds an integer beyond {INTEGER_MAX}"
    return None


def digest_of(value: Mapping[str, object]) -> str:
    """Return 32 hex digits that two objects share only if they say the same; the order of fields says nothing."""
    return sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:32]


def _inside(outer: object) -> Iterator[object]:
    """Iterate over the objects and arrays that stand in an object or array."""
    items = outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
    return (item for item in items if isinstance(item, dict | list))
