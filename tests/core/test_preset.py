from __future__ import annotations

import msgspec
import pytest

from canvas_server.core.game_design import Entry, GameDesign, Region
from canvas_server.core.preset import Configuration, Finding, Icon, Name, find_obsolete

WORLD = GameDesign(
    characters={"char-001": Entry("Akthar"), "char-002": Entry("Neth")},
    locations={"loc-001": Entry("Atelier")},
    regions={"Avili": Region(sub_locations=("Ancienne Forge",)), "Sel": Region()},
    scene_types=("Première rencontre",),
)
SCENE = Configuration(
    characters=("char-001", "char-002"),
    locations=("loc-001",),
    region="Avili",
    sub_location="Ancienne Forge",
    scene_type="Première rencontre",
)


def changed(**fields: object) -> Configuration:
    return msgspec.structs.replace(SCENE, **fields)


def test_a_scene_of_which_all_is_there_has_nothing_obsolete() -> None:
    assert find_obsolete(SCENE, WORLD) == ()
    assert find_obsolete(Configuration(), GameDesign()) == ()


@pytest.mark.parametrize(
    ("scene", "found"),
    [
        (changed(characters=("char-001", "x")), [("preset.character_missing", "characters", "x")]),
        (changed(locations=("y",)), [("preset.location_missing", "locations", "y")]),
        (changed(region="Sel"), [("preset.sub_location_missing", "subLocation", "Ancienne Forge")]),
        (
            changed(region="Nord"),
            [
                ("preset.region_missing", "region", "Nord"),
                ("preset.sub_location_missing", "subLocation", "Ancienne Forge"),
            ],
        ),
        (changed(scene_type="Duel"), [("preset.scene_type_missing", "sceneType", "Duel")]),
    ],
)
def test_what_the_world_does_not_have_is_found_by_its_field(
    scene: Configuration, found: list[tuple[str, str, str]]
) -> None:
    assert list(find_obsolete(scene, WORLD)) == [
        msgspec.convert({"code": code, "field": field, "id": name}, Finding) for code, field, name in found
    ]


def test_everything_is_obsolete_in_an_empty_world_in_the_order_of_the_scene() -> None:
    assert [finding.field for finding in find_obsolete(SCENE, GameDesign())] == [
        "characters",
        "characters",
        "locations",
        "region",
        "subLocation",
        "sceneType",
    ]


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        (Name, "n" * 200, True),
        (Name, "n" * 201, False),
        (Name, "", False),
        (Name, "a\nb", False),
        (Name, "a\n", False),
        (Icon, "👩‍❤️‍💋‍👩", True),
        (Icon, "i" * 17, False),
        (Configuration, {"instructions": "i" * 20_000}, True),
        (Configuration, {"instructions": "i" * 20_001}, False),
        (Configuration, {"characters": ["c"] * 100}, True),
        (Configuration, {"characters": ["c"] * 101}, False),
        (Configuration, {"locations": ["c"] * 101}, False),
        (Configuration, {"locations": [{"id": "loc-001"}]}, False),
        (Configuration, {"sub_location": "x"}, False),
        (Configuration, {"subLocation": "x", "sceneType": "y"}, True),
    ],
)
def test_each_field_has_its_bounds(kind: type[object], value: object, fits: bool) -> None:
    if fits:
        msgspec.convert(value, kind)
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, kind)
