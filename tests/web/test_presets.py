"""Presets over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from canvas_server.config.settings import PresetSettings, Settings, StorageSettings
from tests.serving import Served, serving

DATA: Final = Path(__file__).parents[2] / "data"
PATH: Final = "/api/v1/presets"
ID: Final = "00000000-0000-4000-8000-000000000001"
SCENE: Final[dict[str, Any]] = {
    "name": "Ouverture",
    "icon": "⚔️",
    "configuration": {
        "characters": ["char-001"],
        "locations": ["loc-001"],
        "region": "Avili",
        "subLocation": "Ancienne Forge",
        "sceneType": "Adieux",
        "instructions": "Tendu.",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "presets"


@pytest.fixture(scope="module")
def own_server(folder: Path) -> Iterator[Served]:
    settings = Settings(
        storage=StorageSettings(data_dir=str(folder.parent)),
        presets=PresetSettings(gdd_file=str(DATA / "gdd.json"), presets_max=3),
    )
    with serving(settings) as served:
        yield served


@pytest.fixture
def http(own_server: Served, folder: Path) -> Iterator[httpx2.Client]:
    """Asks a server that has no presets yet."""
    yield own_server.http
    shutil.rmtree(folder, ignore_errors=True)


def with_configuration(**fields: object) -> dict[str, Any]:
    return {**SCENE, "configuration": {**SCENE["configuration"], **fields}}


def test_a_preset_is_created_read_changed_listed_and_deleted(http: httpx2.Client) -> None:
    made = http.post(PATH, json=SCENE)
    assert made.status_code == 201, made.text
    preset = made.json()
    path = made.headers["location"]
    assert path == f"{PATH}/{preset['id']}"
    assert {name: preset[name] for name in SCENE} == SCENE
    assert preset["validation"] == {"valid": True, "warnings": []}
    assert (http.get(path)).json() == preset

    read_back = {name: preset[name] for name in ("id", "metadata", "icon", "configuration")}
    changed = http.put(path, json={**read_back, "name": "Autre"})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["metadata"]["created"]) == ("Autre", preset["metadata"]["created"])

    listed = (http.get(PATH)).json()
    assert listed["damaged"] == []
    assert [(found["id"], found["name"]) for found in listed["presets"]] == [(preset["id"], "Autre")]
    assert (http.delete(path)).status_code == 204
    assert [(http.request(method, path)).status_code for method in ("GET", "DELETE")] == [404, 404]


def test_a_put_under_a_new_id_creates(http: httpx2.Client) -> None:
    made = http.put(f"{PATH}/{ID}", json=SCENE)
    assert (made.status_code, made.headers["location"], made.json()["id"]) == (201, f"{PATH}/{ID}", ID)


def test_an_obsolete_preset_is_read_with_warnings_in_the_reader_s_language(http: httpx2.Client) -> None:
    http.put(f"{PATH}/{ID}", json=with_configuration(characters=["char-009"]))
    told = http.get(f"{PATH}/{ID}")
    assert told.json()["validation"] == {
        "valid": False,
        "warnings": [
            {
                "code": "preset.character_missing",
                "field": "characters",
                "id": "char-009",
                "message": "Le personnage « char-009 » n'existe plus.",
            }
        ],
    }
    assert told.headers["vary"] == "Accept-Language"
    english = http.get(f"{PATH}/{ID}", headers={"Accept-Language": "en-GB,en;q=0.9,fr;q=0.1"})
    assert english.json()["validation"]["warnings"][0]["message"] == "The character “char-009” no longer exists."


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({**SCENE, "owner": "ada"}, "/owner"),
        ({**SCENE, "validation": {}}, "/validation"),
        (with_configuration(mood="dark"), "/configuration/mood"),
        (with_configuration(sub_location="x"), "/configuration/sub_location"),
        (with_configuration(instructions="i" * 20_001), "/configuration/instructions"),
        (with_configuration(locations=["l"] * 101), "/configuration/locations"),
        ({**SCENE, "name": ""}, "/name"),
        ({**SCENE, "name": "n" * 201}, "/name"),
        ({**SCENE, "icon": "i" * 17}, "/icon"),
        ({"name": "x"}, "/configuration"),
        ({**SCENE, "id": "00000000-0000-4000-8000-000000000002"}, "/id"),
    ],
)
def test_a_field_that_is_wrong_is_refused_by_its_place(http: httpx2.Client, body: dict[str, Any], pointer: str) -> None:
    for answer in (http.post(PATH, json=body), http.put(f"{PATH}/{ID}", json=body)):
        assert (answer.status_code, answer.json()["code"], answer.json()["pointer"]) == (422, "INVALID_FIELD", pointer)
    assert (http.get(PATH)).json()["presets"] == []


@pytest.mark.parametrize("field", ["characters", "locations"])
def test_whole_objects_in_place_of_ids_are_refused_with_a_hint(http: httpx2.Client, field: str) -> None:
    answer = http.post(PATH, json=with_configuration(**{field: ["x", {"id": "char-001", "name": "Akthar"}]}))
    assert answer.status_code == 422
    assert answer.json()["pointer"].startswith(f"/configuration/{field}")
    assert answer.json()["hint"].startswith("Send ids only")


@pytest.mark.parametrize(
    "name",
    [
        ID.upper().replace("4000", "4ABC"),
        "my-preset",
        "preset_001",
        ID.replace("-", ""),
        "..",
        "%2e%2e",
        f"{ID}%00",
        "CON",
    ],
)
def test_what_is_no_canonical_uuid_names_no_preset(http: httpx2.Client, name: str) -> None:
    path = httpx2.URL(http.base_url.join("/")).copy_with(raw_path=f"{PATH}/{name}".encode())
    for method, body in (("GET", None), ("PUT", SCENE), ("DELETE", None)):
        assert (http.request(method, path, json=body)).status_code == 404


def test_a_damaged_preset_is_named_and_spoils_no_list(http: httpx2.Client, folder: Path) -> None:
    http.post(PATH, json=SCENE)
    (folder / f"{ID}.json").write_text("{")
    listed = (http.get(PATH)).json()
    assert (len(listed["presets"]), listed["damaged"]) == (1, [ID])
    answer = http.get(f"{PATH}/{ID}")
    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_CORRUPT")
    assert str(folder.parent) not in answer.text
    assert (http.put(f"{PATH}/{ID}", json=SCENE)).status_code == 200


def test_there_may_be_so_many_presets_of_such_a_size(http: httpx2.Client) -> None:
    for _ in range(3):
        http.post(PATH, json=SCENE)
    full = http.post(PATH, json=SCENE)
    assert (full.status_code, full.json()["code"]) == (409, "PRESETS_FULL")
    large = http.post(PATH, json={**SCENE, "name": "n" * 70_000})
    assert (large.status_code, large.json()["code"]) == (413, "TOO_LARGE")
