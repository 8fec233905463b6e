"""The functions of the guide to embedding, on a page of another origin, while somebody else writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from canvas_server.config.settings import ServerSettings
from tests.browser.foreign_page import ForeignPage, foreign_page
from tests.browser.windows import PATIENCE_MS, chromium
from tests.npm import package
from tests.serving import IN_MEMORY, Canvas, Served, serving

GUIDE: Final = (Path(__file__).parents[2] / "canvas_server" / "docs" / "embedding.md").read_text()
TEXT: Final = "# Notes\n\nÉté 😀.\n\n- one\n- two\n"
OPEN: Final = """async ({ server, ref, name, bind }) => {
  const { open } = await import("/open.js");
  const session = await open(ref, server, null);
  const place = document.createElement(name === "textarea" ? "textarea" : "div");
  document.body.append(place);
  const module = await import(`/${name}.js`);
  const view = module[bind](session, place);
  window.session = session;
  window.shown = () => {
    if (name === "textarea") return place.value;
    return name === "codemirror" ? view.state.doc.toString() : module.textOf(view.state.doc);
  };
}"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def module(name: str) -> str:
    [source] = re.findall(rf"^```js {name}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return str(source)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def foreign() -> Iterator[ForeignPage]:
    with foreign_page() as page:
        for name in ("open", "textarea", "codemirror", "prosemirror"):
            page.add(f"{name}.js", module(name))
        page.add_packages(package("@codemirror/view", "6.43.15"))
        page.add_packages(package("prosemirror-view", "1.44.0"))
        yield page


@pytest.fixture(scope="module")
def server(foreign: ForeignPage) -> Iterator[Served]:
    settings = replace(IN_MEMORY, server=ServerSettings(allowed_origins=(foreign.url,)))
    with serving(settings) as running:
        foreign.imports["/client/index.js"] = f"{running.url}/client/index.js"
        yield running


def embedded(browser: Browser, foreign: ForeignPage, canvas: Canvas, name: str, bind: str) -> Page:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(foreign.url)
    page.evaluate(OPEN, {"server": canvas.served.url, "ref": canvas.ref, "name": name, "bind": bind})
    return page


@pytest.mark.parametrize(
    ("name", "bind", "place"),
    [
        ("textarea", "bindTextArea", "textarea"),
        ("codemirror", "bindCodeMirror", ".cm-content"),
        ("prosemirror", "bindProseMirror", ".ProseMirror"),
    ],
)
def test_what_is_typed_and_what_another_writes_meanwhile_are_the_same_text_everywhere(
    browser: Browser, foreign: ForeignPage, server: Served, name: str, bind: str, place: str
) -> None:
    canvas = server.canvas(TEXT)
    page = embedded(browser, foreign, canvas, name, bind)
    page.locator(place).click()
    page.keyboard.press("Control+End")
    for number, letter in enumerate("Written here."):
        page.keyboard.type(letter)
        operation = {
            "op_id": f"other-{number}",
            "client_version": canvas.version,
            "scope": "range",
            "action": "insert",
            "target": {"type": "text", "text": {"match": "Été 😀"}},
            "where": "after",
            "content": f"\n{number}",
        }
        assert canvas.post(operation).status_code == 202
    page.wait_for_function("session.pendingCount === 0")
    there = "Été 😀" + "".join(f"\n{number}" for number in reversed(range(13)))
    expected = TEXT.replace("Été 😀", there) + "Written here."
    page.wait_for_function("(text) => shown() === text", arg=expected)
    assert page.evaluate("session.text") == canvas.text == expected
    page.keyboard.press("Control+Home")
    page.keyboard.press("Delete")
    page.wait_for_function("session.pendingCount === 0")
    expect(page.locator(place)).to_be_focused()
    assert canvas.text == page.evaluate("shown()") == expected[1:]
