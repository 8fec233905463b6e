"""Other people's EventSource: of npm, run by Node, and of Chromium. Without them a test skips aloud, or fails in CI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import sync_playwright

from tests.listener import PATIENCE_S

_CACHE: Final = Path(__file__).parents[2] / ".venv" / "eventsource-4"
_IMPORT: Final = (
    'import { EventSource } from "eventsource";\nconst done = (told) => console.log(JSON.stringify(told));\n'
)


def run_in_node(script: str) -> list[list[str]]:
    """Run a script with npm's EventSource and return what it calls `done` with."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        _unavailable("npm")
    if not (_CACHE / "node_modules" / "eventsource").exists():
        _CACHE.mkdir(exist_ok=True)
        command = [npm or "", "install", "--no-audit", "--no-fund", "--prefix", str(_CACHE), "eventsource@4"]
        if subprocess.run(command, capture_output=True, timeout=50, check=False).returncode:
            _unavailable("the npm package eventsource")
    told = subprocess.run(
        [node or "", "--input-type=module"],
        input=_IMPORT + script,
        cwd=_CACHE,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    heard: list[list[str]] = json.loads(told.stdout)
    return heard


def run_in_browser(url: str, script: str) -> list[list[str]]:
    """Run a script in Chromium, on the page under `url`, and return what it calls `done` with."""
    chromium = shutil.which("chromium")
    if chromium is None:
        _unavailable("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(url)
            heard: list[list[str]] = page.evaluate("() => new Promise((done) => {" + script + "})")
        finally:
            browser.close()
    return heard


def _unavailable(what: str) -> None:
    """Skip aloud, or fail where everything must be there."""
    if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is not there, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    pytest.skip(f"{what} is not there")
