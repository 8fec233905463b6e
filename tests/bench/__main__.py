"""Measures the server, each figure beside a ceiling of the same run: `python -m tests.bench [--quick] [--json FILE]`.

Figures drift from machine to machine and with what else runs there; the shares drift less. Nothing here is a test.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tests.bench import core, over_http
from tests.bench.report import Group, table, write_json


def over_http_groups(*, quick: bool) -> Iterator[Group]:
    """Measure the server from outside."""
    seconds = 0.7 if quick else 4.0
    group, rates = over_http.ceilings(seconds)
    yield group
    with over_http.target("canvas") as canvas:
        yield over_http.memory(canvas, 300 if quick else 900)
    with over_http.target("canvas") as canvas, over_http.target("journal") as journal:
        yield over_http.writing(canvas, journal, seconds, rates)
        yield over_http.fan_out(canvas, seconds, (1, 100) if quick else (1, 100, 500))


def core_groups(*, quick: bool) -> Iterator[Group]:
    """Measure the rules and the store."""
    yield core.sizes(40 if quick else 400)
    yield core.sessions(5_000 if quick else 10**9)
    yield core.checkpoints(5 if quick else 40)


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute, and less steady")
    parser.add_argument("--only", choices=("http", "core"), help="one half of it")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write the figures")
    chosen = parser.parse_args()
    groups = []
    for half, measured in (("http", over_http_groups), ("core", core_groups)):
        if chosen.only in (None, half):
            for group in measured(quick=chosen.quick):
                print("\n".join(table(group)), flush=True)
                groups.append(group)
    write_json(chosen.json, groups)


if __name__ == "__main__":
    main()
