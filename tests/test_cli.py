"""`canvas_server.cli`: what the commands print and which exit code they end with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from canvas_server import __version__
from canvas_server.cli import main
from canvas_server.config.schema import keys

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the program in an empty folder, with only the variables that are given."""
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments: str, **environ: str) -> Result:
        return CliRunner(env=dict(environ)).invoke(main, arguments)

    return run_it


def test_help_names_every_command(run: Callable[..., Result]) -> None:
    result = run("--help")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.split("Commands:\n")[1].splitlines()] == [
        "config",
        "doctor",
        "export",
        "open",
        "serve",
        "token",
        "user",
    ]


def test_help_does_not_import_the_server() -> None:
    program = "import sys, canvas_server.cli; print({'canvas_server.app', 'uvicorn', 'sqlalchemy'} & set(sys.modules))"

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
