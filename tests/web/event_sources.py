"""Other people's EventSource: of npm, run by Node, and of Chromium. Without them a test skips aloud, or fails in CI."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Final

from playwright.sync_api import sync_playwright

from tests.listener import PATIENCE_S
from tests.npm import package, unavailable

_IMPORT: Final = (
    'import { EventSource } from "eventsource";\nconst done = (told) => console.log(JSON.stringify(told));\n'
)


def run_in_node(script: str) -> list[list[str]]:
    """Run a script with npm's EventSource and return what it calls `done` with."""
    node = shutil.which("node")
    if node is None:
        unavailable("node")
    home = package("eventsource", "4.1.1")
    told = subprocess.run(
        [str(node), "--input-type=module"],
        input=_IMPORT + script,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=True,
    )
    heard: list[list[str]] = json.loads(told.stdout)
    return heard


def run_in_browser(url: str, script: str) -> list[list[str]]:
    """Run a script in Chromium, on the page under `url`, and return what it calls `done` with."""
    chromium = shutil.which("chromium")
    if chromium is None:
        unavailable("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(url)
            heard: list[list[str]] = page.evaluate("() => new Promise((done) => {" + script + "})")
        finally:
            browser.close()
    return heard
