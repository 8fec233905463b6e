"""Writes what was measured last into the manual: `python -m tests.bench.page`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from tests.bench.report import Run, read_json, table
from tests.bench.servers import ROOT

OURS: Final = ROOT / "bench.json"
PEERS_DIR: Final = ROOT / ".peers"
"""What the peers need, and what was measured of them; nothing in it belongs to the repository."""

PEERS: Final = PEERS_DIR / "bench.json"
PAGE: Final = ROOT / "canvas_server" / "docs" / "performance.md"

_GENERATION: Final = "Generation"
"""Begins the titles of the groups that have a block of their own."""


def write() -> None:
    """Write the tables of all runs that there are between the markers of the page."""
    runs = [read_json(path) for path in (OURS, PEERS) if path.exists()]
    text = PAGE.read_text()
    for block, generation in (("bench", False), ("bench generation", True)):
        lines = [line for run in runs for line in _told(run, generation=generation)]
        text = _with(text, block, lines) if lines else text
    PAGE.write_text(text)


def _with(text: str, block: str, lines: Sequence[str]) -> str:
    begin, end = f"<!-- {block} -->", f"<!-- /{block} -->"
    tables = "\n".join([begin, "", *lines]).rstrip("\n") + f"\n\n{end}"
    return re.sub(f"{begin}.*?{end}", lambda _found: tables, text, flags=re.DOTALL)


def _told(run: Run, *, generation: bool) -> Iterator[str]:
    groups = [group for group in run.groups if group.title.startswith(_GENERATION) == generation]
    if not groups:
        return
    machine = run.machine
    yield f"Measured {run.measured}, canvas-server {run.canvas_server}, Python {machine['python']}, {machine['cores']}."
    yield ""
    for group in groups:
        yield from table(group)


if __name__ == "__main__":
    write()
