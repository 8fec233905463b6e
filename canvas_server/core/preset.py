"""What a preset is: a scene by the ids of what takes part in it, to be asked for again and again.

Rule: ids only. What they name is in the game design document, which may change under a preset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NewType, TypeAlias

import msgspec
from msgspec import Meta

from canvas_server.core.game_design import GameDesign, Region

PresetId = NewType("PresetId", str)
"""A UUID in its one canonical spelling."""

PRESET_ID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_PRESET_ID: Final = re.compile(PRESET_ID_PATTERN[1:-1])

_ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$(?!\n)"
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=_ONE_LINE)]
Icon: TypeAlias = Annotated[str, Meta(max_length=16, pattern=_ONE_LINE)]
Reference: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=_ONE_LINE)]
References: TypeAlias = Annotated[tuple[Reference, ...], Meta(max_length=100)]
Choice: TypeAlias = Annotated[str, Meta(max_length=200, pattern=_ONE_LINE)]
Instructions: TypeAlias = Annotated[str, Meta(max_length=20_000, pattern=r"^[^\x00]*$")]
Moment: TypeAlias = Annotated[str, Meta(max_length=40)]

Obsolete: TypeAlias = Literal[
    "preset.character_missing",
    "preset.location_missing",
    "preset.region_missing",
    "preset.sub_location_missing",
    "preset.scene_type_missing",
]
"""Why something in a configuration means nothing any more; keys of the catalogue."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a scene is made of; `""` where nothing was chosen."""

    characters: References = ()
    """Ids."""
    locations: References = ()
    """Ids."""
    region: Choice = ""
    sub_location: Choice = ""
    """One of the region's."""
    scene_type: Choice = ""
    instructions: Instructions = ""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """When a preset was made and changed; ISO 8601, UTC, in ms."""

    created: Moment
    modified: Moment


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A named configuration."""

    id: Annotated[str, Meta(pattern=PRESET_ID_PATTERN)]
    name: Name
    icon: Icon = ""
    metadata: Metadata
    configuration: Configuration = Configuration()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A choice in a configuration that means nothing any more."""

    code: Obsolete
    field: str
    """Where: its name on the wire."""
    id: str


def is_preset_id(text: str) -> bool:
    """Tell whether `text` can name a preset: a UUID in lower case with hyphens, and no other spelling of it."""
    return _PRESET_ID.fullmatch(text) is not None


def find_obsolete(configuration: Configuration, design: GameDesign) -> Sequence[Finding]:
    """Return what a configuration refers to and the world does not have, in the order of the configuration."""
    found = [
        Finding(code="preset.character_missing", field="characters", id=name)
        for name in configuration.characters
        if name not in design.characters
    ]
    found += [
        Finding(code="preset.location_missing", field="locations", id=name)
        for name in configuration.locations
        if name not in design.locations
    ]
    return (*found, *_obsolete_choices(configuration, design))


def _obsolete_choices(configuration: Configuration, design: GameDesign) -> Sequence[Finding]:
    region, sub_location, scene_type = configuration.region, configuration.sub_location, configuration.scene_type
    found = []
    if region and region not in design.regions:
        found.append(Finding(code="preset.region_missing", field="region", id=region))
    if sub_location and sub_location not in design.regions.get(region, Region()).sub_locations:
        found.append(Finding(code="preset.sub_location_missing", field="subLocation", id=sub_location))
    if scene_type and scene_type not in design.scene_types:
        found.append(Finding(code="preset.scene_type_missing", field="sceneType", id=scene_type))
    return found
