"""A web page of another origin can neither write, spend nor read (R36): every form of request, from every site.

A cell is judged by what the server really did: whether the canvas changed, whether a job began, and whether the page
got to see the text. What a browser cannot send is sent over raw sockets.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple
from urllib.parse import quote

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from canvas_server.config.secret import Secret
from canvas_server.config.settings import DemoSettings, GenerationSettings
from canvas_server.web.admission import SPENDING_PATH, AdmissionRules
from canvas_server.web.job_bodies import JOBS_PATH
from tests.proof.findings import Findings
from tests.serving import IN_MEMORY, Served, op_id, serving
from tests.web.hostile_sites import HostileServer, hostile_server, names
from tests.web.test_page_files import require

ADMIN: Final = "an-admin-token-that-only-tests-have"
CANARY: Final = "canary-of-the-secret-canvas"
SETTINGS: Final = replace(
    IN_MEMORY,
    server=replace(IN_MEMORY.server, token=Secret(ADMIN)),
    generation=GenerationSettings(provider="demo", cache=False),
    demo=DemoSettings(delay_ms=0),
)
EVIL: Final = "evil.example"
REBOUND: Final = "rebind.example"
PATIENCE_MS: Final = 15_000
RAW_PATIENCE_S: Final = 5.0

SITES: Final = ("cross-site", "same-site", "same-origin", "none")
CREDENTIALS: Final = ("none", "bearer", "cookie")
FORMS: Final = (
    "simple_post",
    "form",
    "fetch_cors",
    "fetch_no_cors",
    "img",
    "script",
    "event_source",
    "navigation",
    "prefetch",
    "web_socket",
)
CARRIES_BEARER: Final = ("simple_post", "fetch_cors", "fetch_no_cors")
"""Forms in which a page can name a header. A browser asks before another origin gets it, and drops it in the third."""

Effects = frozenset[str]
NOTHING: Final[Effects] = frozenset()
READ: Final[Effects] = frozenset({"read"})
ALL: Final[Effects] = frozenset({"read", "write", "spend"})

ATTACK: Final = """async ([form, base, ref, token, op]) => {
  const canvas = `${base}/api/v2/canvas/${ref}`;
  const spending = `${base}/api/v1/generate/stream?prompt=stolen`;
  const jobs = `${base}/api/v1/dialogues/generate/jobs`;
  const body = JSON.stringify({ ops: [op] });
  const seen = [];
  const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const trying = async (act) => {
    try { await Promise.race([act(), soon(3000)]); } catch { /* it was kept from it */ }
  };
  const auth = token ? { Authorization: `Bearer ${token}` } : {};
  const asked = async (url, options) => {
    const ending = new AbortController();
    const answer = await fetch(url, { credentials: "include", signal: ending.signal, ...options });
    const reader = answer.body?.getReader();
    if (reader) seen.push(new TextDecoder().decode((await reader.read()).value));
    ending.abort();
  };
  const loaded = (node) => new Promise((resolve) => {
    node.onload = node.onerror = () => resolve();
    document.body.append(node);
  });
  const made = (tag, fields) => Object.assign(document.createElement(tag), fields);
  const forms = {
    simple_post: async () => {
      await trying(() => asked(`${canvas}/ops:stream`, { method: "POST", body, headers: auth }));
      await trying(() => asked(jobs, { method: "POST", body: JSON.stringify({ prompt: "stolen" }), headers: auth }));
    },
    form: async () => {
      for (const [enctype, url] of [["text/plain", `${canvas}/ops:stream`], ["multipart/form-data", jobs],
          ["application/x-www-form-urlencoded", spending]]) {
        const frame = made("iframe", { name: "f" + enctype.length });
        document.body.append(frame);
        const node = made("form", { method: "POST", action: url, enctype, target: frame.name });
        node.append(made("input", { name: body.slice(0, -1) + ', "x":"', value: '"}' }));
        document.body.append(node);
        await trying(() => new Promise((resolve) => { frame.onload = resolve; node.submit(); }));
        await trying(() => { seen.push(frame.contentDocument?.body?.textContent ?? ""); });
      }
    },
    fetch_cors: async () => {
      const json = { ...auth, "Content-Type": "application/json" };
      await trying(() => asked(canvas, { headers: auth }));
      await trying(() => asked(`${canvas}/ops:listen`, { headers: auth }));
      await trying(() => asked(`${canvas}/ops:stream`, { method: "POST", body, headers: json }));
      await trying(() => asked(spending, { headers: auth }));
    },
    fetch_no_cors: async () => {
      await trying(() => asked(canvas, { mode: "no-cors", headers: auth }));
      await trying(() => asked(spending, { mode: "no-cors", headers: auth }));
      await trying(() => asked(`${canvas}/ops:stream`, { mode: "no-cors", method: "POST", body, headers: auth }));
    },
    img: async () => {
      for (const url of [canvas, spending]) await trying(() => loaded(made("img", { src: url })));
    },
    script: async () => {
      const caught = (event) => seen.push(String(event.message));
      addEventListener("error", caught);
      for (const url of [canvas, spending]) await trying(() => loaded(made("script", { src: url })));
    },
    event_source: async () => {
      for (const url of [`${canvas}/ops:listen`, spending])
        await trying(() => new Promise((resolve) => {
          const source = new EventSource(url, { withCredentials: true });
          source.onerror = () => { source.close(); resolve(); };
          source.onmessage = ({ data }) => {
            seen.push(data);
            if (data.includes('"type":"snapshot"')) source.onerror();
          };
        }));
    },
    navigation: async () => {
      for (const url of [canvas, spending]) {
        const opened = window.open(url);
        await soon(700);
        await trying(async () => { seen.push(opened.document.body.textContent); });
        opened?.close();
        const frame = made("iframe", { src: url });
        await trying(() => loaded(frame));
        await trying(async () => { seen.push(frame.contentDocument.body.textContent); });
      }
    },
    prefetch: async () => {
      for (const url of [canvas, spending]) await trying(() => loaded(made("link", { rel: "prefetch", href: url })));
      const rules = made("script", { type: "speculationrules" });
      rules.textContent = JSON.stringify({ prefetch: [{ urls: [canvas, spending], eagerness: "immediate" }] });
      document.head.append(rules);
      await soon(300);
    },
    web_socket: async () => {
      for (const url of [`${canvas}/ops:listen`, spending])
        await trying(() => new Promise((resolve) => {
          const ws = new WebSocket(url.replace("http", "ws"));
          ws.onopen = () => seen.push("a web socket opened");
          ws.onmessage = ({ data }) => seen.push(String(data));
          ws.onclose = resolve;
        }));
    },
  };
  await forms[form]();
  return seen.join("\\n");
}"""
SLOW_ATTACK_MS: Final = 30_000

ATTACK_FROM_NOWHERE: Final = """async ([kind, attack, argument]) => {
  const told = `.then((seen) => parent.postMessage(seen, "*"))</`;
  const code = `<script>(${attack})(${JSON.stringify(argument)})${told}script>`;
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-forms allow-popups";
  const answered = new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data), { once: true }));
  if (kind === "sandbox") frame.srcdoc = `<body>${code}`;
  else { frame.removeAttribute("sandbox"); frame.src = "data:text/html," + encodeURIComponent(`<body>${code}`); }
  document.body.append(frame);
  return answered;
}"""

pytestmark = [pytest.mark.slow, pytest.mark.promise("R36"), pytest.mark.timeout(400)]


class Target(NamedTuple):
    """A server with something to steal, and the ways of its owner in."""

    served: Served
    token: str
    cookie: str
    """As `name=value`."""

    def canvas(self) -> str:
        ref = self.served.canvas(f"# Secret\n\n{CANARY}\n").ref
        if self.token:
            self.served.http.put(f"/api/v2/canvas/{ref}/access", json={"owner": "ada"}).raise_for_status()
        return ref

    def text(self, ref: str) -> str:
        return self.served.http.get(f"/api/v2/canvas/{ref}", headers={"Accept": "text/markdown"}).text

    def jobs(self) -> frozenset[str]:
        told = self.served.http.get(f"{JOBS_PATH}{'?all=true' if self.token else ''}").raise_for_status().json()["jobs"]
        return frozenset(job["job_id"] for job in told)

    def operation(self, ref: str) -> dict[str, object]:
        version = self.served.http.get(f"/api/v2/canvas/{ref}").json()["version"]
        target = {"type": "position", "position": {"mode": "end"}}
        return {"op_id": op_id(), "action": "insert", "target": target, "content": "stolen", "client_version": version}


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with serving(SETTINGS, credentials=True) as served:
        served.http.headers["Authorization"] = f"Bearer {ADMIN}"
        served.http.post("/api/v2/users", json={"name": "ada", "role": "admin"}).raise_for_status()
        token = served.http.post("/api/v2/tokens", json={"user": "ada"}).raise_for_status().json()["token"]
        given = served.http.post("/api/v2/sessions/cookie", headers={"Authorization": f"Bearer {token}"})
        served.http.cookies.clear()
        yield Target(served, token, given.headers["set-cookie"].partition(";")[0])


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with hostile_server() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


def pages_of(browser: Browser, target: Target, credentials: str, proxy: str | None = None) -> BrowserContext:
    """Return a context whose browser holds the cookie, if that is the credential."""
    context = browser.new_context(proxy=None if proxy is None else {"server": proxy})
    context.set_default_timeout(SLOW_ATTACK_MS)
    if credentials == "cookie":
        name, _, value = target.cookie.partition("=")
        context.add_cookies(
            [
                {
                    "name": name,
                    "value": value,
                    "domain": "127.0.0.1",
                    "path": "/api",
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
    return context


def effects_of(target: Target, ref: str, jobs_before: frozenset[str], seen: str) -> Effects:
    """Return what an attack came to."""
    found = set()
    if "stolen" in target.text(ref):
        found.add("write")
    if target.jobs() - jobs_before:
        found.add("spend")
    if CANARY in seen:
        found.add("read")
    assert "a web socket opened" not in seen
    return frozenset(found)


def attacked(page: Page, target: Target, form: str, base: str, token: str | None) -> Effects:
    ref, jobs = target.canvas(), target.jobs()
    seen = page.evaluate(ATTACK, [form, base, ref, token, target.operation(ref)])
    return effects_of(target, ref, jobs, seen)


def allowed_in_browser(form: str, site: str, credentials: str) -> Effects:
    """Return what a page of a site may do, by the table of the promise."""
    if site != "same-origin":
        return NOTHING
    if credentials == "bearer":
        # Where no header can be asked for first, the browser drops it.
        return ALL if form == "fetch_cors" else NOTHING
    reads = ("fetch_cors", "fetch_no_cors", "event_source", "navigation")
    return READ if credentials == "cookie" and form in reads else NOTHING


def site_address(site: str, target: Target, hostile: HostileServer) -> str:
    port = hostile.server_address[1]
    own = f"{target.served.url}/healthz"
    return {"cross-site": f"http://{EVIL}:{port}/", "same-site": f"http://127.0.0.1:{port}/", "same-origin": own}[site]


@pytest.mark.browser
def test_only_our_own_page_writes_spends_or_reads_from_a_browser(
    browser: Browser, target: Target, hostile: HostileServer, findings: Findings
) -> None:
    cells = [
        (form, site, credentials)
        for form, site, credentials in product(FORMS, SITES[:3], CREDENTIALS)
        if credentials != "bearer" or form in CARRIES_BEARER
    ]
    wrong, passed = [], 0
    with names(lambda name, port: ("127.0.0.1", port)) as proxy:
        for form, site, credentials in cells:
            context = pages_of(browser, target, credentials, proxy)
            page = context.new_page()
            page.goto(site_address(site, target, hostile))
            token = target.token if credentials == "bearer" else None
            effects = attacked(page, target, form, target.served.url, token)
            passed += bool(effects)
            if effects != allowed_in_browser(form, site, credentials):
                wrong.append((form, site, credentials, sorted(effects)))
            context.close()
    assert wrong == []
    findings.tell("R36", "cells of form, site and credentials in Chromium", len(cells), goal="as the table says")
    findings.tell("R36", "of these cells passed, all of our own page", passed)


@pytest.mark.browser
def test_a_server_that_asks_nobody_is_kept_from_other_pages_and_only_by_its_door(
    browser: Browser, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch, findings: Findings
) -> None:
    """Without credentials the door is all there is. When it is taken off, the same attacks do harm: they are real."""
    cells = list(product(FORMS, SITES[:2]))
    with serving(SETTINGS) as served, names(lambda name, port: ("127.0.0.1", port)) as proxy:
        target = Target(served, "", "")
        kept = {cell: attacked_from(browser, target, hostile, proxy, *cell) for cell in cells}
        monkeypatch.setattr(AdmissionRules, "refusal", lambda *_: None)
        open_door = {cell: attacked_from(browser, target, hostile, proxy, *cell) for cell in cells}
    assert {cell for cell, effects in kept.items() if effects} == set()
    harmful = set(FORMS) - {"simple_post", "form"}
    assert {cell for cell, effects in open_door.items() if "spend" in effects} == set(product(harmful, SITES[:2]))
    findings.tell("R36", "cells in Chromium without credentials asked for", len(cells), goal="none passes")
    findings.tell("R36", "of these that spend money once the door is taken off", sum(map(bool, open_door.values())))


def attacked_from(
    browser: Browser, target: Target, hostile: HostileServer, proxy: str, form: str, site: str
) -> Effects:
    context = pages_of(browser, target, "none", proxy)
    page = context.new_page()
    page.goto(site_address(site, target, hostile))
    effects = attacked(page, target, form, target.served.url, None)
    context.close()
    return effects


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["sandbox", "data"])
def test_a_page_without_an_origin_does_nothing(
    browser: Browser, target: Target, hostile: HostileServer, kind: str, findings: Findings
) -> None:
    """A sandboxed frame and one of a `data:` address send `Origin: null`."""
    wrong = []
    cells = list(product(FORMS, CREDENTIALS))
    for form, credentials in cells:
        context = pages_of(browser, target, credentials)
        page = context.new_page()
        page.goto(site_address("same-site", target, hostile))
        ref, jobs = target.canvas(), target.jobs()
        token = target.token if credentials == "bearer" else None
        argument = [form, target.served.url, ref, token, target.operation(ref)]
        seen = page.evaluate(ATTACK_FROM_NOWHERE, [kind, ATTACK, argument])
        if effects := effects_of(target, ref, jobs, seen):
            wrong.append((form, credentials, sorted(effects)))
        context.close()
    assert wrong == []
    findings.tell("R36", f"cells of a page without an origin ({kind})", len(cells), goal="none passes")


@pytest.mark.browser
def test_a_typed_address_reads_with_the_cookie_and_never_spends(browser: Browser, target: Target) -> None:
    """Site `none`: the only form that a browser sends so is a navigation."""
    for credentials in ("none", "cookie"):
        context = pages_of(browser, target, credentials)
        page = context.new_page()
        ref, jobs = target.canvas(), target.jobs()
        page.goto(f"{target.served.url}/api/v2/canvas/{ref}")
        seen = page.content()
        page.goto(f"{target.served.url}{SPENDING_PATH}?prompt=stolen")
        assert effects_of(target, ref, jobs, seen) == (READ if credentials == "cookie" else NOTHING)
        context.close()


@pytest.mark.browser
def test_a_name_that_leads_elsewhere_the_second_time_opens_nothing(
    browser: Browser, target: Target, findings: Findings
) -> None:
    """The page comes from 127.0.0.2; then its name leads to our server, on the same port: one origin for a browser."""
    leads_to = {REBOUND: "127.0.0.2"}
    port = target.served.port
    wrong = []
    cells = list(product(FORMS, ("none", "bearer")))
    with (
        hostile_server("127.0.0.2", port),
        names(lambda name, port: (leads_to.get(name, "127.0.0.1"), port)) as proxy,
    ):
        for form, credentials in cells:
            leads_to[REBOUND] = "127.0.0.2"
            context = pages_of(browser, target, credentials, proxy)
            page = context.new_page()
            page.goto(f"http://{REBOUND}:{port}/")
            assert "hostile" in page.content()
            leads_to[REBOUND] = "127.0.0.1"
            assert page.evaluate("async () => (await fetch('/healthz')).status") == 421, "it is our server by now"
            token = target.token if credentials == "bearer" else None
            if effects := attacked(page, target, form, f"http://{REBOUND}:{port}", token):
                wrong.append((form, credentials, sorted(effects)))
            context.close()
    assert wrong == []
    findings.tell("R36", "cells of a rebound name", len(cells), goal="none passes")


@pytest.mark.browser
def test_another_server_of_this_machine_gets_the_cookie_and_can_only_read_with_it(
    browser: Browser, target: Target, hostile: HostileServer
) -> None:
    """Cookies ignore ports. So this one must be worth little, and a page in the browser gets nothing of it at all."""
    context = pages_of(browser, target, "cookie")
    page = context.new_page()
    hostile.cookies.clear()
    page.goto(f"http://127.0.0.1:{hostile.server_address[1]}/api/anything")
    assert page.evaluate("document.cookie") == ""
    assert hostile.cookies == [target.cookie]
    ref, jobs = target.canvas(), target.jobs()
    cookie = {"Cookie": hostile.cookies[0]}
    for method, path, body in (
        ("POST", f"/api/v2/canvas/{ref}/ops:stream", {"ops": [target.operation(ref)]}),
        ("POST", JOBS_PATH, {"prompt": "stolen"}),
        ("DELETE", f"/api/v2/canvas/{ref}", None),
        ("PUT", f"/api/v2/canvas/{ref}/access", {"link": "write"}),
        ("POST", "/api/v2/tokens", {}),
        ("POST", "/api/v2/links", {}),
        ("POST", "/api/v2/tickets", {"generate": True}),
        ("GET", f"{SPENDING_PATH}?prompt=stolen", None),
    ):
        headers = {"Content-Type": "application/json", **cookie}
        status, _ = raw(target.served.port, method, path, headers, None if body is None else json.dumps(body))
        assert status in (401, 403), (method, path, status)
    assert effects_of(target, ref, jobs, "") == NOTHING
    context.close()


@pytest.mark.browser
def test_no_page_of_ours_stands_in_a_frame_of_another_or_hands_over_its_window(
    browser: Browser, target: Target, hostile: HostileServer
) -> None:
    context = pages_of(browser, target, "none")
    page = context.new_page()
    page.goto(site_address("same-site", target, hostile))
    for path in ("/", "/docs"):
        page.evaluate(
            "(src) => new Promise((resolve) => {"
            " const frame = Object.assign(document.createElement('iframe'), { src, onload: resolve });"
            " document.body.append(frame); })",
            target.served.url + path,
        )
    framed = [frame.url for frame in page.frames if frame != page.main_frame]
    assert framed == ["chrome-error://chromewebdata/"] * 2
    with context.expect_page() as opening:
        page.evaluate("(url) => { window.opened = window.open(url); }", f"{target.served.url}/")
    opened = opening.value
    opened.wait_for_load_state()
    assert opened.evaluate("window.opener") is None
    page.wait_for_function("window.opened.closed")
    page.evaluate("() => { window.opened.location = 'about:blank'; window.opened.postMessage('in', '*'); }")
    assert opened.url == f"{target.served.url}/"
    context.close()


def raw(
    port: int, method: str, path: str, headers: dict[str, str], body: str | None = None, host: str | None = None
) -> tuple[int, str]:
    """Send a request as it is; return the status and the beginning of the body, with all of one that ends."""
    lines = {"Host": host or f"127.0.0.1:{port}", **headers}
    if body is not None:
        lines["Content-Length"] = str(len(body.encode()))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", port), timeout=RAW_PATIENCE_S) as sock:
        sock.sendall(f"{head}\r\n{body or ''}".encode())
        answer = b""
        while b"\r\n\r\n" not in answer or not _is_enough(answer):
            piece = sock.recv(65_536)
            if not piece:
                break
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


def _is_enough(answer: bytes) -> bool:
    """Tell whether an answer is whole; of a stream, its first events are enough."""
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return b"\n\n" in body or b" 204 " in head[:20]


RAW_FORMS: Final = {
    "simple_post": {"mode": "cors", "type": "text/plain;charset=UTF-8"},
    "form": {"mode": "navigate", "type": "application/x-www-form-urlencoded"},
    "fetch_cors": {"mode": "cors", "type": "application/json"},
    "fetch_no_cors": {"mode": "no-cors", "type": ""},
    "img": {"mode": "no-cors", "type": ""},
    "script": {"mode": "no-cors", "type": ""},
    "event_source": {"mode": "cors", "type": ""},
    "navigation": {"mode": "navigate", "type": ""},
    "prefetch": {"mode": "no-cors", "type": "", "purpose": "prefetch"},
    "web_socket": {"mode": "websocket", "type": ""},
    "evil_host": {"mode": "cors", "type": "application/json", "host": "evil.example"},
    "rebinding": {"mode": "cors", "type": "application/json", "host": "rebind.example:80"},
    "null_origin": {"mode": "cors", "type": "application/json", "origin": "null"},
}
"""Each with its greatest claim: all that its browser would let it ask for, and every credential besides."""


def raw_headers(target: Target, form: str, site: str, credentials: str) -> dict[str, str]:
    made = RAW_FORMS[form]
    origins = {"cross-site": f"http://{EVIL}", "same-site": "http://127.0.0.1:1", "same-origin": target.served.url}
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": made["mode"]}
    if made["mode"] == "cors" and site in origins:
        headers["Origin"] = made.get("origin", origins[site])
    if "purpose" in made:
        headers["Sec-Purpose"] = made["purpose"]
    if made["mode"] == "websocket":
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    if credentials == "bearer":
        headers["Authorization"] = f"Bearer {target.token}"
    if credentials == "cookie":
        headers["Cookie"] = target.cookie
    return headers


def allowed_raw(form: str, site: str, credentials: str) -> Effects:
    """Return what the server may do for a request, by the table of the promise, whoever forged it."""
    is_typed = site == "none" and form == "navigation"
    if form in ("evil_host", "rebinding", "prefetch") or (site != "same-origin" and not is_typed):
        return NOTHING
    if credentials != "bearer":
        return READ if credentials == "cookie" and form not in ("simple_post", "form") else NOTHING
    if form in ("simple_post", "form"):
        return NOTHING
    if is_typed:
        return READ
    return ALL if RAW_FORMS[form]["type"] else frozenset({"read", "spend"})


def test_what_no_browser_would_send_passes_no_more_than_the_table_says(target: Target, findings: Findings) -> None:
    port, wrong = target.served.port, []
    cells = list(product(RAW_FORMS, SITES, CREDENTIALS))
    for form, site, credentials in cells:
        headers = raw_headers(target, form, site, credentials)
        host, kind = RAW_FORMS[form].get("host"), RAW_FORMS[form]["type"]
        ref, jobs = target.canvas(), target.jobs()
        seen = []
        if form not in ("simple_post", "form"):
            seen.append(raw(port, "GET", f"/api/v2/canvas/{ref}", headers, host=host))
            seen.append(raw(port, "GET", f"{SPENDING_PATH}?prompt={quote(op_id())}", headers, host=host))
        if kind:
            typed = {**headers, "Content-Type": kind}
            ops = json.dumps({"ops": [target.operation(ref)]})
            seen.append(raw(port, "POST", f"/api/v2/canvas/{ref}/ops:stream", typed, ops, host))
            seen.append(raw(port, "POST", JOBS_PATH, typed, json.dumps({"prompt": op_id()}), host))
        assert 101 not in [status for status, _ in seen]
        effects = effects_of(target, ref, jobs, "".join(body for _, body in seen))
        if effects != allowed_raw(form, site, credentials):
            wrong.append((form, site, credentials, sorted(effects), [status for status, _ in seen]))
    assert wrong == []
    findings.tell("R36", "cells over raw sockets", len(cells), goal="as the table says")
