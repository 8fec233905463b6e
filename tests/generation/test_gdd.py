"""The game design document: read when asked for, again when it changed, and never a reason to fail."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.game_design import Entry, GameDesign, Region
from canvas_server.generation.gdd import SIZE_BYTES_MAX, GameDesignFile

ROOT = Path(__file__).parents[2]


async def test_the_example_that_ships_can_be_read() -> None:
    reading = await GameDesignFile(ROOT / "data" / "gdd.json").load()
    assert reading.trouble is None
    assert reading.design.characters["char-001"].name == "Akthar"
    assert "Ancienne Forge" in reading.design.regions["Avili"].sub_locations


async def test_everything_may_be_left_out_and_what_is_not_ours_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "gdd.json"
    file.write_text('{"quests": [1], "characters": {"c": {"name": "Neth", "age": 3}}, "regions": {"Avili": {}}}')
    reading = await GameDesignFile(file).load()
    assert reading.design == GameDesign(characters={"c": Entry("Neth")}, regions={"Avili": Region()})


async def test_it_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "gdd.json"
    file.write_text('{"sceneTypes": ["Duel"]}')
    design_file = GameDesignFile(file)
    first = await design_file.load()
    assert (await design_file.load()).design is first.design
    file.write_text('{"sceneTypes": ["Adieux", "Duel"]}')
    assert (await design_file.load()).design.scene_types == ("Adieux", "Duel")
    file.unlink()
    assert (await design_file.load()).trouble == "preset.gdd_missing"


BROKEN = {
    "not JSON": b"{",
    "not an object": b"[]",
    "not UTF-8": b'{"sceneTypes": ["\xff"]}',
    "another shape": b'{"characters": [1]}',
    "far too deep": b'{"x":' * 3_000 + b"1" + b"}" * 3_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_a_broken_one_is_told_by_name_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "world.json"
    file.write_bytes(content)
    design_file = GameDesignFile(file)
    with caplog.at_level(logging.WARNING):
        assert await design_file.load() == await design_file.load() == ("world.json", GameDesign(), "preset.gdd_broken")
    assert len(caplog.records) == 1


async def test_one_that_is_too_large_or_a_folder_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "gdd.json"
    with file.open("wb") as sparse:
        os.truncate(sparse.fileno(), SIZE_BYTES_MAX + 1)
    assert (await GameDesignFile(file).load()).trouble == "preset.gdd_broken"
    assert (await GameDesignFile(tmp_path).load()).trouble == "preset.gdd_broken"


@given(content=st.binary(max_size=100))
async def test_whatever_bytes_it_holds_reading_it_does_not_fail(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any-gdd.json"
    file.write_bytes(content)
    assert (await GameDesignFile(file).load()).trouble in (None, "preset.gdd_broken")
