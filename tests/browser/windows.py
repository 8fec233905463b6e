"""Windows of a real Chromium on a real server: what tests of the page see and do there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.npm import unavailable

PATIENCE_MS: Final = 20_000
RECONNECTED_MS: Final = 60_000
"""A client that was away for long tries again every 22.5 s at most."""
SHOTS: Final = Path(__file__).parents[2] / ".artifacts" / "screens"
"""Where pictures of the last run are; nothing in it belongs to the repository."""


_TEXT: Final = """async () => {
  const { EditorView } = await import("/page/codemirror.js");
  return EditorView.findFromDOM(document.querySelector(".cm-editor")).state.doc.toString();
}"""

_GO_BEHIND: Final = """async (words) => {
  const { EditorView } = await import("/page/codemirror.js");
  const view = EditorView.findFromDOM(document.querySelector(".cm-editor"));
  const at = view.state.doc.toString().indexOf(words);
  if (at < 0) throw new Error(`${words} is not there`);
  view.focus();
  view.dispatch({ selection: { anchor: at + words.length }, scrollIntoView: true });
}"""


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
        """Wait until the stream is open and the text is there to be written in."""
        self.expect_connection("open")
        expect(self.editor).to_be_editable()
        return self

    def expect_connection(self, state: str) -> None:
        """Wait for a state of the connection, as it is told on the page."""
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state, timeout=RECONNECTED_MS)

    @property
    def editor(self) -> Locator:
        """Where one writes."""
        return self.page.locator(".cm-content")

    @property
    def text(self) -> str:
        """The whole text of the editor, what is scrolled away included."""
        return str(self.page.evaluate(_TEXT))

    def write_at_end(self, text: str) -> None:
        """Type at the end of the text, key by key."""
        self.editor.press("Control+End")
        self.page.keyboard.type(text)

    def go_behind(self, words: str) -> None:
        """Put the caret behind words that are on the screen."""
        self.page.evaluate(_GO_BEHIND, words)

    def type(self, text: str) -> None:
        """Type where the caret is, key by key."""
        self.page.keyboard.type(text)

    def shoot(self, name: str) -> None:
        """Keep a picture of what is seen."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")
