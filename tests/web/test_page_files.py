"""The files of the page: what the strict content security policy forbids is not in them, and every control has a name.

How the scripts behave is tested by `tests/web/page/*.test.mjs`, which run here through Node, and in a real browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import sync_playwright

from tests.serving import Served

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "canvas_server" / "web" / "page"
BUILT = {"codemirror.js"}
"""Made by scripts/editor_bundle.py, where it can be."""
MODULE_LINES_MAX = 400
FILES = sorted(path for path in PAGE.iterdir() if path.is_file())
HTML = [path for path in FILES if path.suffix == ".html"]
CSS = [path for path in FILES if path.suffix == ".css"]
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types preview"
)
# Ways to make code or markup of a string, and to style an element in a way that the policy blocks or that hides.
FORBIDDEN_IN_SCRIPTS = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "createContextualFragment",
    "DOMParser",
    "eval(",
    "new Function",
    "javascript:",
    ".style.",
    "export default",
)
SCRIPTS_S_MAX = 240
VOID = {"meta", "link", "input", "img", "br", "hr"}


class Document(HTMLParser):
    """The elements of an HTML file, each as its tag and attributes; `labelled` are those inside a label."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.labelled: set[int] = set()
        self.inline_code: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if "label" in self._open:
            self.labelled.add(len(self.elements))
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style") and data.strip():
            self.inline_code.append(data)


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def require(program: str) -> str:
    """Return the path of a program; without it skip, or fail where everything has to be there."""
    found = shutil.which(program)
    if found is None and os.environ.get("CANVAS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{program} is not installed, and CANVAS_REQUIRE_SERVICES=1 asks for it")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@pytest.mark.parametrize("path", HTML, ids=names(HTML))
def test_the_html_holds_no_code_and_no_style(path: Path) -> None:
    document = Document(path)
    attributes = [name for _, attributes in document.elements for name in attributes]
    assert document.inline_code == []
    assert [name for name in attributes if name == "style" or name.startswith("on")] == []


@pytest.mark.parametrize("path", HTML, ids=names(HTML))
def test_every_file_that_the_html_names_is_there_and_ours(path: Path) -> None:
    linked = [
        attributes.get("src") or attributes.get("href") or ""
        for tag, attributes in Document(path).elements
        if tag in ("script", "link", "img")
    ]
    assert linked
    assert [link for link in linked if not re.fullmatch(r"/(?:page|client)/[\w.]+", link)] == []
    names = [link for link in linked if link.removeprefix("/page/") not in BUILT]
    assert [name for name in names if not (PAGE.parent / name[1:]).is_file()] == []


@pytest.mark.parametrize("path", HTML, ids=names(HTML))
def test_the_html_is_french_first_and_its_ids_are_unique(path: Path) -> None:
    elements = Document(path).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert ("html", {"lang": "fr"}) in elements
    assert sorted(ids, key=str) == sorted(set(ids), key=str)


@pytest.mark.parametrize("path", HTML, ids=names(HTML))
def test_every_control_has_a_name(path: Path) -> None:
    document = Document(path)
    targets = {attributes.get("for") for tag, attributes in document.elements if tag == "label"}
    nameless = [
        attributes
        for index, (tag, attributes) in enumerate(document.elements)
        if tag in ("input", "select", "textarea")
        and index not in document.labelled
        and attributes.get("id") not in targets
        and "aria-label" not in attributes
    ]
    assert nameless == []


@pytest.mark.parametrize("path", HTML, ids=names(HTML))
def test_every_id_that_an_attribute_names_is_there(path: Path) -> None:
    elements = Document(path).elements
    ids = {attributes.get("id") for _, attributes in elements}
    named = [
        attributes[name]
        for _, attributes in elements
        for name in ("for", "aria-labelledby", "aria-describedby")
        if name in attributes
    ]
    assert [name for name in named if name not in ids] == []


def test_every_id_that_a_script_asks_for_is_in_the_html() -> None:
    ids = {attributes.get("id") for path in HTML for _, attributes in Document(path).elements}
    asked = {name for path in SCRIPTS for name in re.findall(r'byId\("([\w-]+)"\)', path.read_text(encoding="utf-8"))}
    assert len(asked) > 40
    assert asked - ids == set()


@pytest.mark.parametrize("path", SCRIPTS, ids=names(SCRIPTS))
def test_a_script_never_makes_code_or_markup_of_a_string(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [word for word in FORBIDDEN_IN_SCRIPTS if word in text] == []


def test_one_script_alone_makes_a_frame_of_a_string_and_by_a_policy() -> None:
    words = ("srcdoc", "createPolicy", "createHTML", "trustedTypes")
    assert {path.name for path in SCRIPTS for word in words if word in path.read_text(encoding="utf-8")} == {
        "preview.js"
    }


def test_the_editor_is_served_under_the_name_that_it_was_built_under_and_its_absence_is_an_answer(
    served: Served,
) -> None:
    built = PAGE / "_built" / "codemirror.js"
    answer = served.http.get("/page/codemirror.js")
    assert answer.status_code == (200 if built.is_file() else 404)
    if built.is_file():
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.content == built.read_bytes()
        again = served.http.get("/page/codemirror.js", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        assert "MIT" in served.http.get("/page/codemirror.licences.txt").text


@pytest.mark.parametrize("path", SCRIPTS, ids=names(SCRIPTS))
def test_a_script_imports_only_its_neighbours_and_the_client(path: Path) -> None:
    imported = re.findall(r'\b(?:from|import)\s*\(?\s*"([^"]+)"', path.read_text(encoding="utf-8"))
    others = [name for name in imported if name.removeprefix("./") not in BUILT]
    assert [name for name in others if not (re.match(r"\./|\.\./client/", name) and (PAGE / name).is_file())] == []


@pytest.mark.parametrize("path", [*SCRIPTS, *CSS], ids=names([*SCRIPTS, *CSS]))
def test_nothing_is_asked_of_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"https?://|@import|url\(", text) == []


@pytest.mark.parametrize("path", [*SCRIPTS, *CSS, *HTML], ids=names([*SCRIPTS, *CSS, *HTML]))
def test_a_file_opens_with_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"/\*|<!doctype html>\n<!--", text)
    assert text.count("\n") <= MODULE_LINES_MAX


def test_the_scripts_do_what_their_own_tests_say() -> None:
    node = require("node")
    tests = sorted(str(path) for path in (ROOT / "tests" / "web" / "page").glob("*.test.mjs"))
    assert tests
    ran = subprocess.run([node, "--test", *tests], capture_output=True, text=True, timeout=SCRIPTS_S_MAX, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


class PageHandler(SimpleHTTPRequestHandler):
    """Serves the page as the product does: its HTML at the root, its files where they are, under the strict policy."""

    def translate_path(self, path: str) -> str:
        if path.startswith("/client/"):
            return str(PAGE.parent / path.strip("/"))
        name = path.removeprefix("/page/").strip("/") or "index.html"
        return str(PAGE / "_built" / name if name in BUILT else PAGE / name)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        return


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(PageHandler, directory=str(PAGE))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


SPLICE_AT_RANDOM = """async () => {
  const { TextBlocks } = await import("/page/blocks.js");
  const { ChangeSet } = await import("/client/changeset.js");
  const pane = document.createElement("div");
  const blocks = new TextBlocks(pane);
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const piece = () =>
    ["é", "😀", "\\n", "\\n\\n", "x".repeat(random(9000)), "line\\n".repeat(random(3000)), ""][random(7)];
  const wrong = [];
  let text = "";
  for (let step = 0; step < 500; step += 1) {
    const from = random(text.length + 1);
    const to = Math.min(text.length, from + random(random(3) ? 20 : 30000));
    const change = { from, to, insert: piece() };
    text = ChangeSet.at(change).apply(text);
    const inserted = blocks.splice(change);
    const parts = [...pane.children].map((block) => block.textContent);
    if (pane.textContent !== text) wrong.push(`${step}: text`);
    if (inserted.toString() !== change.insert) wrong.push(`${step}: range`);
    if (!parts.slice(0, -1).every((part) => part.endsWith("\\n"))) wrong.push(`${step}: a block without its newline`);
    if (parts.includes("")) wrong.push(`${step}: an empty block`);
  }
  return wrong;
}"""


@pytest.mark.browser
def test_the_text_in_blocks_is_the_text_and_the_policy_is_kept(address: str) -> None:
    """Only the missing API may be complained of: this server has the files alone."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.get_by_role("status").filter(has_text="File not found").wait_for()
        assert page.evaluate(SPLICE_AT_RANDOM) == []
        assert [line for line in said if "404" not in line] == []
