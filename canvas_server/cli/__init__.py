"""The command line, `canvas-server`.

Rule: a command finds the settings, calls one function and shows what came of it. Whatever the world did wrong is told
as `error:` and `hint:` with an exit code of `endings`, never as a traceback. Server and client are imported only
by the commands that need them, so that `--help` is there at once.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

import click

from canvas_server import __version__
from canvas_server.cli.canvases import cat, list_canvases, new, outline
from canvas_server.cli.editing import edit
from canvas_server.cli.endings import EXIT_INTERRUPTED, EXIT_UNREAD, exit_code_of
from canvas_server.cli.examining import config, doctor
from canvas_server.cli.generating import generate
from canvas_server.cli.identity import open_page, token, user
from canvas_server.cli.keeping import backup, export, restore
from canvas_server.cli.remembering import history, undo
from canvas_server.cli.serving import serve
from canvas_server.cli.terminal import wants_colour
from canvas_server.cli.watching import tail
from canvas_server.cli.writing import append, write
from canvas_server.core.errors import CanvasError


class _Program(click.Group):
    """Turns what ends any command early into lines on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        ctx.color = wants_colour(os.environ)
        try:
            return super().invoke(ctx)
        except CanvasError as error:
            click.echo(f"error: {error}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            ctx.exit(exit_code_of(error))
        except KeyboardInterrupt:
            click.echo("\nerror: interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            _let_go_of_output()
            ctx.exit(EXIT_UNREAD)


def _let_go_of_output() -> None:
    """Have what is still buffered go nowhere, so that the end of the program does not stumble over it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="canvas-server")
def main() -> None:
    """Serve Markdown canvases that people and LLM agents edit together, live."""


_HERE: Final = (serve, open_page, user, token, doctor, config, backup, restore, export)
OF_CANVASES: Final = (list_canvases, new, cat, edit, append, write, tail, history, undo, outline, generate)
"""The commands that ask a server; `docs/cli.md` is about them."""

for _command in (*_HERE, *OF_CANVASES):
    main.add_command(_command)
