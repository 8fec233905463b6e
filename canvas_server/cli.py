"""The command line: `canvas-server serve`, `export`, `backup`, `restore`, `doctor` and `config`.

Rule: it finds the settings, calls one function and shows what came of it. Whatever the world did wrong is told as
`error:` and `hint:` with exit code 2, never as a traceback. The server itself is imported only by the commands that
need it, so that `--help` is there at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click

from canvas_server import __version__, logs
from canvas_server.config import Loaded, flatten, load
from canvas_server.core.errors import CanvasError
from canvas_server.doctor import Finding, examine

_P = ParamSpec("_P")
_R = TypeVar("_R")

EXIT_REFUSED = 2
"""The exit code when the settings or the store cannot be used; 1 is what `doctor` ends with when something fails."""

_EARLIER: Final = {"new": "what it had begun is finished", "old": "what it had unpacked is removed"}


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


@main.command()
@_with_sources
@click.option("--host", metavar="HOST", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="PORT", help="TCP port; 0 picks a free one.")
@click.option("--ephemeral", is_flag=True, default=None, help="Keep everything in memory only.")
@click.pass_context
def serve(
    ctx: click.Context,
    *,
    file: Path | None,
    data_dir: str | None,
    host: str | None,
    port: int | None,
    ephemeral: bool | None,
) -> None:
    """Run the server until it is stopped (Ctrl-C, SIGTERM)."""
    settings = _load(
        file,
        {"server.host": host, "server.port": port, "storage.data_dir": data_dir, "storage.ephemeral": ephemeral},
    ).settings
    logs.configure(settings.log.level, as_json=settings.log.format == "json")

    from canvas_server import app  # noqa: PLC0415 - the whole server

    ctx.exit(app.serve(settings))


@main.command()
@_with_sources
@click.argument("ref", required=False)
@click.option("--at", metavar="VERSION", help="A version or seq of the past; else the newest that is on disk.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    default="-",
    help="File to write, as a whole or not at all; else stdout. With --all a folder.",
)
@click.option("--all", "everything", is_flag=True, help="Write every canvas into a folder, with canvases.json.")
@click.option("--force", is_flag=True, help="With --all: the folder need not be empty.")
@click.option("--json", "as_json", is_flag=True, help="With --all: one JSON object on stdout.")
def export(  # noqa: PLR0913 - one for each option
    *,
    file: Path | None,
    data_dir: str | None,
    ref: str | None,
    at: str | None,
    output: Path,
    everything: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the text of canvas REF, or of all with --all, also while a server runs."""
    if everything:
        if ref is not None or at is not None or str(output) == "-":
            raise click.UsageError("--all takes no REF and no --at, and needs a folder: -o DIR")
        _export_all(_load(file, {"storage.data_dir": data_dir}), output, force=force, as_json=as_json)
        return
    if ref is None:
        raise click.UsageError("name a canvas, or say --all")
    if force or as_json:
        raise click.UsageError("--force and --json go with --all")
    settings = _load(file, {"storage.data_dir": data_dir}).settings

    from canvas_server import app  # noqa: PLC0415 - the whole server

    if str(output) == "-":
        click.echo(app.export(settings, ref, at).encode(), nl=False)
    else:
        app.export_to(output, settings, ref, at)


def _export_all(loaded: Loaded, folder: Path, *, force: bool, as_json: bool) -> None:
    from canvas_server import backups  # noqa: PLC0415 - the whole server

    exported = backups.export_all(loaded.settings, folder, force=force)
    size_bytes = sum(one.size_bytes for one in exported)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "canvases": len(exported), "size_bytes": size_bytes}))
    else:
        click.echo(f"{folder}: {len(exported)} canvases, {size_bytes} bytes")


@main.command(short_help="Write a backup of everything.")
@_with_sources
@click.argument("backup", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists, once the new one is whole.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def backup(*, file: Path | None, data_dir: str | None, backup: Path, force: bool, as_json: bool) -> None:
    """Write all canvases with their history, jobs, bill, presets and dialogues into FILE, also while a server runs."""
    loaded = _load(file, {"storage.data_dir": data_dir})

    from canvas_server import backups  # noqa: PLC0415 - the whole server

    # The server goes first.
    os.nice(10)
    with _progress() as tell:
        made = backups.backup(loaded.settings, backup, tell, force=force)
    absent = backups.not_included(loaded.settings, loaded.file)
    if as_json:
        told = backups.facts(made.manifest)
        click.echo(json.dumps({"file": str(backup), "size_bytes": made.size_bytes, **told, "not_included": absent}))
    else:
        click.echo(f"{backup}: {backups.in_words(made.manifest)}, {made.size_bytes} bytes, read back and right")
    if absent:
        click.echo(f"hint: not in it, copy them yourself: {', '.join(absent)}", err=True)


@main.command(short_help="Put a backup back.")
@_with_sources
@click.argument("backup", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Move what is in the folder aside, into before-restore-<time> in it.")
@click.option("--check", is_flag=True, help="Only read FILE to its end, and change nothing.")
def restore(*, file: Path | None, data_dir: str | None, backup: Path, force: bool, check: bool) -> None:
    """Put everything in FILE back into the data folder, which no server may use."""
    settings = _load(file, {"storage.data_dir": data_dir}).settings

    from canvas_server import backups  # noqa: PLC0415 - the whole server

    with _progress() as tell:
        if check:
            manifest = backups.check(settings, backup, tell)
        else:
            restored = backups.restore(settings, backup, tell, force=force)
            manifest = restored.manifest
    if check:
        click.echo(f"{backup}: {backups.in_words(manifest)}, right to its end")
        return
    if restored.earlier is not None:
        click.echo(f"note: an earlier restore had been cut off; {_EARLIER[restored.earlier.outcome]}", err=True)
    click.echo(f"{settings.storage.data_dir}: {backups.in_words(manifest)}, restored")
    if restored.before is not None:
        click.echo(f"hint: what was there before is in {Path(settings.storage.data_dir) / restored.before}", err=True)


@main.command(short_help="Check that a server could run here.")
@_with_sources
@click.option("--json", "as_json", is_flag=True, help="One JSON array of findings.")
@click.pass_context
def doctor(ctx: click.Context, *, file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """Check that a server could run here, and say how to mend what is wrong; exit code 1 if something is."""
    findings = tuple(examine(lambda: _load(file, {"storage.data_dir": data_dir}), os.environ))
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


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give what tells of progress on one line of a terminal, and nothing elsewhere."""
    shown = ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal shown
        text = f"{what} {100 * done // max(total, 1):3} %"
        if text != shown:
            click.echo(f"\r{text:20}", err=True, nl=False)
            shown = text

    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    try:
        yield tell
    finally:
        if shown:
            click.echo(f"\r{'':20}\r", err=True, nl=False)


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
