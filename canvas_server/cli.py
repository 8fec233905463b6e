"""The command line: `canvas-server serve`, `export`, `doctor` and `config`.

Rule: it finds the settings, calls one function and shows what came of it. Whatever the world did wrong is told as
`error:` and `hint:` with exit code 2, never as a traceback. The server itself is imported only by the commands that
need it, so that `--help` is there at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from canvas_server import __version__, browsing, logs
from canvas_server.cli_identity import open_page, token, user
from canvas_server.config import Loaded, flatten, load
from canvas_server.core.errors import CanvasError
from canvas_server.doctor import Finding, examine, examine_live

_P = ParamSpec("_P")
_R = TypeVar("_R")

EXIT_REFUSED = 2
"""The exit code when the settings or the store cannot be used; 1 is what `doctor` ends with when something fails."""


class _Program(click.Group):
    """Turns a `CanvasError` of any command into two lines and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CanvasError as error:
            click.echo(f"error: {error}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            ctx.exit(EXIT_REFUSED)


def _with_sources(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command the options that say where settings and data are."""
    file = click.Path(path_type=Path, dir_okay=False)
    command = click.option("--data-dir", metavar="DIR", help="Folder of the database.")(command)
    return click.option("--config", "file", type=file, metavar="FILE", help="Settings file.")(command)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="canvas-server")
def main() -> None:
    """Serve Markdown canvases that people and LLM agents edit together, live."""


main.add_command(user)
main.add_command(token)
main.add_command(open_page)


@main.command()
@_with_sources
@click.option("--host", metavar="HOST", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="PORT", help="TCP port; 0 picks a free one.")
@click.option("--lan", is_flag=True, default=None, help="Serve others on the network, over TLS; needs --host.")
@click.option("--behind-proxy", is_flag=True, default=None, help="Serve others through a reverse proxy.")
@click.option("--no-auth", is_flag=True, default=None, help="Ask nobody for credentials; on this machine alone.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser, where there is a screen.")
@click.option("--ephemeral", is_flag=True, default=None, help="Keep everything in memory only.")
@click.pass_context
def serve(ctx: click.Context, /, *, file: Path | None, open_page: bool, **given: str | int | None) -> None:
    """Run the server until it is stopped (Ctrl-C, SIGTERM)."""
    if given["lan"] and given["behind_proxy"]:
        raise click.UsageError("choose --lan or --behind-proxy")
    flags: dict[str, object] = {
        "server.host": given["host"],
        "server.port": given["port"],
        "server.mode": "lan" if given["lan"] else "proxy" if given["behind_proxy"] else None,
        "server.auth": False if given["no_auth"] else None,
        "storage.data_dir": given["data_dir"],
        "storage.ephemeral": given["ephemeral"],
    }
    settings = _load(file, flags).settings
    logs.configure(settings.log.level, as_json=settings.log.format == "json")
    logs.catch_the_rest()

    from canvas_server import app  # noqa: PLC0415 - the whole server

    ctx.exit(app.serve(settings, show=browsing.open_page if open_page else None))


@main.command()
@_with_sources
@click.argument("ref")
@click.option("--at", metavar="VERSION", help="A version or seq of the past; else the newest that is on disk.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default="-",
    help="File to write, as a whole or not at all; else stdout.",
)
def export(*, file: Path | None, data_dir: str | None, ref: str, at: str | None, output: Path) -> None:
    """Write the text of canvas REF, also while a server runs."""
    settings = _load(file, {"storage.data_dir": data_dir}).settings

    from canvas_server import app  # noqa: PLC0415 - the whole server

    if str(output) == "-":
        click.echo(app.export(settings, ref, at).encode(), nl=False)
    else:
        app.export_to(output, settings, ref, at)


@main.command(short_help="Check that a server could run here, or that one runs well.")
@_with_sources
@click.option("--live", is_flag=True, help="Examine the server that runs here, too.")
@click.option("--url", metavar="URL", help="Examine the server at this address; implies --live.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of findings.")
@click.pass_context
def doctor(
    ctx: click.Context, *, file: Path | None, data_dir: str | None, live: bool, url: str | None, as_json: bool
) -> None:
    """Check that a server could run here, and say how to mend what is wrong; exit code 1 if something is.

    With --live a running server is examined too: it is asked, and one canvas is made, written and deleted.
    """

    def loading() -> Loaded:
        return _load(file, {"storage.data_dir": data_dir})

    is_live = live or url is not None
    findings = tuple(examine_live(loading, os.environ, url) if is_live else examine(loading, os.environ))
    click.echo(_findings_as_json(findings) if as_json else "\n".join(map(_finding_as_text, findings)))
    ctx.exit(1 if any(finding.level == "fail" for finding in findings) else 0)


@main.command(short_help="Show the settings in force and their origin.")
@_with_sources
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the file, and each setting with its origin.")
def config(*, file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """Show the settings in force and where each came from; secrets are masked."""
    loaded = _load(file, {"storage.data_dir": data_dir})
    click.echo(_settings_as_json(loaded) if as_json else _settings_as_text(loaded))


def _load(file: Path | None, flags: dict[str, object]) -> Loaded:
    return load(file, environ=os.environ, flags={name: value for name, value in flags.items() if value is not None})


def _settings_as_text(loaded: Loaded) -> str:
    lines = [
        (f"{name} = {json.dumps(value)}", loaded.origins[name]) for name, value in flatten(loaded.settings).items()
    ]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:{width}}  # {origin}" for line, origin in lines)


def _settings_as_json(loaded: Loaded) -> str:
    settings = {
        name: {"value": value, "origin": loaded.origins[name]} for name, value in flatten(loaded.settings).items()
    }
    return json.dumps({"file": str(loaded.file) if loaded.file else None, "settings": settings}, indent=2)


def _finding_as_text(finding: Finding) -> str:
    mend = f"\n      mend: {finding.mend}" if finding.mend else ""
    return f"{finding.level:4}  {finding.check}: {finding.detail}{mend}"


def _findings_as_json(findings: tuple[Finding, ...]) -> str:
    return json.dumps(
        [{"check": one.check, "level": one.level, "detail": one.detail, "mend": one.mend} for one in findings], indent=2
    )
