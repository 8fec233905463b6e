"""Changes in portions that one request can carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.core.limits import Limits

REQUEST_CHARS_MAX: Final = 65_536
"""Of the text that is inserted by one request, so that none is slow to be taken."""
_CHAR_BYTES_MAX: Final = 4
_JSON_CHAR_BYTES_MAX: Final = 16
"""Of one character, escaped, with its share of the operation around it."""


def first_part(changes: ChangeSet, limits: Limits) -> tuple[ChangeSet, ChangeSet]:
    """Cut changes in two: what one request can carry, and the rest, told for the text after that."""
    room = max(
        1,
        min(
            REQUEST_CHARS_MAX,
            limits.content_bytes_max // _CHAR_BYTES_MAX,
            limits.body_bytes_max // _JSON_CHAR_BYTES_MAX,
        ),
    )
    taken: dict[Change, int] = {}
    for spot in sorted(changes, key=grows)[: limits.ops_max]:
        if room > 0 or not spot.insert:
            taken[spot] = min(room, len(spot.insert))
            room -= taken[spot]
    return _divided(changes, taken)


def grows(spot: Change) -> bool:
    """Sorts what makes the text longer behind the rest, which may make the room for it in a canvas that is full."""
    return spot.growth > 0


def _divided(changes: ChangeSet, taken: Mapping[Change, int]) -> tuple[ChangeSet, ChangeSet]:
    """Cut changes in two; `taken` says of which spots of the first part how much is inserted."""
    now: list[Change] = []
    later: list[Change] = []
    shift = 0
    for spot in changes:
        start, end, insert = spot
        if (count := taken.get(spot)) is None:
            later.append(Change(start + shift, end + shift, insert))
            continue
        now.append(Change(start, end, insert[:count]))
        shift += now[-1].growth
        if insert[count:]:
            later.append(Change(end + shift, end + shift, insert[count:]))
    return ChangeSet(now), ChangeSet(later)
