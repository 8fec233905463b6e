"""Writes what was measured last into the manual: `python -m tests.bench.page`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.bench.report import Run, read_json, table
from tests.bench.servers import ROOT

OURS: Final = ROOT / "bench.json"
PEERS_DIR: Final = ROOT / ".peers"
"""What the peers need, and what was measured of them; nothing in it belongs to the repository."""

PEERS: Final = PEERS_DIR / "bench.json"
PAGE: Final = ROOT / "canvas_server" / "docs" / "performance.md"

_BEGIN: Final = "<!-- bench -->"
_END: Final = "<!-- /bench -->"


def write() -> None:
    """Write the tables of all runs that there are between the markers of the page."""
    runs = [read_json(path) for path in (OURS, PEERS) if path.exists()]
    lines = [line for run in runs for line in _told(run)]
    tables = "\n".join([_BEGIN, "", *lines]).rstrip("\n") + f"\n\n{_END}"
    between = re.compile(f"{_BEGIN}.*?{_END}", re.DOTALL)
    PAGE.write_text(between.sub(lambda _found: tables, PAGE.read_text()))


def _told(run: Run) -> Iterator[str]:
    machine = run.machine
    yield f"Measured {run.measured}, canvas-server {run.canvas_server}, Python {machine['python']}, {machine['cores']}."
    yield ""
    for group in run.groups:
        yield from table(group)


if __name__ == "__main__":
    write()
