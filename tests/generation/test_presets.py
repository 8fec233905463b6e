"""Presets: made, changed, found damaged, held against the world."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from canvas_server.core.errors import NotFoundError, StorageCorruptError
from canvas_server.core.preset import Configuration, PresetId, is_preset_id
from canvas_server.generation.gdd import GameDesignFile
from canvas_server.generation.presets import Draft, Presets, PresetsFullError
from canvas_server.storage.json_folder import open_json_folder
from canvas_server.system import SystemClock, SystemIds

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT / "data"
EXAMPLE: Final = PresetId("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
OTHER: Final = PresetId("00000000-0000-4000-8000-000000000001")
BYTES_MAX: Final = 64 * 1024


class StepClock(SystemClock):
    """A clock that is a second later each time it is read."""

    def __init__(self) -> None:
        self._now_ms = 1_768_398_330_123

    def now_ms(self) -> int:
        self._now_ms += 1_000
        return self._now_ms


@pytest.fixture
async def presets(tmp_path: Path) -> AsyncIterator[Presets]:
    async with open_json_folder(tmp_path / "presets", is_preset_id, BYTES_MAX, SystemClock()) as files:
        yield Presets(files, GameDesignFile(DATA / "gdd.json"), StepClock(), SystemIds(), presets_max=3)


def draft(name: str = "Scene", **fields: object) -> Draft:
    return Draft(name, "⚔️", Configuration(**fields))  # type: ignore[arg-type]


async def test_the_example_that_ships_is_a_valid_preset() -> None:
    async with open_json_folder(DATA / "presets", is_preset_id, BYTES_MAX, SystemClock()) as files:
        shipped = Presets(files, GameDesignFile(DATA / "gdd.json"), SystemClock(), SystemIds())
        preset = await shipped.load(EXAMPLE)
        validation = await shipped.validate(preset, "fr")
        prompt, _ = await shipped.prompt_for(EXAMPLE, "Six répliques.", "fr")
    assert (preset.id, validation.valid, validation.warnings) == (EXAMPLE, True, ())
    assert "Akthar" in prompt
    assert prompt.endswith("Demande :\nSix répliques.\n")


async def test_a_preset_keeps_when_it_was_made_and_tells_when_it_was_changed(presets: Presets) -> None:
    made = await presets.create(draft("One"))
    assert is_preset_id(made.id)
    assert made.metadata.created == made.metadata.modified == "2026-01-14T13:45:31.123Z"
    changed, is_new = await presets.replace(PresetId(made.id), draft("Two"))
    assert not is_new
    assert (changed.metadata.created, changed.metadata.modified) == (made.metadata.created, "2026-01-14T13:45:32.123Z")
    assert await presets.load(PresetId(made.id)) == changed


async def test_the_file_has_the_documented_shape(presets: Presets, tmp_path: Path) -> None:
    await presets.replace(OTHER, draft("One", characters=("char-001",), sub_location="Forge"))
    assert (tmp_path / "presets" / f"{OTHER}.json").read_text() == (
        "{\n"
        f'  "id": "{OTHER}",\n'
        '  "name": "One",\n'
        '  "icon": "⚔️",\n'
        '  "metadata": {\n'
        '    "created": "2026-01-14T13:45:31.123Z",\n'
        '    "modified": "2026-01-14T13:45:31.123Z"\n'
        "  },\n"
        '  "configuration": {\n'
        '    "characters": [\n'
        '      "char-001"\n'
        "    ],\n"
        '    "locations": [],\n'
        '    "region": "",\n'
        '    "subLocation": "Forge",\n'
        '    "sceneType": "",\n'
        '    "instructions": ""\n'
        "  }\n"
        "}\n"
    )


async def test_they_are_listed_by_name_and_those_that_are_damaged_beside(presets: Presets, tmp_path: Path) -> None:
    await presets.create(draft("b"))
    await presets.create(draft("A"))
    (tmp_path / "presets" / f"{OTHER}.json").write_text('{"name": "half a preset"}')
    (tmp_path / "presets" / f"{EXAMPLE}.json").write_text("{")
    (tmp_path / "presets" / "my-preset.json").write_text("{}")
    found, damaged = await presets.list()
    assert [preset.name for preset in found] == ["A", "b"]
    assert damaged == [OTHER, EXAMPLE]
    with pytest.raises(StorageCorruptError, match=rf"^{OTHER}\.json is no preset"):
        await presets.load(OTHER)


async def test_the_name_of_a_file_says_which_preset_it_is_whatever_stands_in_it(
    presets: Presets, tmp_path: Path
) -> None:
    made = await presets.create(draft("One"))
    folder = tmp_path / "presets"
    (folder / f"{OTHER}.json").write_bytes((folder / f"{made.id}.json").read_bytes())
    assert (await presets.load(OTHER)).id == OTHER


async def test_a_damaged_preset_can_be_replaced_and_its_bytes_are_kept_if_they_are_no_json(
    presets: Presets, tmp_path: Path
) -> None:
    file = tmp_path / "presets" / f"{OTHER}.json"
    file.parent.mkdir()
    file.write_text("{")
    assert await presets.replace(OTHER, draft("whole")) == (await presets.load(OTHER), False)
    (kept,) = file.parent.glob("*.corrupt-*")
    assert kept.read_text() == "{"


async def test_there_may_be_so_many_and_no_more_however_many_are_made_at_once(presets: Presets) -> None:
    outcomes = await asyncio.gather(
        *(presets.create(draft(f"{n}")) for n in range(4)), presets.replace(OTHER, draft()), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes[3:]] == [PresetsFullError] * 2
    assert len((await presets.list())[0]) == 3


async def test_a_deleted_preset_is_gone(presets: Presets) -> None:
    made = await presets.create(draft())
    await presets.delete(PresetId(made.id))
    for asked in (presets.load(PresetId(made.id)), presets.delete(PresetId(made.id))):
        with pytest.raises(NotFoundError):
            await asked


async def test_what_cannot_name_a_preset_names_none(presets: Presets) -> None:
    for name in ("../canvas", OTHER.upper(), ""):
        with pytest.raises(NotFoundError):
            await presets.prompt_for(PresetId(name), "x", "fr")


async def test_an_obsolete_preset_loads_with_warnings_in_the_reader_s_language(presets: Presets) -> None:
    made = await presets.create(draft(characters=("char-001", "char-009"), scene_type="Duel"))
    told = await presets.validate(made, "fr")
    assert not told.valid
    assert [(warned.code, warned.field, warned.id, warned.message) for warned in told.warnings] == [
        ("preset.character_missing", "characters", "char-009", "Le personnage « char-009 » n'existe plus."),
        ("preset.scene_type_missing", "sceneType", "Duel", "Le type de scène « Duel » n'existe plus."),
    ]
    assert (await presets.validate(made, "en")).warnings[1].message == "The scene type “Duel” no longer exists."


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda _file: None, "preset.gdd_missing"),
        (lambda file: file.write_text("{"), "preset.gdd_broken"),
    ],
)
async def test_without_a_world_nothing_is_invalid_but_it_is_said(
    tmp_path: Path, prepare: Callable[[Path], object], code: str
) -> None:
    prepare(tmp_path / "world.json")
    async with open_json_folder(tmp_path / "presets", is_preset_id, BYTES_MAX, SystemClock()) as files:
        presets = Presets(files, GameDesignFile(tmp_path / "world.json"), SystemClock(), SystemIds())
        told = await presets.validate(await presets.create(draft(characters=("char-009",))), "fr")
    assert told.valid
    ((warned_code, message),) = [(warned.code, warned.message) for warned in told.warnings]
    assert warned_code == code
    assert "world.json" in message
