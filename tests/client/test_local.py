"""Finding a server of this machine by its data folder, which is not trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canvas_server.client import CanvasClient, UnreachableError
from canvas_server.client.local import Local, find_local
from tests.processes import running


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CANVAS_TOKEN", "CANVAS_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
async def test_the_server_of_a_folder_is_found_with_its_token(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        async with CanvasClient.local(process.data) as client:
            canvas = await client.open("notes", create=True)
            canvas.append("x")
            await canvas.settled()
            assert client.url == process.url
    with pytest.raises(UnreachableError):
        CanvasClient.local(process.data)


async def test_an_address_that_was_left_behind_is_told_by_the_first_request(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 1, "version": "1"}))
    async with CanvasClient.local(tmp_path) as client:
        with pytest.raises(UnreachableError):
            await client.create("notes")


@pytest.mark.parametrize("content", ["", "[]", '{"url": 1}', "\0"])
def test_a_file_that_says_nothing_is_no_address(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content)
    with pytest.raises(UnreachableError):
        find_local(tmp_path)


def test_the_token_of_a_folder_is_sent_to_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret\n")
    for url, token in [
        ("http://127.0.0.1:8642", "secret"),
        ("https://localhost:1", "secret"),
        ("http://127.0.0.1.example.com", ""),
        ("http://other.example", ""),
    ]:
        (tmp_path / "server.json").write_text(json.dumps({"url": url, "pid": 1}))
        assert find_local(tmp_path) == Local(url, token)
    monkeypatch.setenv("CANVAS_TOKEN", "told")
    assert find_local(tmp_path).token == "told"
