"""Gets the peers by name from the package registries into a folder of their own, which git does not see."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.page import PEERS_DIR

PYTHON: Final = PEERS_DIR / "venv" / "bin" / "python"
NODE_MODULES: Final = PEERS_DIR / "node" / "node_modules"

_PYTHON_PACKAGES: Final = ("pycrdt-websocket>=0.16,<0.17", "uvicorn[standard]>=0.54,<1", "uvloop")
# Later servers of y-websocket ask for a Yjs that is not released.
_NODE_PACKAGES: Final = ("@hocuspocus/server@^4.7", "@y/websocket-server@~0.1.1 <0.1.2", "yjs@^13.6", "ws@^8")

_NOTE: Final = "installed"


def install() -> None:
    """Install what is missing.

    Raises:
        SystemExit: there is no Node on this machine.
        CalledProcessError: a registry has not what is asked for, or is not reached.
    """
    if shutil.which("npm") is None:
        sys.exit("the peers need Node: install it (Debian: apt-get install nodejs npm)")
    PEERS_DIR.mkdir(exist_ok=True)
    (PEERS_DIR / ".gitignore").write_text("*\n")
    _install_python(PYTHON.parents[1])
    _install_node(NODE_MODULES.parent)


def _install_python(folder: Path) -> None:
    if _has(folder, _PYTHON_PACKAGES):
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    quiet = ("--disable-pip-version-check", "--quiet")
    subprocess.run([PYTHON, "-m", "pip", "install", *quiet, *_PYTHON_PACKAGES], check=True)
    _note(folder, _PYTHON_PACKAGES)


def _install_node(folder: Path) -> None:
    if _has(folder, _NODE_PACKAGES):
        return
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text("{}\n")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(["npm", "install", *quiet, *_NODE_PACKAGES], cwd=folder, check=True)
    _note(folder, _NODE_PACKAGES)


def _has(folder: Path, packages: Sequence[str]) -> bool:
    """Tell whether just these packages were installed here."""
    noted = folder / _NOTE
    return noted.exists() and noted.read_text().splitlines() == list(packages)


def _note(folder: Path, packages: Sequence[str]) -> None:
    (folder / _NOTE).write_text("\n".join(packages) + "\n")
