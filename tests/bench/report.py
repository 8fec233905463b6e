"""What a run measured: rows in groups, each beside its ceiling or peer and its goal, as a table and as JSON."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from canvas_server import __version__
from tests.bench.servers import cores


class Value(msgspec.Struct, frozen=True):
    """One measured value of a row."""

    column: str
    value: float
    unit: str = ""


class Beside(msgspec.Struct, frozen=True):
    """A row in relation to something, and what it should be."""

    value: float
    of: str
    """What the value is: `of bare ASGI`, `times 20 KB`, `µs an edit`."""
    goal: float | None = None
    at_most: bool = False
    """The goal is an upper bound."""

    @property
    def met(self) -> bool:
        """Tell whether the goal is met; True if there is none."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.at_most else self.value >= self.goal


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured."""

    what: str
    values: Sequence[Value]
    besides: Sequence[Beside] = ()
    but: str = ""
    """What should not have been: a figure with it tells little."""


class Group(msgspec.Struct, frozen=True):
    """Rows of one kind, and what to know when reading them."""

    title: str
    note: str
    rows: Sequence[Row]


class Run(msgspec.Struct, frozen=True):
    """All that was measured at one time on one machine."""

    canvas_server: str
    measured: str
    machine: dict[str, str]
    groups: Sequence[Group]


def this_run(groups: Sequence[Group]) -> Run:
    """Return groups with what they were measured on."""
    machine = {"python": sys.version.split()[0], "system": platform.platform(), "cores": cores()}
    return Run(__version__, datetime.now(UTC).date().isoformat(), machine, groups)


def table(group: Group) -> Iterator[str]:
    """Yield a group as the lines of a Markdown section."""
    yield f"### {group.title}"
    yield ""
    if group.note:
        yield group.note
        yield ""
    columns = list(dict.fromkeys(value.column for row in group.rows for value in row.values))
    cells = [["what", *columns, "beside", "goal", "but"], *(_cells(row, columns) for row in group.rows)]
    kept = [place for place in range(len(cells[0])) if any(row[place] for row in cells[1:])]
    cells = [[row[place] for place in kept] for row in cells]
    cells.insert(1, ["---:" if name in columns else "---" for name in cells[0]])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
    yield ""


def missed(groups: Sequence[Group]) -> Iterator[str]:
    """Yield a line for each goal that was not met."""
    for group in groups:
        for row in group.rows:
            for beside in row.besides:
                if not beside.met:
                    yield f"{group.title}: {row.what}: {_number(beside.value)} {beside.of}, {_bound(beside)}"


def write_json(path: Path, run: Run) -> None:
    """Write a run to a file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")


def read_json(path: Path) -> Run:
    """Read a run from a file."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def _cells(row: Row, columns: Sequence[str]) -> list[str]:
    values = {value.column: f"{_number(value.value)} {value.unit}".strip() for value in row.values}
    besides = ", ".join(f"{_number(beside.value)} {beside.of}" for beside in row.besides)
    goals = ", ".join(_goal(beside) for beside in row.besides if beside.goal is not None)
    return [row.what, *(values.get(column, "") for column in columns), besides, goals, row.but]


def _goal(beside: Beside) -> str:
    return f"{_bound(beside)}: {'met' if beside.met else '**missed**'}"


def _bound(beside: Beside) -> str:
    assert beside.goal is not None
    return f"{'at most' if beside.at_most else 'at least'} {_number(beside.goal)}"


def _number(value: float) -> str:
    if value >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
