"""`canvas_server.cli`: what the commands print and which exit code they end with."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from canvas_server import __version__
from canvas_server.cli import main
from canvas_server.config.schema import keys
from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import SavedText
from canvas_server.core.version import genesis
from canvas_server.storage.canvases import open_store

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the program in an empty folder, with only the variables that are given."""
    monkeypatch.chdir(tmp_path)

    # A process that has stepped back cannot step forward again.
    monkeypatch.setattr(os, "nice", lambda _by: 0)

    def run_it(*arguments: str, **environ: str) -> Result:
        return CliRunner(env=dict(environ)).invoke(main, arguments)

    return run_it


def test_help_names_every_command(run: Callable[..., Result]) -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.split("Commands:\n")[1].splitlines()] == [
        "append",
        "backup",
        "cat",
        "config",
        "doctor",
        "edit",
        "export",
        "generate",
        "history",
        "ls",
        "new",
        "open",
        "outline",
        "restore",
        "serve",
        "tail",
        "token",
        "undo",
        "user",
        "write",
    ]


def test_help_does_not_import_server_or_client() -> None:
    slow = "'canvas_server.app', 'uvicorn', 'sqlalchemy', 'canvas_server.client', 'httpx2', 'markdown_it'"
    program = f"import sys, canvas_server.cli; print({{{slow}}} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout == "set()\n"


def test_the_module_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "canvas_server", "--version"], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout == f"canvas-server, version {__version__}\n"


def test_config_shows_every_setting_with_its_origin(run: Callable[..., Result]) -> None:
    result = run("config", "--data-dir", "d", CANVAS_SERVER_PORT="9000")

    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == list(keys())
    assert ["server.port", "=", "9000", "#", "environment", "variable", "CANVAS_SERVER_PORT"] in lines
    assert ["storage.data_dir", "=", '"d"', "#", "--data-dir"] in lines
    assert ["log.level", "=", '"info"', "#", "default"] in lines


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_config_masks_secrets(run: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    Path("config.toml").write_text('actors.anna.token = "${A}"')

    result = run("config", *arguments, A=TOKEN)

    assert result.exit_code == 0
    assert TOKEN not in result.output
    assert "***" in result.output


def test_config_as_json_names_the_file_and_each_origin(run: Callable[..., Result]) -> None:
    Path("config.toml").write_text("server.port = 1")

    shown = json.loads(run("config", "--json").stdout)

    assert shown["file"] == "config.toml"
    assert shown["settings"]["server.port"] == {"value": 1, "origin": "config.toml"}
    assert shown["settings"]["server.host"] == {"value": "127.0.0.1", "origin": "default"}


@pytest.mark.parametrize("command", [("config",), ("serve",), ("export", "notes")])
def test_settings_that_cannot_be_used_end_in_two_lines_and_code_2(
    run: Callable[..., Result], command: tuple[str, ...]
) -> None:
    result = run(*command, CANVAS_SERVER_PROT="1")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "error: environment variable CANVAS_SERVER_PROT names no setting\nhint: did you mean CANVAS_SERVER_PORT?\n"
    )


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(run: Callable[..., Result], port: str) -> None:
    assert run("serve", "--port", port).exit_code == 2


def test_a_refused_export_leaves_the_file_as_it_was(run: Callable[..., Result]) -> None:
    Path("notes.md").write_text("before")

    result = run("export", "notes", "-o", "notes.md", CANVAS_SERVER_PORT="x")

    assert result.exit_code == 2
    assert Path("notes.md").read_text() == "before"


def make_database(folder: str) -> None:
    async def create() -> None:
        async with open_store(Path(folder)) as store:
            version = genesis("0123456789abcdef")
            await store.create(CanvasRef("notes"), "Notes", SavedText(version, "text", (version.etag,)), 1_000)

    asyncio.run(create())


def test_backup_restore_and_export_all_say_what_they_did(run: Callable[..., Result]) -> None:
    make_database("data")
    Path("data/gdd.json").write_text("{}")

    made = run("backup", "b.zip")
    checked = run("restore", "b.zip", "--check")
    refused = run("restore", "b.zip")
    forced = run("restore", "b.zip", "--force")
    exported = run("export", "--all", "-o", "texts")

    assert [result.exit_code for result in (made, checked, refused, forced, exported)] == [0, 0, 2, 0, 0]
    assert made.stdout.startswith("b.zip: 1 canvases, 0 operations, 0 users and 0 JSON files of 2")
    assert made.stderr == "hint: not in it, copy them yourself: data/gdd.json\n"
    assert checked.stdout.endswith("right to its end\n")
    assert refused.stderr.startswith("error: data holds canvas.db")
    assert forced.stdout.endswith(", restored\n")
    (before,) = Path("data").glob("before-restore-*")
    assert forced.stderr == f"hint: what was there before is in {before}\n"
    assert exported.stdout == "texts: 1 canvases, 4 bytes\n"
    assert Path("texts/notes.md").read_text() == "text"


def test_backup_and_export_all_as_json_are_one_object_each(run: Callable[..., Result]) -> None:
    make_database("data")

    made = json.loads(run("backup", "b.zip", "--json").stdout)
    exported = json.loads(run("export", "--all", "-o", "texts", "--json").stdout)

    assert made["file"] == "b.zip"
    assert made["size_bytes"] == Path("b.zip").stat().st_size
    assert made["counts"] == {"canvases": 1, "operations": 0, "users": 0}
    assert (made["files"], made["not_included"]) == (1, [])
    assert exported == {"folder": "texts", "canvases": 1, "size_bytes": 4}


def test_a_backup_of_a_damaged_database_names_the_damage_and_ends_with_code_2(run: Callable[..., Result]) -> None:
    make_database("data")
    with closing(sqlite3.connect("data/canvas.db")) as connection, connection:
        connection.execute("UPDATE canvas_text SET content = 'other'")

    result = run("backup", "b.zip")

    assert result.exit_code == 2
    assert "canvas notes: a text of canvas 1 does not fit its checksum" in result.stderr
    assert not Path("b.zip").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("export",),
        ("export", "--all"),
        ("export", "notes", "--all", "-o", "texts"),
        ("export", "--all", "--at", "1", "-o", "texts"),
        ("export", "notes", "--json"),
        ("backup",),
        ("restore", "no.zip"),
    ],
)
def test_commands_that_make_no_sense_are_refused(run: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert list(Path().rglob("*.db")) == []


def test_doctor_ends_with_0_where_a_server_can_run(run: Callable[..., Result]) -> None:
    result = run("doctor", CANVAS_SERVER_PORT="0")

    assert result.exit_code == 0, result.output
    assert "ok    settings: no file: defaults and environment\n" in result.stdout


def test_doctor_ends_with_1_and_says_how_to_mend_what_fails(run: Callable[..., Result]) -> None:
    result = run("doctor", CANVAS_SERVER_PORT="x")

    assert result.exit_code == 1
    assert "fail  settings: server.port is 'x', not a whole number from 0 to 65535" in result.stdout
    assert "      mend: " in result.stdout


def test_doctor_as_json_tells_the_same(run: Callable[..., Result]) -> None:
    result = run("doctor", "--json", CANVAS_SERVER_PORT="x")

    findings = json.loads(result.stdout)
    assert result.exit_code == 1
    assert all(set(finding) == {"check", "level", "detail", "mend"} for finding in findings)
    assert [finding["check"] for finding in findings if finding["level"] == "fail"] == ["settings"]
