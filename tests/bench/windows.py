"""The page in a real browser: from a key to the other window, to the first paint, and what following a model costs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from statistics import median_low, quantiles
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic, sleep
from typing import Final

import httpx2
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan
from tests.bench.servers import started

WRITERS: Final = (1, 20)
KEYS_PER_S: Final = 8
"""Of each writer: a quick typist."""

TOKENS_PER_S: Final = 100
LINE: Final = (
    "Une ligne de cent caractères, comme on en écrit sans penser un instant à la longueur de ce qu'on dit.\n\n"
)
LINES: Final = 1_000
PAINT_MS_GOAL: Final = 1_000
_WARM_KEYS: Final = 8
_RARE: Final = "\N{PILCROW SIGN}"
_PATIENCE_MS: Final = 20_000

_WATCH: Final = """() => {
  const now = () => performance.timeOrigin + performance.now();
  Object.assign(window, { typed: [], seen: [] });
  addEventListener("keydown", () => typed.push(now()), true);
  const look = () => {
    const line = [...document.querySelectorAll(".cm-line")].find(({ textContent }) => textContent.startsWith("Keys:"));
    const length = [...(line?.textContent ?? "")].filter((letter) => letter === "k").length;
    while (seen.length < length) seen.push(now());
  };
  const all = { subtree: true, childList: true, characterData: true };
  new MutationObserver(look).observe(document.querySelector(".cm-content"), all);
}"""
_GO_TO_KEYS: Final = """async () => {
  const { EditorView } = await import("/page/codemirror.js");
  const view = EditorView.findFromDOM(document.querySelector(".cm-editor"));
  view.focus();
  view.dispatch({ selection: { anchor: view.state.doc.line(1).to } });
}"""
_LOADED: Final = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const entries = [page, ...performance.getEntriesByType("resource")];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return {
    requests: entries.length,
    bytes: entries.reduce((sum, { transferSize }) => sum + transferSize, 0),
    paintMs: paint.startTime,
    editableMs: performance.now(),
  };
}"""
_BARE: Final = """(ref) => {
  const pre = document.body.appendChild(document.createElement("pre"));
  const source = new EventSource(`/api/v2/canvas/${ref}/ops:listen?snapshot=false`);
  source.onmessage = ({ data }) => {
    const { changes = [] } = JSON.parse(data);
    for (const { insert } of changes) pre.append(insert);
  };
  return new Promise((resolve) => (source.onopen = () => resolve(true)));
}"""


def keystrokes(plan: Plan) -> Group:
    """Measure how long a key takes to the screen of another window."""
    rows = []
    with _serving() as url, _browser() as browser:
        for writers in WRITERS:
            delays_ms = sorted(_key_delays_ms(browser, url, writers, plan))
            p99_ms = quantiles(delays_ms, n=100)[98]
            values = [Value("p50", median_low(delays_ms), "ms"), Value("p99", p99_ms, "ms")]
            others = "alone" if writers == 1 else f"with {writers - 1} others"
            rows.append(Row(f"one who types, {others}", values))
    note = f"From the key to the text in the other window, {KEYS_PER_S} keys a second of each; a frame is 16.7 ms."
    return Group("A key to the other window", note, rows)


def first_paint(plan: Plan) -> Group:
    """Measure what it takes to see a canvas."""
    with _serving() as url, _browser() as browser:
        ref = _create(url, LINE * LINES)
        rows = []
        for name, is_warm in (("nothing cached", False), ("seen before", True)):
            told = [_opened(browser, url, ref, is_warm=is_warm) for _ in range(max(3, plan.rounds))]
            middle = {key: median_low(run[key] for run in told) for key in told[0]}
            values = [
                Value("requests", middle["requests"]),
                Value("bytes", middle["bytes"] / 1000, "KB"),
                Value("first paint", middle["paintMs"], "ms"),
                Value("text to write in", middle["editableMs"], "ms"),
            ]
            rows.append(Row(name, values, [Beside(middle["paintMs"], "ms", PAINT_MS_GOAL, at_most=True)]))
    return Group("Opening a canvas", f"Of {len(LINE) * LINES // 1000} KB, from the address on.", rows)


def following(plan: Plan) -> Group:
    """Measure what a window spends while a model writes."""
    with _serving() as url, _browser() as browser:
        shares = {
            name: _busy(browser, url, plan, bare=bare) for name, bare in (("the page", False), ("a bare page", True))
        }
    bare = shares["a bare page"]
    rows = [
        Row(
            name,
            [Value("of a core", share * 100, "%")],
            [Beside(share / bare, "times a bare page")] if share != bare else [],
        )
        for name, share in shares.items()
    ]
    note = (
        f"Main thread of a window, {TOKENS_PER_S} tokens a second at the end of {len(LINE) * LINES // 1000} KB. "
        "The bare page has an EventSource and appends what comes to one element."
    )
    return Group("Following a model", note, rows)


@contextmanager
def _serving() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        options = ["serve", "--no-auth", "--port", "0", "--data-dir", folder]
        with started([sys.executable, "-m", "canvas_server", *options]) as server:
            yield f"http://127.0.0.1:{server.port}"


@contextmanager
def _browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path) as browser:
        yield browser


_numbers: Final = count(1)


def _create(url: str, content: str) -> str:
    ref = f"bench-{next(_numbers)}"
    httpx2.put(f"{url}/api/v2/canvas/{ref}", json={"content": content}).raise_for_status()
    return ref


def _window(context: BrowserContext, url: str, ref: str) -> Page:
    page = context.new_page()
    page.goto(f"{url}/#/c/{ref}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=_PATIENCE_MS)
    expect(page.locator(".cm-content")).to_be_editable(timeout=_PATIENCE_MS)
    return page


def _key_delays_ms(browser: Browser, url: str, writers: int, plan: Plan) -> Sequence[float]:
    lines = "".join(f"Writer {number}:{_RARE}{number}.\n" for number in range(1, writers))
    ref = _create(url, f"Keys:\n{lines}")
    one, other = (_window(browser.new_context(), url, ref) for _ in range(2))
    for page in (one, other):
        page.evaluate(_WATCH)
    one.evaluate(_GO_TO_KEYS)
    keys = round(plan.seconds * KEYS_PER_S) + _WARM_KEYS
    with _others(url, ref, writers - 1):
        for _ in range(keys):
            one.keyboard.press("k")
            sleep(1 / KEYS_PER_S)
        while other.evaluate("seen.length") < keys:
            other.wait_for_timeout(20)
    typed, seen = one.evaluate("typed"), other.evaluate("seen")
    for page in (one, other):
        page.context.close()
    return [after - before for before, after in zip(typed, seen, strict=True)][_WARM_KEYS:]


@contextmanager
def _others(url: str, ref: str, writers: int) -> Iterator[None]:
    """Have others type, each in a line of their own."""
    is_over = Event()

    def write() -> None:
        path = f"/api/v2/canvas/{ref}"
        with httpx2.Client(base_url=url) as http:
            for number in count():
                if is_over.wait(1 / (KEYS_PER_S * writers)):
                    return
                match = f"{_RARE}{number % writers + 1}."
                version = http.head(path).headers["etag"]
                target = {"type": "text", "text": {"match": match}}
                op = {"op_id": f"other-{number}", "client_version": version, "scope": "range", "action": "insert"}
                http.post(
                    f"{path}/ops:stream", json={"ops": [{**op, "target": target, "where": "before", "content": "x"}]}
                )

    thread = Thread(target=write)
    if writers:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        if writers:
            thread.join()


def _opened(browser: Browser, url: str, ref: str, *, is_warm: bool) -> dict[str, float]:
    context = browser.new_context()
    if is_warm:
        _window(context, url, ref).close()
    told: dict[str, float] = _window(context, url, ref).evaluate(_LOADED)
    context.close()
    return told


def _busy(browser: Browser, url: str, plan: Plan, *, bare: bool) -> float:
    """Return the share of a core that the main thread of a window takes."""
    ref = _create(url, LINE * LINES)
    context = browser.new_context()
    if bare:
        page = context.new_page()
        page.goto(f"{url}/healthz")
        page.evaluate(_BARE, ref)
    else:
        page = _window(context, url, ref)
    probe = context.new_cdp_session(page)
    probe.send("Performance.enable", {"timeDomain": "threadTicks"})
    before_s, began_s = _task_s(probe.send("Performance.getMetrics")), monotonic()
    _stream(url, ref, plan.seconds)
    share = (_task_s(probe.send("Performance.getMetrics")) - before_s) / (monotonic() - began_s)
    context.close()
    return share


def _task_s(told: dict[str, list[dict[str, object]]]) -> float:
    [value] = [metric["value"] for metric in told["metrics"] if metric["name"] == "TaskDuration"]
    assert isinstance(value, float)
    return value


def _stream(url: str, ref: str, seconds: float) -> None:
    """Write as a model does: one request, a line for each token."""
    version = httpx2.head(f"{url}/api/v2/canvas/{ref}").headers["etag"]
    first = {
        "op_id": "model",
        "client_version": version,
        "scope": "range",
        "action": "insert",
        "target": {"type": "position", "position": {"mode": "end"}},
        "content": "So ",
    }

    def lines() -> Iterator[bytes]:
        yield f"{json.dumps(first)}\n".encode()
        for number in range(round(seconds * TOKENS_PER_S)):
            sleep(1 / TOKENS_PER_S)
            yield (b'{"content":"word "}\n' if number % 20 else b'{"content":"\\n\\n"}\n')

    headers = {"Content-Type": "application/x-ndjson"}
    httpx2.post(f"{url}/api/v2/canvas/{ref}/ops:stream", content=lines(), headers=headers).raise_for_status()
