"""`canvas-server serve`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from canvas_server import browsing, logs
from canvas_server.cli.options import loaded, sourced


@click.command()
@sourced
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
    settings = loaded(file, flags).settings
    logs.configure(settings.log.level, as_json=settings.log.format == "json")
    logs.catch_the_rest()

    from canvas_server import app  # noqa: PLC0415 - the whole server

    folder = None if settings.storage.ephemeral else Path(settings.storage.data_dir)
    with browsing.opener(folder) if open_page else nullcontext() as show:
        code = app.serve(settings, show)
    ctx.exit(code)
