"""What a run measured: figures in groups, each beside its ceiling, as a table and as JSON."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from os import cpu_count
from pathlib import Path

import msgspec

from canvas_server import __version__


class Figure(msgspec.Struct, frozen=True):
    """One measured value."""

    what: str
    value: float
    unit: str
    share: float | None = None
    """In relation to another figure of this run."""
    beside: str = ""
    """Which, and how: `of bare ASGI`, `times 20 KB`."""


class Group(msgspec.Struct, frozen=True):
    """Figures of one kind, and what to know when reading them."""

    title: str
    note: str
    figures: Sequence[Figure]


def table(group: Group) -> Iterator[str]:
    """Yield a group as the lines of a Markdown section."""
    yield f"## {group.title}"
    yield ""
    if group.note:
        yield group.note
        yield ""
    rows = [("what", "value", "beside"), ("---", "---:", "---")]
    rows += [(figure.what, _value(figure), _beside(figure)) for figure in group.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
    yield ""


def write_json(path: Path, groups: Sequence[Group]) -> None:
    """Write all groups, and on what they were measured, to a file."""
    machine = {"python": sys.version.split()[0], "system": platform.platform(), "cores": cpu_count()}
    told = {"canvas_server": __version__, "machine": machine, "groups": groups}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")


def _value(figure: Figure) -> str:
    shown = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
    return f"{shown} {figure.unit}"


def _beside(figure: Figure) -> str:
    return "" if figure.share is None else f"{figure.share:.2f} {figure.beside}"
