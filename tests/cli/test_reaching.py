"""`cli/reaching.py`: where the server is, and by what right it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from canvas_server.address_file import ADDRESS_NAME, Running
from canvas_server.config import Secret, ServerSettings, Settings, StorageSettings
from tests.cli.program import Program
from tests.serving import Served, serving

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """A server that wants credentials, and its data folder."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "token").write_text(f"{TOKEN}\n")
    settings = Settings(server=ServerSettings(token=Secret(TOKEN)), storage=StorageSettings(data_dir=str(folder)))
    with serving(settings, credentials=True) as running:
        write_address(folder, running.url)
        yield running, folder


def write_address(folder: Path, url: str) -> None:
    (folder / ADDRESS_NAME).write_bytes(msgspec.json.encode(Running(url=url, pid=1)))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Commands that nobody told where a server is, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Program("", tmp_path)


def test_without_a_server_it_says_how_to_start_one(nowhere: Program) -> None:
    result = nowhere.run("ls")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: no server runs on data\n"
        "hint: Start one with `make run` or `canvas-server serve`, or say where it is with --url.\n"
    )


def test_the_server_of_the_data_folder_is_asked_with_its_token(nowhere: Program, strict: tuple[Served, Path]) -> None:
    _, folder = strict
    assert nowhere.out("new", "cli-strict", "--data-dir", str(folder)) == "cli-strict\n"
    assert "cli-strict" in nowhere.out("ls", CANVAS_STORAGE_DATA_DIR=str(folder))


def test_a_server_that_was_killed_leaves_an_address_at_which_nobody_answers(nowhere: Program) -> None:
    folder = nowhere.folder / "data"
    folder.mkdir()
    write_address(folder, "http://127.0.0.1:9")
    result = nowhere.run("cat", "notes")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no server answers at http://127.0.0.1:9\nhint: Start one")


def test_the_token_of_a_file_or_of_the_environment_is_used(nowhere: Program, strict: tuple[Served, Path]) -> None:
    served, folder = strict
    token = str(folder / "token")
    assert nowhere.run("ls", "--url", served.url, "--token-file", token).exit_code == 0
    assert nowhere.run("ls", CANVAS_URL=served.url, CANVAS_TOKEN=Path(token).read_text()).exit_code == 0
    assert nowhere.run("ls", "--url", served.url, "--data-dir", str(folder)).exit_code == 0


def test_a_token_that_is_missing_or_wrong_is_told_apart(nowhere: Program, strict: tuple[Served, Path]) -> None:
    served, _ = strict
    missing = nowhere.run("ls", "--url", served.url)
    assert missing.exit_code == 2
    assert missing.stderr.startswith(
        f"error: the server at {served.url} wants a token\nhint: Give one with CANVAS_TOKEN"
    )
    wrong = nowhere.run("ls", "--url", served.url, CANVAS_TOKEN="wrong")
    assert wrong.exit_code == 2
    assert "knows no such token" in wrong.stderr


def test_the_token_of_the_data_folder_goes_to_no_server_elsewhere(
    nowhere: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    import canvas_server.cli.asking
    from canvas_server.cli.reaching import Server, find_server
    from canvas_server.core.errors import NotFoundError

    folder = nowhere.folder / "data"
    folder.mkdir()
    (folder / "token").write_text("secret")
    found: list[Server] = []

    def look() -> Server:
        found.append(find_server())
        raise NotFoundError("looked")

    monkeypatch.setattr(canvas_server.cli.asking, "find_server", look)
    for url in ("http://example.org", "http://127.0.0.1.example.org", "http://127.0.0.1:1", "http://localhost:1"):
        nowhere.run("ls", "--url", url)
    assert [server.token for server in found] == [None, None, "secret", "secret"]


@pytest.mark.parametrize("url", ["localhost:8642", "ftp://localhost", "http://", "http://[", "http://a:b"])
def test_an_address_that_is_none_is_refused(nowhere: Program, url: str) -> None:
    result = nowhere.run("ls", "--url", url)
    assert result.exit_code == 2
    assert "is not the address of a server" in result.stderr


def test_a_token_file_that_cannot_be_read_is_named(nowhere: Program) -> None:
    (nowhere.folder / "empty").touch()
    for name, why in (("missing", "cannot be read"), ("empty", "is empty")):
        result = nowhere.run("ls", "--url", "http://localhost:1", "--token-file", name)
        assert result.exit_code == 2
        assert f"error: {name} {why}" in result.stderr


def test_settings_are_not_needed_where_all_is_said(nowhere: Program, strict: tuple[Served, Path]) -> None:
    served, _ = strict
    assert nowhere.run("ls", "--url", served.url, CANVAS_TOKEN=TOKEN, CANVAS_SERVER_PROT="1").exit_code == 0
    assert nowhere.run("ls", CANVAS_SERVER_PROT="1").exit_code == 2
