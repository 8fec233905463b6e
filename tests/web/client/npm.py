"""Programs of npm, installed once beside the other tools. Without npm a test skips aloud, or fails in CI."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.web.test_page_files import require

ROOT: Final = Path(__file__).parents[3]


def installed(*packages: str) -> Path:
    """Return the folder whose `node_modules` holds packages, each named with its version."""
    folder = ROOT / ".venv" / "npm" / "_".join(packages).replace("/", "+")
    if not (folder / "done").exists():
        npm = require("npm")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder), *packages]
        if subprocess.run(command, capture_output=True, timeout=100, check=False).returncode:
            _unavailable(" ".join(packages))
        (folder / "done").touch()
    return folder


def _unavailable(what: str) -> None:
    if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"npm cannot install {what}, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"npm cannot install {what}")
