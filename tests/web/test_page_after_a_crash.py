"""Two windows on one canvas, and a server that is killed between them: nothing that was written is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.web.editor_page import text_of, type_at_end, wait_text
from tests.web.test_page_files import require

ROOT: Final = Path(__file__).parents[2]
STARTS_MAX: Final = 5
"""For a moment another program may hold the port that a server had."""
PATIENCE_MS: Final = 20_000
"""A window comes back some seconds after the server, which takes as long to start."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def server(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve a folder until the end of the block, then kill the process; yield the address."""
    command = [
        sys.executable,
        "-m",
        "canvas_server",
        "serve",
        "--no-auth",
        "--port",
        str(port),
        "--data-dir",
        str(folder),
    ]
    for _ in range(STARTS_MAX):
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            if told := process.stdout.readline():
                try:
                    yield told.split()[-1]
                finally:
                    process.send_signal(signal.SIGKILL)
                return
        time.sleep(1)
    raise AssertionError("it does not listen")


@pytest.fixture
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


def window(browser: Browser, address: str) -> Page:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/#/c/notes")
    connected(page)
    return page


def connected(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE_MS)


def write(page: Page, text: str) -> None:
    type_at_end(page, f"{text}\n")
    wait_text(page, lambda shown: shown.endswith(f"{text}\n"))


def test_what_two_windows_wrote_in_turn_is_there_again_after_a_kill(tmp_path: Path, browser: Browser) -> None:
    """Each writing stood on a version of the other window, which the server has forgotten."""
    with server(tmp_path) as address:
        httpx2.put(f"{address}/api/v2/canvas/notes", json={"content": "# Notes\n"}).raise_for_status()
        ada, bob = window(browser, address), window(browser, address)
        for page, text in ((ada, "one"), (bob, "two"), (ada, "three")):
            write(page, text)
            wait_text(ada, text_of(page) or "")
            wait_text(bob, text_of(page) or "")

    with server(tmp_path, int(address.rpartition(":")[2])):
        for page in (ada, bob):
            connected(page)
            wait_text(page, lambda shown: sorted(shown.split()) == sorted(("#", "Notes", "one", "two", "three")))
        wait_text(ada, text_of(bob) or "")
