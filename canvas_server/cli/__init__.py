"""The command line, `canvas-server`.

Rule: a command finds the settings, calls one function and shows what came of it. Whatever the world did wrong is told
as `error:` and `hint:` with exit code 2, never as a traceback. The server itself is imported only by the commands that
need it, so that `--help` is there at once.
"""

from __future__ import annotations

from typing import Final

import click

from canvas_server import __version__
from canvas_server.cli.examining import config, doctor
from canvas_server.cli.identity import open_page, token, user
from canvas_server.cli.keeping import backup, export, restore
from canvas_server.cli.serving import serve
from canvas_server.core.errors import CanvasError

EXIT_REFUSED: Final = 2
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


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="canvas-server")
def main() -> None:
    """Serve Markdown canvases that people and LLM agents edit together, live."""


for _command in (serve, open_page, user, token, doctor, config, backup, restore, export):
    main.add_command(_command)
