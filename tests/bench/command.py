"""What the commands of the bench have in common: they take how much to measure, measure, print and write."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench import page
from tests.bench.report import Group, missed, table, this_run, write_json
from tests.bench.runs import Plan
from tests.bench.servers import hold_load_to_its_core

Makers = Mapping[str, Callable[[Plan], Group]]
"""Groups by the names that are asked for."""


def run(module: str, told: str, makers: Makers, sets: Mapping[str, Sequence[str]], path: Path) -> None:
    """Measure, print, and write the JSON.

    Args:
        module: that is run.
        told: its docstring; the beginning is its description.
        makers: of its groups.
        sets: names for several groups.
        path: of the JSON, if all is measured.
    """
    chosen = _parser(module, told, (*sets, *makers)).parse_args()
    names = [each for name in chosen.only or makers for each in sets.get(name, (name,))]
    groups = list(_measured(_plan(chosen), [makers[name] for name in names]))
    if chosen.json or not (chosen.only or chosen.what):
        write_json(chosen.json or path, this_run(groups))
    if chosen.docs:
        page.write()


def _parser(module: str, told: str, names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=told.partition(":")[0])
    parser.add_argument("--only", nargs="+", choices=names, help="these groups")
    parser.add_argument("--what", default="", help="only rows whose name has this regular expression in it")
    parser.add_argument("--seconds", type=float, help="of each measurement of a rate (3)")
    parser.add_argument("--rounds", type=int, help="of all measurements (3)")
    parser.add_argument("--quick", action="store_true", help="0.7 s, one round: a look, and less steady")
    parser.add_argument("--json", type=Path, help="where to write the figures, even if only some are measured")
    parser.add_argument("--docs", action="store_true", help="write what was measured last, of all, into the manual")
    return parser


def _plan(chosen: argparse.Namespace) -> Plan:
    seconds, rounds = (0.7, 1) if chosen.quick else (3.0, 3)
    return Plan(chosen.seconds or seconds, chosen.rounds or rounds, re.compile(chosen.what, re.IGNORECASE))


def _measured(plan: Plan, makers: Sequence[Callable[[Plan], Group]]) -> Iterator[Group]:
    """Measure group by group; print each, and in the end which goals were missed."""
    hold_load_to_its_core()
    groups = []
    for make in makers:
        group = make(plan)
        if group.rows:
            print("\n".join(table(group)), flush=True)
            groups.append(group)
            yield group
    for line in missed(groups):
        print(f"missed: {line}")
