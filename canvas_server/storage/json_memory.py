"""JSON objects in memory, for servers that keep nothing: implements `JsonFiles`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from canvas_server.core.errors import TooLargeError


class JsonMemory:
    """What would be files, gone with the process.

    Args:
        is_name: tells what may be the name of an object.
        bytes_max: of one object.
    """

    def __init__(self, is_name: Callable[[str], bool], bytes_max: int) -> None:
        self._is_name = is_name
        self._bytes_max = bytes_max
        self._objects: dict[str, bytes] = {}

    async def names(self) -> Sequence[str]:
        """Return the names there are, sorted."""
        return sorted(self._objects)

    async def load(self, name: str) -> Mapping[str, object] | None:
        """Return an object; None if there is none."""
        content = self._objects.get(self._checked(name))
        return None if content is None else msgspec.json.decode(content, type=dict[str, object])

    async def save(self, name: str, value: Mapping[str, object]) -> None:
        """Put an object under a name.

        Raises:
            TooLargeError: it is larger than it may be.
        """
        content = msgspec.json.encode(value)
        if len(content) > self._bytes_max:
            raise TooLargeError(f"a file holds at most {self._bytes_max} bytes", hint="Save less under one name.")
        self._objects[self._checked(name)] = content

    async def delete(self, name: str) -> bool:
        """Remove an object; return whether there was one."""
        return self._objects.pop(self._checked(name), None) is not None

    def _checked(self, name: str) -> str:
        if not self._is_name(name):
            raise ValueError(f"{name!r} was to be checked before it came here")
        return name
