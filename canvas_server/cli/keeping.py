"""The commands that keep what is there: `canvas-server export`, `backup` and `restore`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from canvas_server.cli.options import loaded, sourced
from canvas_server.config import Loaded

_EARLIER: Final = {"new": "what it had begun is finished", "old": "what it had unpacked is removed"}


@click.command()
@sourced
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
        _export_all(loaded(file, {"storage.data_dir": data_dir}), output, force=force, as_json=as_json)
        return
    if ref is None:
        raise click.UsageError("name a canvas, or say --all")
    if force or as_json:
        raise click.UsageError("--force and --json go with --all")
    settings = loaded(file, {"storage.data_dir": data_dir}).settings

    from canvas_server import app  # noqa: PLC0415 - the whole server

    if str(output) == "-":
        click.echo(app.export(settings, ref, at).encode(), nl=False)
    else:
        app.export_to(output, settings, ref, at)


def _export_all(found: Loaded, folder: Path, *, force: bool, as_json: bool) -> None:
    from canvas_server import backups  # noqa: PLC0415 - the whole server

    exported = backups.export_all(found.settings, folder, force=force)
    size_bytes = sum(one.size_bytes for one in exported)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "canvases": len(exported), "size_bytes": size_bytes}))
    else:
        click.echo(f"{folder}: {len(exported)} canvases, {size_bytes} bytes")


@click.command(short_help="Write a backup of everything.")
@sourced
@click.argument("backup", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists, once the new one is whole.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def backup(*, file: Path | None, data_dir: str | None, backup: Path, force: bool, as_json: bool) -> None:
    """Write all canvases with their history, jobs, bill, presets and dialogues into FILE, also while a server runs."""
    found = loaded(file, {"storage.data_dir": data_dir})

    from canvas_server import backups  # noqa: PLC0415 - the whole server

    # The server goes first.
    os.nice(10)
    with _progress() as tell:
        made = backups.backup(found.settings, backup, tell, force=force)
    absent = backups.not_included(found.settings, found.file)
    if as_json:
        told = backups.facts(made.manifest)
        click.echo(json.dumps({"file": str(backup), "size_bytes": made.size_bytes, **told, "not_included": absent}))
    else:
        click.echo(f"{backup}: {backups.in_words(made.manifest)}, {made.size_bytes} bytes, read back and right")
    if absent:
        click.echo(f"hint: not in it, copy them yourself: {', '.join(absent)}", err=True)


@click.command(short_help="Put a backup back.")
@sourced
@click.argument("backup", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Move what is in the folder aside, into before-restore-<time> in it.")
@click.option("--check", is_flag=True, help="Only read FILE to its end, and change nothing.")
def restore(*, file: Path | None, data_dir: str | None, backup: Path, force: bool, check: bool) -> None:
    """Put everything in FILE back into the data folder, which no server may use."""
    settings = loaded(file, {"storage.data_dir": data_dir}).settings

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
