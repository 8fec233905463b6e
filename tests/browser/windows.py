"""Windows of a real Chromium on a real server: what tests of the page see and do there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.npm import unavailable

PATIENCE_MS: Final = 20_000
SHOTS: Final = Path(__file__).parents[2] / ".artifacts" / "screens"
"""Where pictures of the last run are; nothing in it belongs to the repository."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser of one's own."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        unavailable("chromium")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path) as browser:
        yield browser


class Window:
    """A window on one canvas; what its console says is kept in `said`.

    Args:
        context: windows of one context are tabs of one browser profile.
        url: of the server.
        ref: of the canvas.
    """

    def __init__(self, context: BrowserContext, url: str, ref: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.goto(f"{url}/#/c/{ref}")

    def connected(self) -> Window:
        """Wait until the stream is open."""
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        return self

    def shoot(self, name: str) -> None:
        """Keep a picture of what is seen."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")
