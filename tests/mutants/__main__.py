"""Plants known bugs, one at a time, and expects tests to fail: `python -m tests.mutants [NAME...]`.

A bug that no test notices has found a hole in the tests. First the tests are run as they are: only where they pass can
a failure mean anything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Lane, Mutant, StaleMutantError
from tests.mutants.tree import BrokenMutantError, Run, Tree


class Verdict(NamedTuple):
    """What became of one planted bug."""

    mutant: Mutant
    state: Literal["caught", "LIVED", "BROKEN"]
    told: str
    """The test that caught it, or what went wrong."""
    took_s: float

    def line(self) -> str:
        return f"{self.state:7} {self.took_s:6.1f} s  {self.mutant.name:34} {self.told}"


class Laboratory:
    """Tries mutants in copies of the tree, as many at a time as there are copies.

    Args:
        folder: for the copies.
        copies: how many.
        instead: tests that must catch every mutant, instead of those that it names.
    """

    def __init__(self, folder: Path, copies: int, instead: tuple[str, ...]) -> None:
        self._instead = instead
        self._free: SimpleQueue[Tree] = SimpleQueue()
        for number in range(copies):
            copy = folder / str(number)
            copy.mkdir()
            self._free.put(Tree(copy))

    def baseline(self, mutants: Sequence[Mutant]) -> Run:
        """Run all the tests that are asked for, without any bug; return the run that failed, or the last."""
        run = Run("passed", "", 0.0)
        wanted: dict[Lane, dict[str, None]] = {}
        for mutant in mutants:
            tests, lane = self._selection(mutant)
            wanted.setdefault(lane, {}).update(dict.fromkeys(tests))
        for lane, selection in wanted.items():
            if run.outcome == "passed":
                run = self._test(tuple(selection), lane)
        return run

    def verdict(self, mutant: Mutant) -> Verdict:
        """Plant a bug and see whether it is noticed."""
        tree = self._free.get()
        try:
            with tree.planted(mutant):
                run = tree.test(*self._selection(mutant))
        except (StaleMutantError, BrokenMutantError) as error:
            return Verdict(mutant, "BROKEN", str(error), 0.0)
        finally:
            self._free.put(tree)
        match run.outcome:
            case "failed":
                return Verdict(mutant, "caught", run.told, run.took_s)
            case "passed":
                return Verdict(mutant, "LIVED", "no test failed", run.took_s)
            case "broken":
                return Verdict(mutant, "BROKEN", run.told, run.took_s)

    def _selection(self, mutant: Mutant) -> tuple[tuple[str, ...], Lane]:
        return (self._instead, "slow") if self._instead else (mutant.tests, mutant.lane)

    def _test(self, selection: Sequence[str], lane: Lane) -> Run:
        tree = self._free.get()
        try:
            return tree.test(selection, lane)
        finally:
            self._free.put(tree)


def main() -> int:
    """Try the mutants that are named, or all; return 1 if one lived or could not be tried."""
    chosen = _arguments()
    known = {mutant.name: mutant for mutant in MUTANTS}
    strangers = sorted(set(chosen.names) - set(known))
    if strangers:
        print(f"no such mutants: {', '.join(strangers)}", file=sys.stderr)
        return 2
    mutants = [known[name] for name in chosen.names] or list(MUTANTS)
    if chosen.list:
        print("\n".join(f"{mutant.name:34} {mutant.path}" for mutant in mutants))
        return 0
    with TemporaryDirectory(prefix="mutants-") as folder:
        laboratory = Laboratory(Path(folder), min(chosen.jobs, len(mutants)), tuple(chosen.by))
        if not chosen.no_baseline:
            run = laboratory.baseline(mutants)
            print(f"without a bug: {run.outcome} {run.told} in {run.took_s:.0f} s", flush=True)
            if run.outcome != "passed":
                return 1
        return _try(laboratory, mutants, chosen.jobs)


def _try(laboratory: Laboratory, mutants: Sequence[Mutant], jobs: int) -> int:
    """Try mutants, print each verdict as it comes, and return the exit code."""
    verdicts = []
    with ThreadPoolExecutor(jobs) as executor:
        try:
            for done in as_completed([executor.submit(laboratory.verdict, mutant) for mutant in mutants]):
                verdicts.append(done.result())
                print(verdicts[-1].line(), flush=True)
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    missed = [verdict.mutant.name for verdict in verdicts if verdict.state != "caught"]
    print(f"{len(verdicts) - len(missed)} of {len(verdicts)} caught", *missed, sep="\n  not: ")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to try; all without")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument(
        "--by", action="append", default=[], metavar="TESTS", help="let these tests alone judge, slow ones too"
    )
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a bug first")
    parser.add_argument("--list", action="store_true", help="print the names, and try nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
