"""Saved dialogues over HTTP: on disk when it is said so, never empty over content, the last one stays."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from canvas_server.config.settings import AutosaveSettings, Settings, StorageSettings
from canvas_server.core.ids import CanvasRef
from tests.listener import PATIENCE_S
from tests.serving import Served, serving

BYTES_MAX: Final = 200_000
PATH: Final = "/api/v1/dialogues/scene-1"
GRAPH: Final[dict[str, Any]] = {"title": "Scène", "nodes": [{"id": "n1", "line": "Bonjour."}], "edges": []}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "interactions"


@pytest.fixture(scope="module")
def own_server(folder: Path) -> Iterator[Served]:
    settings = Settings(
        storage=StorageSettings(data_dir=str(folder.parent)),
        autosave=AutosaveSettings(dialogue_bytes_max=BYTES_MAX),
    )
    with serving(settings) as served:
        yield served


@pytest.fixture
def http(own_server: Served, folder: Path) -> Iterator[httpx2.Client]:
    """Asks a server that has no dialogues yet."""
    yield own_server.http
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def file(folder: Path) -> Path:
    return folder / "scene-1.json"


def test_what_was_put_is_on_disk_and_read_with_its_stamps(http: httpx2.Client, file: Path) -> None:
    put = http.put(PATH, json=GRAPH)
    assert put.status_code == 200, put.text
    told = put.json()
    assert told == {
        "id": "scene-1",
        "saved": True,
        "unchanged": False,
        "version": put.headers["etag"],
        "saved_at": told["saved_at"],
    }
    assert datetime.fromisoformat(told["saved_at"]).tzinfo is not None
    stamped = {**GRAPH, "version": told["version"], "saved_at": told["saved_at"], "saved_for": "local"}
    assert json.loads(file.read_bytes()) == stamped
    read = http.get(PATH)
    assert (read.json(), read.headers["etag"]) == (stamped, told["version"])


def test_who_has_it_already_is_not_sent_it_again(http: httpx2.Client) -> None:
    etag = (http.put(PATH, json=GRAPH)).headers["etag"]
    again = http.get(PATH, headers={"If-None-Match": f'"x", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    http.put(PATH, json={**GRAPH, "title": "Autre"})
    assert (http.get(PATH, headers={"If-None-Match": etag})).status_code == 200


def test_what_is_there_already_is_not_written_again_also_when_it_is_sent_back_as_it_was_read(
    http: httpx2.Client, file: Path
) -> None:
    first = (http.put(PATH, json=GRAPH)).json()
    before = file.stat()
    for body in (GRAPH, (http.get(PATH)).json(), dict(reversed(GRAPH.items()))):
        again = (http.put(PATH, json=body)).json()
        assert again == {**first, "saved": False, "unchanged": True}
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("empty", [{}, {"title": "Scène"}, {"nodes": [], "edges": [1]}, {"content": ""}])
def test_nothing_empty_goes_over_content_unless_it_is_forced(http: httpx2.Client, empty: dict[str, Any]) -> None:
    assert (http.put(PATH, json=empty)).status_code == 200
    http.put(PATH, json=GRAPH)
    refused = http.put(PATH, json=empty)
    assert (refused.status_code, refused.json()["code"]) == (409, "EMPTY_OVER_CONTENT")
    assert "force=true" in refused.json()["hint"]
    assert (http.get(PATH)).json()["nodes"] == GRAPH["nodes"]
    assert (http.put(PATH, params={"force": "true"}, json=empty)).json()["saved"]
    assert "nodes" not in (http.get(PATH)).json() or not (http.get(PATH)).json()["nodes"]


def test_of_many_at_once_one_stays_whole_and_all_are_told_they_were_saved(http: httpx2.Client, file: Path) -> None:
    bodies = [{"nodes": [number] * 100} for number in range(20)]
    with ThreadPoolExecutor(10) as crowd:
        answers = list(crowd.map(lambda body: http.put(PATH, json=body), bodies))
    assert all(answer.json()["saved"] for answer in answers)
    assert json.loads(file.read_bytes())["nodes"] in [body["nodes"] for body in bodies]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[]", 422, "INVALID_FIELD"),
        (b"null", 422, "INVALID_FIELD"),
        (b"{", 400, "INVALID_JSON"),
        (b'{"a": NaN}', 400, "INVALID_JSON"),
        (b'{"a": "\xff"}', 400, "INVALID_JSON"),
        (b'{"a":' * 32 + b"1" + b"}" * 32, 200, None),
        (b'{"a":' * 33 + b"1" + b"}" * 33, 400, "INVALID_JSON"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400, "INVALID_JSON"),
        (b'{"a": "a\\u0000b"}', 400, "INVALID_JSON"),
        (b'{"a": [{"a\\u0000b": 1}]}', 400, "INVALID_JSON"),
        (b'{"a": -9007199254740991}', 200, None),
        (b'{"a": [9007199254740992]}', 400, "INVALID_JSON"),
        (b'{"a": -12345678901234567890123}', 400, "INVALID_JSON"),
        (b'{"a": "' + b"x" * (BYTES_MAX - 1_000) + b'"}', 200, None),
        (b'{"a": "' + b"x" * BYTES_MAX + b'"}', 413, "TOO_LARGE"),
    ],
    ids=[
        "array",
        "null",
        "cut off",
        "NaN",
        "not UTF-8",
        "deep",
        "too deep",
        "far too deep",
        "NUL",
        "NUL in a name",
        "an integer",
        "too large an integer",
        "far too large an integer",
        "large",
        "too large",
    ],
)
def test_a_dialogue_is_any_json_object_within_bounds(
    http: httpx2.Client, file: Path, body: bytes, status: int, code: str | None
) -> None:
    # A body that is not read to its end takes its connection with it.
    headers = {"Content-Type": "application/json", "Connection": "close"}
    answer = http.put(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert file.exists() == (status == 200)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "con", "NUL.txt", ".hidden", "a%00", "a%20", "n%CE%BFtes", "n" * 129])
def test_a_bad_name_is_nobody_s(http: httpx2.Client, folder: Path, name: str) -> None:
    path = httpx2.URL(http.base_url.join("/")).copy_with(raw_path=f"/api/v1/dialogues/{name}".encode())
    assert (http.get(path)).status_code == 404
    assert (http.put(path, json=GRAPH)).status_code == 404
    assert not folder.exists()


def test_a_file_that_cannot_be_read_is_told_and_kept_when_it_is_replaced(http: httpx2.Client, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("{")
    told = http.get(PATH)
    assert (told.status_code, told.json()["code"]) == (503, "STORAGE_CORRUPT")
    assert (http.put(PATH, json=GRAPH)).json()["saved"]
    (kept,) = file.parent.glob("*.corrupt-*")
    assert kept.read_text() == "{"


def test_a_file_that_somebody_else_put_there_is_a_dialogue_and_has_a_version(http: httpx2.Client, file: Path) -> None:
    file.parent.mkdir()
    file.write_text('{"nodes": [1], "version": "x\\r\\nSet-Cookie: a=b"}')
    read = http.get(PATH)
    assert read.json() == {"nodes": [1], "version": read.headers["etag"]}
    assert "set-cookie" not in read.headers


def test_a_dialogue_and_the_copy_of_a_canvas_lie_in_one_folder_under_one_name(
    own_server: Served, http: httpx2.Client, folder: Path
) -> None:
    canvas = own_server.canvas("one", ref="scene-2", title="Scène")
    own_server.run(own_server.manager.open(CanvasRef("scene-2")))
    assert http.post(f"{canvas.path}:close").status_code == 200
    path = "/api/v1/dialogues/scene-2"
    until_s = time.monotonic() + PATIENCE_S
    while (read := http.get(path)).status_code == 404 and time.monotonic() < until_s:
        pass
    assert json.loads((folder / "scene-2.json").read_bytes()) == read.json()
    assert {name: read.json()[name] for name in ("id", "title", "content", "version")} == {
        "id": "scene-2",
        "title": "Scène",
        "content": "one",
        "version": canvas.version,
    }
    assert read.headers["etag"] == canvas.version
