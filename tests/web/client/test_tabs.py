"""Two tabs of one browser: they share one event stream, and when the tab that keeps it closes the other goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.crash.servers import starting_servers
from tests.crash.serving_process import Life
from tests.listener import PATIENCE_S
from tests.serving import Canvas, Served, append, serving
from tests.web.client.bad_line import bad_line
from tests.web.people import person
from tests.web.test_page_files import require

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LEADER_SILENCE_MS = 45_000
"""After which the client takes a leading tab to be frozen."""
LEADER_WORD_MS = 15_000
"""In which a leading tab says that it lives."""
OPEN = """async (refs) => {
  const { CanvasClient } = await import("/client/index.js");
  window.client = new CanvasClient();
  window.sessions = await Promise.all(refs.map((ref) => client.open(ref)));
}"""
OPEN_WITH_TOKEN = """async ([ref, token]) => {
  const { CanvasClient } = await import("/client/index.js");
  window.client = new CanvasClient({ token });
  window.sessions = [await client.open(ref)];
}"""
OPEN_BY_EVENT_SOURCE = OPEN_WITH_TOKEN.replace("{ token }", '{ token, transport: "eventsource", leader: false }')
MAY_BE_SILENT = """() => {
  const { prototype } = BroadcastChannel;
  const { set } = Object.getOwnPropertyDescriptor(prototype, "onmessage");
  const { postMessage } = prototype;
  window.isSilent = false;
  prototype.postMessage = function (message) {
    if (!isSilent) postMessage.call(this, message);
  };
  Object.defineProperty(prototype, "onmessage", {
    set(heed) {
      set.call(this, (event) => isSilent || heed(event));
    },
  });
}"""
"""Lets a tab neither speak to the others nor hear them, as one that the browser froze; what it misses is lost."""
BOTH_WAIT_FOR_THE_LOCK = """async () => {
  const { pending } = await navigator.locks.query();
  return pending.filter((lock) => lock.name.endsWith(":leader")).length === 2;
}"""
"""The tab that took the lock away asked for it before in the ordinary way; the other asks when it knows of its loss."""
TAKE_THE_LOCK = """async () => {
  const { held } = await navigator.locks.query();
  const { name } = held.find((lock) => lock.name.endsWith(":leader"));
  await navigator.locks.request(name, { steal: true }, () => {});
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
    until(lambda: streams(served) == before + 1)
    first.evaluate("() => client.close()")
    until(lambda: streams(served) == before)


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_leading_tab_of_which_nothing_is_heard_is_replaced_and_follows_when_it_speaks_again(
    served: Served, context: BrowserContext, is_cut_off: bool
) -> None:
    before = streams(served)
    canvas = served.canvas("text")
    context.add_init_script(f"({MAY_BE_SILENT})()")
    context.clock.install()
    first, second = tab(context, canvas), tab(context, canvas)
    until(lambda: streams(served) == before + 1)
    first.evaluate("() => (isSilent = true)")
    canvas.submit(append(" one"))
    first.wait_for_function(HAS, arg=[0, "text one"])
    assert second.evaluate("() => sessions[0].text") == "text"
    if is_cut_off:
        first.route("**/ops:listen*", lambda route: route.abort())
        first.evaluate("() => client.retry()")
        first.wait_for_function("() => !sessions[0].isConnected")
    context.clock.run_for(LEADER_SILENCE_MS + 1_000)
    second.wait_for_function(HAS, arg=[0, "text one"])
    second.wait_for_function(BOTH_WAIT_FOR_THE_LOCK)
    first.evaluate("() => (isSilent = false)")
    second.evaluate(WRITE, [0, "A"])
    context.clock.run_for(LEADER_WORD_MS)
    first.wait_for_function(HAS, arg=[0, "Atext one"])
    first.evaluate(WRITE, [0, "B"])
    second.wait_for_function(HAS, arg=[0, "BAtext one"])
    until(lambda: streams(served) == before + 1)


def test_a_canvas_that_was_closed_is_live_again_in_all_tabs_when_they_open_it_again(
    served: Served, context: BrowserContext
) -> None:
    canvas = served.canvas("text")
    pages = [tab(context, canvas), tab(context, canvas)]
    for page in pages:
        page.wait_for_function("() => sessions[0].isConnected")
    served.http.post(f"/api/v2/canvas/{canvas.ref}:close").raise_for_status()
    for page in pages:
        page.wait_for_function("() => sessions[0].state === 'ended'")
        page.evaluate("() => sessions[0].retry()")
        page.wait_for_function("() => sessions[0].state === 'live'")
    canvas.submit(append("!"))
    for page in pages:
        page.wait_for_function(HAS, arg=[0, "text!"])
        page.evaluate(WRITE, [0, "A"])
    assert canvas.text == "AAtext!"


def test_a_token_that_is_not_good_fails_to_open_in_each_tab(context: BrowserContext) -> None:
    with serving(credentials=True) as served:
        ref = person(served, "admin").canvas("text")
        pages = [context.new_page(), context.new_page()]
        for page in pages:
            page.goto(f"{served.url}/docs")
            page.evaluate(
                OPEN_WITH_TOKEN.replace("await client.open(ref)", "client.open(ref).catch((problem) => problem)"),
                [ref, "wrong"],
            )
        for page in pages:
            assert page.evaluate("async () => (await sessions[0]).status") == 401


def test_an_event_source_tells_of_a_canvas_that_is_not_there(served: Served, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{served.url}/docs")
    opening = OPEN_BY_EVENT_SOURCE.replace("await client.open(ref)", "await client.open(ref).catch(({ code }) => code)")
    page.evaluate(opening, ["there-is-none", None])
    assert page.evaluate("() => sessions") == ["NOT_FOUND"]


def test_a_tab_that_loses_the_lead_follows_and_nothing_is_missed(served: Served, context: BrowserContext) -> None:
    before = streams(served)
    canvas = served.canvas("text")
    first, second = tab(context, canvas), tab(context, canvas)
    for number in range(4):
        second.evaluate(TAKE_THE_LOCK)
        canvas.submit(append(f"{number}"))
        for page in (first, second):
            page.wait_for_function("(end) => sessions[0].text.endsWith(end)", arg=f"{number}")
    assert canvas.text == "text0123"
    until(lambda: streams(served) == before + 1)


def test_a_canvas_that_is_not_there_is_refused_in_each_tab_and_disturbs_no_other(
    served: Served, context: BrowserContext
) -> None:
    canvas = served.canvas("text")
    first, second = tab(context, canvas), tab(context, canvas)
    for page in (first, second):
        told = page.evaluate("() => client.open('there-is-none').catch((problem) => [problem.name, problem.code])")
        assert told == ["Problem", "NOT_FOUND"]
    canvas.submit(append("!"))
    for page in (first, second):
        page.wait_for_function(HAS, arg=[0, "text!"])


def test_an_event_source_listens_with_a_ticket_and_comes_back_with_another(context: BrowserContext) -> None:
    with serving(credentials=True) as served:
        owner = person(served, "admin")
        ref = owner.canvas("text")
        page = context.new_page()
        page.goto(f"{served.url}/docs")
        page.evaluate(OPEN_BY_EVENT_SOURCE, [ref, owner.secret])
        page.evaluate(WRITE, [0, "A"])
        owner.write(ref, " one")
        page.wait_for_function(HAS, arg=[0, "Atext one"])
        page.evaluate("() => client.retry()")
        owner.write(ref, " two")
        page.wait_for_function(HAS, arg=[0, "Atext one two"])
        assert owner.text(ref) == "Atext one two"


def test_two_tabs_with_a_token_share_a_stream_and_two_tokens_do_not(context: BrowserContext) -> None:
    with serving(credentials=True) as served:
        owner, other = person(served, "admin"), person(served, "admin")
        ref = owner.canvas("text")
        pages = []
        for someone in (owner, owner, other):
            page = context.new_page()
            page.goto(f"{served.url}/docs")
            page.evaluate(OPEN_WITH_TOKEN, [ref, someone.secret])
            pages.append(page)
        until(lambda: streams(served) == 2)
        pages[0].evaluate(WRITE, [0, "A"])
        for page in pages:
            page.wait_for_function(HAS, arg=[0, "Atext"])


def test_tabs_go_on_after_the_server_was_away(context: BrowserContext, tmp_path: Path) -> None:
    with starting_servers(tmp_path / "log") as servers, bad_line() as line:
        life = Life(data_dir=str(tmp_path / "data"))
        server = servers.start(life)
        line.upstream = server.port
        httpx2.put(f"http://127.0.0.1:{server.port}/api/v2/canvas/shared", json={"content": "text"})
        pages = []
        for _ in range(2):
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{line.port}/docs")
            page.evaluate(OPEN, ["shared"])
            pages.append(page)
        until(lambda: line.streams == 1)
        line.fault = "away"
        line.cut()
        server.kill()
        server.ending()
        for number, page in enumerate(pages):
            page.evaluate("(insert) => sessions[0].edit([{ from: 0, to: 0, insert }])", f"{number}")
        line.upstream = servers.start(life).port
        line.fault = "none"
        for page in pages:
            page.evaluate("() => client.retry()")
            page.wait_for_function("() => sessions[0].text.length === 6 && sessions[0].pendingCount === 0")
        texts = {page.evaluate("() => sessions[0].text") for page in pages}
        assert len(texts) == 1
        assert sorted(texts.pop()) == sorted("01text")
        until(lambda: line.streams == 1)
