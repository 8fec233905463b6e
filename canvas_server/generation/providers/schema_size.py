"""How much a JSON Schema stands for: its parts, counted as often as its references lead to them.

Rule: only references that can be followed here are allowed. A reference takes a few bytes and may lead to many more, so
a short text can hold more parts than anybody could ever go through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

import msgspec

from canvas_server.core.job import JsonObject

BYTES_MAX: Final = 64 * 1024
NESTED_MAX: Final = 32
PARTS_MAX: Final = 10_000
_ELSEWHERE: Final = frozenset(("$dynamicRef", "$recursiveRef"))
"""References that lead to different places, depending on who follows them."""
_NAMES: Final = frozenset(("$id", "$schema"))
"""What below the top begins a schema of its own, with references that lead elsewhere."""
_DRAFT_4: Final = "draft-04"
"""Where `id` is what `$id` is now."""

_Trail: TypeAlias = frozenset[int]
"""What was referred to on the way, by identity."""


class TooMuchError(ValueError):
    """The schema stands for more than anybody goes through; the text says of what it has too much."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a schema."""

    parts: int
    """Objects and what is in lists, with references followed until they come back to where they were."""
    comes_back: bool
    """It refers to itself, so an answer may go as deep as it likes."""


def check_size(schema: JsonObject) -> Size:
    """Return the size of a schema that can be gone through.

    Raises:
        TooMuchError: it is longer than `BYTES_MAX`, nested deeper than `NESTED_MAX`, has more than `PARTS_MAX` parts,
            or refers in a way that is not followed here.
    """
    walk = _Walk(schema)
    parts = walk.run()
    if len(msgspec.json.encode(schema)) > BYTES_MAX:
        raise TooMuchError(f"it is longer than {BYTES_MAX} bytes")
    return Size(parts=parts, comes_back=walk.comes_back)


def referred(root: object, reference: str) -> object:
    """Return what a reference within a schema leads to, None if to nothing."""
    place = root
    for part in unquote(reference).removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and name.isdecimal() and len(name) < len(str(BYTES_MAX)):
            place = dict(enumerate(place)).get(int(name))
        else:
            place = place.get(name) if isinstance(place, Mapping) else None
    return place


class _Walk:
    def __init__(self, root: JsonObject) -> None:
        self._root: Final = root
        self._names: Final = _NAMES | {"id"} if _DRAFT_4 in str(root.get("$schema")) else _NAMES
        self.comes_back = False

    def run(self) -> int:
        """Return how many parts there are."""
        waiting: list[tuple[object, int, _Trail]] = [(self._root, 1, frozenset((id(self._root),)))]
        parts = 1
        # Without recursion, and given up in the middle: neither the stack nor the time is the schema's to take.
        while waiting:
            found = list(self._below(*waiting.pop()))
            waiting += found
            parts += len(found)
            if parts > PARTS_MAX:
                raise TooMuchError(f"it has more than {PARTS_MAX} parts, with its references followed")
        return parts

    def _below(self, part: object, depth: int, trail: _Trail) -> Iterator[tuple[object, int, _Trail]]:
        if depth > NESTED_MAX:
            raise TooMuchError(f"it is nested deeper than {NESTED_MAX}")
        if isinstance(part, list):
            yield from ((value, depth + 1, trail) for value in part)
        elif isinstance(part, Mapping):
            yield from ((value, depth + 1, trail) for value in part.values() if isinstance(value, Mapping | list))
            yield from self._referred(part, trail)

    def _referred(self, part: JsonObject, trail: _Trail) -> Iterator[tuple[object, int, _Trail]]:
        if any(isinstance(part.get(name), str) for name in self._names) and part is not self._root:
            raise TooMuchError("it has another schema within, with an address of its own")
        reference = part.get("$ref")
        if any(isinstance(part.get(name), str) for name in _ELSEWHERE) or _is_foreign(reference):
            raise TooMuchError("it refers by something else than the path of a part of it")
        target = referred(self._root, reference) if isinstance(reference, str) else None
        if id(target) in trail:
            self.comes_back = True
        elif isinstance(target, Mapping | list):
            yield target, 1, trail | {id(target)}


def _is_foreign(reference: object) -> bool:
    return isinstance(reference, str) and reference != "#" and not reference.startswith("#/")
