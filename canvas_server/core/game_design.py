"""The game's world as its design document has it: what presets refer to.

Rule: everything may be left out; what the document says besides is not ours.
"""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """A character or a location."""

    name: str
    description: str = ""
    details: dict[str, str] = {}
    """What else there is to say, by its label."""


class Region(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the world, with places in it."""

    description: str = ""
    sub_locations: tuple[str, ...] = ()
    """Their names."""


class GameDesign(msgspec.Struct, frozen=True, rename="camel"):
    """The whole world."""

    characters: dict[str, Entry] = {}
    """By id."""
    locations: dict[str, Entry] = {}
    """By id."""
    regions: dict[str, Region] = {}
    """By name."""
    scene_types: tuple[str, ...] = ()
    """Their names."""
