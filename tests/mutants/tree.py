"""A copy of the package and its tests in which bugs are planted, one at a time, and tests are run.

Rule: a bug counts only if its module is imported from the copy. So nothing is judged by what is installed, nor by a
mutant that cannot even be imported.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path
from time import monotonic
from typing import Final, Literal, NamedTuple

from tests.mutants.mutant import PACKAGE, Lane, Mutant

ROOT: Final = Path(__file__).parents[2]
_COPIED: Final = (PACKAGE, "tests", "scripts", "data")
"""The data for its prices: without them no paid model can be asked."""
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", ".hypothesis", "node_modules", "canvas.db*", ".lock")
_PLUGINS: Final = ("-p", "no:cacheprovider", "-p", "tests.mutants.unshrunk")
_MARKS: Final[dict[Lane, str]] = {
    "quick": "not slow and not browser",
    "slow": "not browser",
    "hand": "not browser",
}
# As told at once, and not in the summary: what a bug has broken may hang before there is one.
_FAILED: Final = re.compile(r"^(\S.*?) (?:FAILED|ERROR)\b", re.MULTILINE)
_RUN_S_MAX: Final[dict[Lane, float]] = {"quick": 300.0, "slow": 1_200.0, "hand": 14_400.0}
_TEST_S_MAX: Final = 120
"""A bug that has a test wait for ever is caught, too, and before the run has taken too long."""
_IMPORT_S_MAX: Final = 60.0


class Run(NamedTuple):
    """How a run of tests ended."""

    outcome: Literal["passed", "failed", "broken"]
    """Broken: no test said anything; it hung, or nothing could be collected."""
    told: str
    """The test that failed, or what pytest said when no test could."""
    took_s: float


class BrokenMutantError(Exception):
    """The mutant cannot be imported, or is not what is imported."""


class Tree:
    """One copy; used by one thread at a time.

    Args:
        folder: empty, for the copy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in _COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=_LEFT_OUT)
        shutil.copy(ROOT / "pyproject.toml", folder)

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Have a bug in the copy until the block ends.

        Raises:
            StaleMutantError: its place is gone.
            BrokenMutantError: it is not what would be tested.
        """
        file = mutant.file_in(self._folder)
        source = file.read_text()
        self._put(file, mutant.plant(source))
        try:
            self._check_import(mutant, file)
            yield
        finally:
            self._put(file, source)

    def test(self, selection: Sequence[str], lane: Lane) -> Run:
        """Run tests until the first fails."""
        options = ["-x", "-v", "--no-header", "--tb=no", f"--timeout={_TEST_S_MAX}", *_PLUGINS, "-m", _MARKS[lane]]
        started_s = monotonic()
        code, output = self._python(["-m", "pytest", *options, *selection], lane, _RUN_S_MAX[lane])
        took_s = monotonic() - started_s
        failed = _FAILED.search(output)
        if code == 0:
            return Run("passed", "", took_s)
        if failed is not None and code in (1, None):
            return Run("failed", failed[1], took_s)
        return Run("broken", output.strip().rpartition("\n")[2] or "it hung", took_s)

    def _check_import(self, mutant: Mutant, file: Path) -> None:
        program = f"import {mutant.module} as module; print(module.__file__)"
        code, output = self._python(["-c", program], mutant.lane, _IMPORT_S_MAX)
        if code != 0 or Path(output.strip()) != file:
            raise BrokenMutantError(f"{mutant.name}: {output.strip().rpartition(chr(10))[2]}")

    def _python(self, arguments: Sequence[str], lane: Lane, run_s_max: float) -> tuple[int | None, str]:
        """Run Python in the copy; return its exit code, None if it took too long, and what it printed."""
        environment = {**os.environ, "PYTHONPATH": str(self._folder), "CANVAS_LANE": lane}
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output = process.communicate(timeout=run_s_max)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return None, process.communicate()[0]
            return process.returncode, output

    def _put(self, file: Path, source: str) -> None:
        """Write a module; what is cached of it may be as old and as long, and would be taken for it."""
        file.write_text(source)
        Path(cache_from_source(str(file))).unlink(missing_ok=True)
