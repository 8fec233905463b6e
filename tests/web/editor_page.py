"""The page with its editor, driven in a real browser: open it, read its text, wait for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from playwright.sync_api import Browser, Page, expect

PATIENCE_MS: Final = 15_000
_TEXT: Final = """async () => {
  const box = document.querySelector("#text textarea");
  if (box !== null) return box.value;
  const { EditorView } = await import("/page/codemirror.js");
  return EditorView.findFromDOM(document.querySelector("#text .cm-editor"))?.state.sliceDoc() ?? null;
}"""
CONTENT: Final = "#text :is(.cm-content, textarea)"


def open_canvas(browser: Browser, url: str, ref: str, **options: object) -> Page:
    """Open a canvas in a window that shares nothing with another; wait until its text is there and live."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{url}/#/c/{ref}")
    wait_live(page)
    return page


def wait_live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE_MS)
    expect(page.locator("#text")).to_have_attribute("aria-busy", "false", timeout=PATIENCE_MS)


def text_of(page: Page) -> str | None:
    """Return the text in the editor, also what is out of sight; None before there is an editor."""
    text = page.evaluate(_TEXT)
    assert text is None or isinstance(text, str)
    return text


def wait_text(page: Page, wanted: str | Callable[[str], bool]) -> str:
    """Wait until the text is `wanted`, or until that says so; return it."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while True:
        text = text_of(page) or ""
        if text == wanted or (callable(wanted) and wanted(text)):
            return text
        assert time.monotonic() < end, f"the text stayed {text[-400:]!r}"
        page.wait_for_timeout(20)


def type_at_end(page: Page, text: str) -> None:
    """Type behind the last character, key by key."""
    page.locator(CONTENT).focus()
    page.keyboard.press("Control+End")
    page.keyboard.type(text)
