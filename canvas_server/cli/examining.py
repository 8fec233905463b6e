"""The commands that only look: `canvas-server doctor` and `config`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from canvas_server.cli.options import loaded, sourced
from canvas_server.config import Loaded, flatten
from canvas_server.doctor import Finding, examine, examine_live


@click.command(short_help="Check that a server could run here, or that one runs well.")
@sourced
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
        return loaded(file, {"storage.data_dir": data_dir})

    is_live = live or url is not None
    findings = tuple(examine_live(loading, os.environ, url) if is_live else examine(loading, os.environ))
    click.echo(_findings_as_json(findings) if as_json else "\n".join(map(_finding_as_text, findings)))
    ctx.exit(1 if any(finding.level == "fail" for finding in findings) else 0)


@click.command(short_help="Show the settings in force and their origin.")
@sourced
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the file, and each setting with its origin.")
def config(*, file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """Show the settings in force and where each came from; secrets are masked."""
    found = loaded(file, {"storage.data_dir": data_dir})
    click.echo(_settings_as_json(found) if as_json else _settings_as_text(found))


def _settings_as_text(found: Loaded) -> str:
    lines = [(f"{name} = {json.dumps(value)}", found.origins[name]) for name, value in flatten(found.settings).items()]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:{width}}  # {origin}" for line, origin in lines)


def _settings_as_json(found: Loaded) -> str:
    settings = {
        name: {"value": value, "origin": found.origins[name]} for name, value in flatten(found.settings).items()
    }
    return json.dumps({"file": str(found.file) if found.file else None, "settings": settings}, indent=2)


def _finding_as_text(finding: Finding) -> str:
    mend = f"\n      mend: {finding.mend}" if finding.mend else ""
    return f"{finding.level:4}  {finding.check}: {finding.detail}{mend}"


def _findings_as_json(findings: tuple[Finding, ...]) -> str:
    return json.dumps(
        [{"check": one.check, "level": one.level, "detail": one.detail, "mend": one.mend} for one in findings], indent=2
    )
