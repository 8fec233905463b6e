"""The commands about canvases as a whole: `canvas-server ls`, `new`, `cat` and `outline`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from canvas_server.cli.asking import ask, check_ref
from canvas_server.cli.past import seq_named
from canvas_server.cli.reaching import example, reaching
from canvas_server.cli.sections import NAME_HELP, section_of
from canvas_server.cli.standard_input import text_of
from canvas_server.cli.terminal import moment, one_line, put, table
from canvas_server.core.version import seq_of

_TITLE: Final = 48


@click.command("ls", short_help="List canvases, newest first.", epilog=example("canvas-server ls --limit 10"))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@reaching
def list_canvases(*, limit: int, as_json: bool) -> None:
    """List the canvases that you may see, newest first."""
    found = ask(lambda asked: asked.client.list(limit=limit))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(one) for one in found], indent=2))
        return
    rows = [
        (
            one.ref,
            one_line(one.title, _TITLE),
            str(seq_of(one.version)),
            str(one.size_bytes),
            moment(one.updated_unix_ms),
        )
        for one in found
    ]
    click.echo(table(("REF", "TITLE", "VERSION", "BYTES", "CHANGED"), rows))


@click.command(
    short_help="Make a canvas.", epilog=example('canvas-server new notes --title "My notes" --from notes.md')
)
@click.argument("ref", required=False)
@click.option("--title", help="Its title; else its ref.")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Text that it begins with; `-` is stdin.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the canvas.")
@reaching
def new(*, ref: str | None, title: str | None, file: Path | None, as_json: bool) -> None:
    """Make a canvas, under a name of the server's choice without REF, and print its name."""
    if ref is not None:
        check_ref(ref)
    text = "" if file is None else text_of(file)
    made = ask(lambda asked: asked.client.create(ref, title=title, text=text))
    click.echo(json.dumps(msgspec.to_builtins(made)) if as_json else made.ref)


@click.command(
    short_help="Print the text of a canvas, or a section of it.",
    epilog=example("canvas-server cat notes --section Ideas"),
)
@click.argument("ref")
@click.option("--at", metavar="VERSION", help="As it was at this version, which `history` shows.")
@click.option("--section", metavar="TITLE", help=f"Only this section: {NAME_HELP}")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the canvas, with its text as `content`.")
@reaching
def cat(*, ref: str, at: str | None, section: str | None, as_json: bool) -> None:
    """Print the text of canvas REF as it is, or was."""
    check_ref(ref)
    seq_named(at)
    state = ask(lambda asked: asked.client.read(ref, at=at))
    text = state.text if section is None else section_of(state.text, section)
    if as_json:
        told = {**msgspec.to_builtins(state), "content": text}
        click.echo(json.dumps(told if section is None else {**told, "section": section, "length": len(text)}))
        return
    put(text)
    if text and not text.endswith("\n") and sys.stdout.isatty():
        put("\n")


@click.command(short_help="Print the headings of a canvas.", epilog=example("canvas-server outline notes"))
@click.argument("ref")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@reaching
def outline(*, ref: str, as_json: bool) -> None:
    """Print the headings of canvas REF, each with its line and the id that --section takes."""
    check_ref(ref)
    headings = ask(lambda asked: asked.client.outline(ref))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(one) for one in headings], indent=2))
        return
    for one in headings:
        click.echo(
            f"{click.style(f'{one.line:>5}', fg='yellow')}  {'  ' * (one.level - 1)}{one_line(one.title)}"
            f"  {click.style(f'#{one_line(one.id)}', dim=True)}"
        )
