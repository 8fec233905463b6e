"""Packages of npm that tests run or read: installed once for all runs, in the versions that are named here.

Without npm, or without its registry, a test skips aloud; where everything has to be there, it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NoReturn

import pytest

_CACHE: Final = Path(__file__).parents[1] / ".venv" / "npm"
_INSTALL_S: Final = 100


def installed(*packages: str) -> Path:
    """Return the folder whose `node_modules` holds packages.

    Args:
        packages: each as `name@version`, a version that was published; never a range, so that all runs have the same.
    """
    home = _CACHE / "_".join(packages).replace("/", "+")
    if not home.exists():
        _install(packages, home)
    return home


def package(name: str, version: str) -> Path:
    """Return the folder of one package; what it needs lies beside it."""
    return installed(f"{name}@{version}") / "node_modules" / name


def _install(packages: tuple[str, ...], home: Path) -> None:
    """Install beside its place and move it there whole: several tests may want it at once."""
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm")
    _CACHE.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=_CACHE, prefix="coming."))
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefix", str(beside)]
    ran = subprocess.run(
        [npm, "install", *options, *packages], capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if ran.returncode:
        shutil.rmtree(beside, ignore_errors=True)
        unavailable(f"{' '.join(packages)} of npm: {ran.stderr[-500:]}")
    try:
        beside.rename(home)
    except OSError:
        # Another was quicker.
        shutil.rmtree(beside, ignore_errors=True)


def unavailable(what: str) -> NoReturn:
    """Skip aloud, or fail where everything must be there."""
    if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is not there, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"{what} is not there")
