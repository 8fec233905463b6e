"""The page with its editor, driven in a real browser: open it, read its text, wait for one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.test_page_files import PAGE

PATIENCE_MS: Final = 15_000
_TEXT: Final = """async () => {
  const box = document.querySelector("#text textarea");
  if (box !== null) return box.value;
  if (document.querySelector("#text .cm-editor") === null) return null;
  const { EditorView } = await import("/page/codemirror.js");
  return EditorView.findFromDOM(document.querySelector("#text .cm-editor")).state.sliceDoc();
}"""
CONTENT: Final = "#text :is(.cm-content, textarea)"


def open_canvas(browser: Browser, url: str, ref: str, **options: object) -> Page:
    """Open a canvas in a window that shares nothing with another; wait until its text is there and live."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{url}/#/c/{ref}")
    wait_live(page)
    return page


def require_editor() -> None:
    """Skip where CodeMirror was not built, or fail where everything has to be there."""
    if not (PAGE / "_built" / "codemirror.js").is_file():
        missing = pytest.fail if os.environ.get("CANVAS_REQUIRE_SERVICES") == "1" else pytest.skip
        missing("the editor is not built: python -m scripts.editor_bundle")


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
