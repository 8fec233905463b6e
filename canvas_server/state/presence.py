"""Who is where in a canvas: told to everybody, kept until its time is over, never stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from canvas_server.core.event import Presence

_SEEN_MAX = 1_000


class Sighting(NamedTuple):
    """Where a client is, as each kind of reader is told."""

    presence: Presence
    """Offsets in code points."""
    wide: Presence
    """Offsets in UTF-16 code units."""


class PresenceBoard:
    """The newest word of each client of one canvas."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str | None], tuple[float, Sighting]] = {}

    def put(self, sighting: Sighting, now_s: float) -> None:
        """Take in where a client is; `now_s` is the loop's time."""
        presence = sighting.presence
        key = (presence.actor, presence.client_id)
        self._seen.pop(key, None)
        self._seen[key] = (now_s + presence.ttl_ms / 1000, sighting)
        if len(self._seen) > _SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def present(self, now_s: float) -> Iterator[Sighting]:
        """Iterate over who is here now."""
        for key, (until_s, sighting) in list(self._seen.items()):
            if until_s <= now_s:
                del self._seen[key]
            else:
                yield sighting
