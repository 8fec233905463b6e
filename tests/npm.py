"""Packages of npm that tests run or read: installed once for all runs, in the version that is named here.

Without npm, or without its registry, a test skips aloud; where everything has to be there, it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

_CACHE: Final = Path(__file__).parents[1] / ".venv"
_INSTALL_S: Final = 50


def package(name: str, version: str) -> Path:
    """Return the folder of an installed package.

    Args:
        name: as npm knows it.
        version: one that was published; never a range, so that all runs have the same.
    """
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm")
    home = _CACHE / f"npm-{name.replace('/', '-')}-{version}"
    if not home.exists():
        _install(str(npm), f"{name}@{version}", home)
    return home / "node_modules" / name


def _install(npm: str, what: str, home: Path) -> None:
    """Install beside its place and move it there whole: several tests may want it at once."""
    _CACHE.mkdir(exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=_CACHE, prefix=f"{home.name}."))
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(beside), what]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if ran.returncode:
        shutil.rmtree(beside, ignore_errors=True)
        unavailable(f"the npm package {what}: {ran.stderr[-500:]}")
    try:
        beside.rename(home)
    except OSError:
        # Another was quicker.
        shutil.rmtree(beside, ignore_errors=True)


def unavailable(what: str) -> None:
    """Skip aloud, or fail where everything must be there."""
    if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is not there, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"{what} is not there")
