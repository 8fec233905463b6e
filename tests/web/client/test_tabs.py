"""Two tabs of one browser: they share one event stream, and when the tab that keeps it closes the other goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.listener import PATIENCE_S
from tests.serving import Canvas, Served, append
from tests.web.test_page_files import require

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPEN = """async (refs) => {
  const { CanvasClient } = await import("/client/index.js");
  window.client = new CanvasClient();
  window.sessions = await Promise.all(refs.map((ref) => client.open(ref)));
}"""
WRITE = """async ([index, insert]) => {
  sessions[index].edit([{ from: 0, to: 0, insert }]);
  await sessions[index].settled();
}"""
HAS = "([index, text]) => sessions[index].text.includes(text)"


@pytest.fixture
def context() -> Iterator[BrowserContext]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium"), args=["--no-sandbox"]) as browser,
    ):
        yield browser.new_context()


def tab(context: BrowserContext, *canvases: Canvas) -> Page:
    page = context.new_page()
    page.goto(f"{canvases[0].served.url}/docs")
    page.evaluate(OPEN, [canvas.ref for canvas in canvases])
    return page


def until(holds: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit_s
        time.sleep(0.01)


def streams(served: Served) -> int:
    return served.manager.counts.streams


def test_tabs_share_one_stream_and_the_other_goes_on_when_the_leading_one_closes(
    served: Served, context: BrowserContext
) -> None:
    before = streams(served)
    one, two = served.canvas("one"), served.canvas("two")
    first = tab(context, one)
    second = tab(context, one, two)
    second.evaluate(WRITE, [0, "A"])
    first.wait_for_function(HAS, arg=[0, "Aone"])
    first.evaluate(WRITE, [0, "B"])
    second.wait_for_function(HAS, arg=[0, "BAone"])
    until(lambda: streams(served) == before + 1)
    first.close()
    one.submit(append("!"))
    two.submit(append("?"))
    second.wait_for_function(HAS, arg=[0, "BAone!"])
    second.wait_for_function(HAS, arg=[1, "two?"])
    second.evaluate(WRITE, [1, "C"])
    assert two.text == "Ctwo?"
    until(lambda: streams(served) == before + 1)
    second.close()
    until(lambda: streams(served) == before)


def test_a_tab_that_comes_later_hears_what_is_told_after_and_leaves_the_stream_to_the_others(
    served: Served, context: BrowserContext
) -> None:
    before = streams(served)
    canvas = served.canvas("text")
    first = tab(context, canvas)
    canvas.submit(append(" one"))
    first.wait_for_function(HAS, arg=[0, "text one"])
    second = tab(context, canvas)
    canvas.submit(append(" two"))
    second.wait_for_function(HAS, arg=[0, "text one two"])
    second.close()
    canvas.submit(append(" three"))
    first.wait_for_function(HAS, arg=[0, "text one two three"])
    assert streams(served) == before + 1
    first.evaluate("() => client.close()")
    until(lambda: streams(served) == before)
