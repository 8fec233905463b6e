"""Draws the samples of a soak: `python -m scripts.soak_curves SAMPLES.csv [CURVES.svg]`.

The samples are those of `tests/load/test_soak.py`, kept where `CANVAS_SOAK_CSV` says. Each quantity has a small graph
of its own from zero up, so that a slope is seen as steep as it is; the warm-up is shaded. For light and dark pages.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "canvas_server" / "docs" / "soak.svg"

_MIB: Final = 1024 * 1024
_WIDTH: Final = 380
_HEIGHT: Final = 160
_LEFT: Final = 52
_TOP: Final = 34
_RIGHT: Final = 14
_BOTTOM: Final = 24
_COLUMNS: Final = 2

_STYLE: Final = """
  svg { color-scheme: light dark; font: 12px system-ui, sans-serif; --ink: #1f2328; --faint: #59636e; --line: #0b62c4;
        --grid: #d1d9e0; --shade: #818b981f; --paper: #ffffff }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #f0f6fc; --faint: #9198a1; --line: #6cb6ff; --grid: #3d444d; --shade: #9198a126; --paper: #0d1117 } }
  .paper { fill: var(--paper) } .title { fill: var(--ink); font-weight: 600 } .tick { fill: var(--faint) }
  .grid { stroke: var(--grid) } .shade { fill: var(--shade) }
  .curve { stroke: var(--line); stroke-width: 1.5; fill: none; stroke-linejoin: round }
"""


class Sample(NamedTuple):
    """One line of the file.

    Attributes:
        seconds: since the beginning.
        warming: whether it is of the warm-up.
        values: the columns by name.
    """

    seconds: float
    warming: bool
    values: Mapping[str, float]


class Curve(NamedTuple):
    """One quantity over time."""

    title: str
    values: Sequence[float]


def read(path: Path) -> list[Sample]:
    """Read samples."""
    with path.open(newline="") as file:
        return [
            Sample(
                seconds=float(row["seconds"]),
                warming=row["part"] == "warm-up",
                values={name: float(value) for name, value in row.items() if name != "part"},
            )
            for row in csv.DictReader(file)
        ]


def curves(samples: Sequence[Sample]) -> list[Curve]:
    """Return what is drawn."""

    def of(name: str, per: float = 1.0) -> list[float]:
        return [sample.values[name] / per for sample in samples]

    return [
        Curve("memory of the process, MiB", of("rss_bytes", _MIB)),
        Curve("operations per second", _rates(samples)),
        Curve("listeners", of("listeners")),
        Curve("write-ahead log, MiB", of("wal_bytes", _MIB)),
        Curve("tasks", of("tasks")),
        Curve("objects, thousands", of("objects", 1000)),
    ]


def _rates(samples: Sequence[Sample]) -> list[float]:
    rates = []
    for before, after in pairwise(samples):
        if before.warming == after.warming:
            rates.append((after.values["ops"] - before.values["ops"]) / (after.seconds - before.seconds))
        else:  # they are counted anew after the warm-up
            rates.append(rates[-1])
    return [rates[0], *rates]


def svg(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the lines of the drawing."""
    drawn = curves(samples)
    rows = -(-len(drawn) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    yield ' role="img" aria-label="What a soak measured over time">'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="paper" width="{width}" height="{height}"/>'
    for number, curve in enumerate(drawn):
        yield f'<g transform="translate({number % _COLUMNS * _WIDTH} {number // _COLUMNS * _HEIGHT})">'
        yield from _graph(curve, samples)
        yield "</g>"
    yield "</svg>"


def _graph(curve: Curve, samples: Sequence[Sample]) -> Iterator[str]:
    top, last_s = _round_up(max(curve.values)), samples[-1].seconds
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(seconds: float) -> float:
        return round(_LEFT + (right - _LEFT) * seconds / last_s, 1)

    def y(value: float) -> float:
        return round(bottom - (bottom - _TOP) * value / top, 1)

    warm_s = max((sample.seconds for sample in samples if sample.warming), default=0.0)
    yield f'<text class="title" x="{_LEFT}" y="{_TOP - 14}">{curve.title}</text>'
    yield f'<rect class="shade" x="{_LEFT}" y="{_TOP}" width="{x(warm_s) - _LEFT:.1f}" height="{bottom - _TOP}"/>'
    for value in (0.0, top / 2, top):
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(value)}" y2="{y(value)}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:g}</text>'
    yield from _times(last_s, x, bottom)
    points = (f"{x(sample.seconds)},{y(value)}" for sample, value in zip(samples, curve.values, strict=True))
    yield f'<polyline class="curve" points="{" ".join(points)}"/>'


def _times(last_s: float, x: Callable[[float], float], bottom: int) -> Iterator[str]:
    step_min = next((step for step in (1, 2, 5, 10, 30, 60) if last_s / 60 / step <= 7), 120)
    for minute in range(0, int(last_s / 60) + 1, step_min):
        text = f"{minute} min" if minute else "0"
        anchor = "end" if minute * 60 > last_s * 0.95 else "middle"
        yield f'<text class="tick" x="{x(minute * 60)}" y="{bottom + 16}" text-anchor="{anchor}">{text}</text>'


def _round_up(value: float) -> float:
    """Return the next number that is easy to read."""
    size = 1.0
    while size * 10 <= value:
        size *= 10
    return next((step * size for step in (1, 2, 4, 5, 6, 8) if step * size >= value), 10 * size)


def main() -> int:
    """Draw the file that the command names."""
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    to = Path(sys.argv[2]) if len(sys.argv) == 3 else PAGE
    to.write_text("\n".join(svg(read(Path(sys.argv[1])))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
