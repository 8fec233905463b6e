"""Writing on the page: in two windows at once, under the strict policy, with and without CodeMirror."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.serving import IN_MEMORY, Served, serving
from tests.web.editor_page import (
    CONTENT,
    PATIENCE_MS,
    open_canvas,
    require_editor,
    text_of,
    type_at_end,
    wait_live,
    wait_text,
)
from tests.web.test_page_files import require

TEXT: Final = "# Le port\n\nMira.\n\n## Scènes\n\nÀ écrire.\n"

AT_RANDOM: Final = """async (seed) => {
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const piece = () => ["é", "😀", "\\n", "mot ", "# ", ""][random(6)];
  const pause = () => new Promise((resolve) => setTimeout(resolve, random(20)));
  const box = document.querySelector("#text textarea");
  const module = box === null ? await import("/page/codemirror.js") : null;
  const view = module?.EditorView.findFromDOM(document.querySelector("#text .cm-editor"));
  for (let step = 0; step < 60; step += 1) {
    const text = box?.value ?? view.state.sliceDoc();
    const stops = [...text].reduce((sums, sign) => [...sums, sums.at(-1) + sign.length], [0]);
    const places = Array.from({ length: 4 }, () => stops[random(stops.length)]).sort((a, b) => a - b);
    const [a, b, c, d] = places;
    if (box !== null) {
      box.setRangeText(piece(), a, b, "end");
      box.dispatchEvent(new Event("input"));
    } else if (random(5) === 0) {
      (random(2) ? module.undo : module.redo)(view);
    } else {
      const changes = [{ from: a, to: Math.min(b, a + 3), insert: piece() }];
      if (c > b + 3) changes.push({ from: c, to: Math.min(d, c + 3), insert: piece() });
      view.dispatch({ changes, userEvent: "input" });
    }
    await pause();
  }
}"""

WATCH_FOR_LIGHT: Final = """() => {
  globalThis.isLit = false;
  new MutationObserver(() => {
    globalThis.isLit ||= document.querySelector("#text .cm-fresh") !== null;
  }).observe(document.querySelector("#text"), { subtree: true, childList: true, attributes: true });
}"""
"""Keeps that something was lit, which it is for two seconds."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def here() -> Iterator[Served]:
    require_editor()
    with serving(IN_MEMORY) as running:
        yield running


@pytest.fixture
def said() -> list[str]:
    """What the pages of a test said to the console."""
    return []


def listened(page: Page, said: list[str]) -> Page:
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return page


def two_windows(browser: Browser, here: Served, text: str = TEXT) -> tuple[Page, Page, str]:
    ref = here.canvas(text).ref
    return open_canvas(browser, here.url, ref), open_canvas(browser, here.url, ref), ref


def without_codemirror(page: Page) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(status=404, body="")

    page.route("**/page/codemirror.js", refuse)


def test_what_is_typed_in_one_window_stands_in_the_other_and_on_the_server(browser: Browser, here: Served) -> None:
    canvas = here.canvas(TEXT)
    ada, bob = (open_canvas(browser, here.url, canvas.ref) for _ in range(2))
    type_at_end(ada, "Un ; deux.")
    wait_text(bob, TEXT + "Un ; deux.")
    bob.locator(CONTENT).focus()
    bob.keyboard.press("Control+Home")
    bob.keyboard.type("Préface. ")
    wait_text(ada, "Préface. " + TEXT + "Un ; deux.")
    expect(ada.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert canvas.text == "Préface. " + TEXT + "Un ; deux."


def test_two_who_type_at_once_end_with_the_same_text_and_nothing_is_lost(browser: Browser, here: Served) -> None:
    ada, bob, _ = two_windows(browser, here)
    for page in (ada, bob):
        page.locator(CONTENT).focus()
        page.keyboard.press("Control+End")
    for number in range(20):
        ada.keyboard.type(f"a{number} ")
        bob.keyboard.type(f"b{number} ")
    text = wait_text(ada, lambda text: all(f"{who}{number} " in text for who in "ab" for number in range(20)))
    wait_text(bob, text)


def test_undo_takes_back_what_one_typed_oneself_and_nothing_else(browser: Browser, here: Served) -> None:
    ada, bob, _ = two_windows(browser, here)
    ada.locator(CONTENT).focus()
    ada.keyboard.press("Control+End")
    ada.keyboard.insert_text("Ada.")  # at once: what is typed with a pause is taken back by pieces
    wait_text(bob, TEXT + "Ada.")
    type_at_end(bob, " Bob.")
    wait_text(ada, TEXT + "Ada. Bob.")
    ada.keyboard.press("Control+z")
    wait_text(ada, TEXT + " Bob.")
    wait_text(bob, TEXT + " Bob.")
    ada.keyboard.press("Control+z")
    ada.keyboard.press("Control+y")
    wait_text(bob, TEXT + "Ada. Bob.")


def test_a_cursor_of_another_is_shown_with_its_name_and_goes_along_with_the_text(
    browser: Browser, here: Served
) -> None:
    ada, bob, _ = two_windows(browser, here)
    bob.locator("#presence-name").fill("Bob")
    bob.locator("#presence-name").press("Enter")
    bob.locator(CONTENT).focus()
    bob.keyboard.press("Control+End")
    name = ada.locator(".cm-peer-name")
    expect(name).to_have_text("Bob")
    expect(name).to_be_visible()
    expect(ada.locator("#presence")).to_contain_text("Bob")
    top = ada.locator(".cm-peer-cursor").evaluate("(cursor) => cursor.offsetTop")
    ada.locator(CONTENT).focus()
    ada.keyboard.press("Control+Home")
    ada.keyboard.type("\n\n")
    ada.wait_for_function(f"() => document.querySelector('.cm-peer-cursor').offsetTop > {top + 20}")
    bob.keyboard.press("Shift+ArrowUp")
    expect(ada.locator(".cm-peer-selection").first).to_be_attached()
    bob.goto("about:blank")
    expect(ada.locator(".cm-peer-cursor")).to_have_count(0)


def test_the_editor_says_nothing_to_the_console_under_the_strict_policy(
    browser: Browser, here: Served, said: list[str]
) -> None:
    page = listened(browser.new_context().new_page(), said)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{here.url}/#/c/{here.canvas(TEXT + chr(0x202E)).ref}")
    wait_live(page)
    type_at_end(page, "# Encore\n- un\ndeux\n```\ncode\n```\n")
    page.keyboard.press("Control+f")
    expect(page.get_by_placeholder("Rechercher")).to_be_focused()
    page.keyboard.type("un")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator("#theme").select_option("dark")
    page.locator("#view-both").click()
    expect(page.locator("#preview iframe")).to_be_visible()
    page.locator("button[value=en]").first.click()
    expect(page.get_by_role("textbox", name="Text of the canvas")).to_be_visible()
    assert said == []


def test_without_codemirror_a_plain_text_box_does_the_same(browser: Browser, here: Served) -> None:
    canvas = here.canvas(TEXT)
    ada = browser.new_context().new_page()
    without_codemirror(ada)
    ada.goto(f"{here.url}/#/c/{canvas.ref}")
    wait_live(ada)
    bob = open_canvas(browser, here.url, canvas.ref)
    expect(ada.locator("#text textarea")).to_be_visible()
    type_at_end(ada, "Ada 😀😁.")
    wait_text(bob, TEXT + "Ada 😀😁.")
    bob.locator(CONTENT).focus()
    bob.keyboard.press("Control+Home")
    bob.keyboard.type("Bob. ")
    wait_text(ada, "Bob. " + TEXT + "Ada 😀😁.")
    ada.keyboard.type(" Encore.")
    wait_text(bob, "Bob. " + TEXT + "Ada 😀😁. Encore.")


def test_what_is_composed_in_a_plain_text_box_is_left_alone_by_what_comes_meanwhile(
    browser: Browser, here: Served
) -> None:
    canvas = here.canvas("un deux")
    ada = browser.new_context().new_page()
    without_codemirror(ada)
    ada.goto(f"{here.url}/#/c/{canvas.ref}")
    wait_live(ada)
    bob = open_canvas(browser, here.url, canvas.ref)
    ada.locator(CONTENT).focus()
    ada.keyboard.press("Control+End")
    ime = ada.context.new_cdp_session(ada)
    ime.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    bob.locator(CONTENT).focus()
    bob.keyboard.press("Control+Home")
    bob.keyboard.type("zéro ")
    wait_text(bob, "zéro un deux")
    expect(ada.locator("#length")).to_have_text("12 caractères", timeout=PATIENCE_MS)
    assert text_of(ada) == "un deuxに"
    ime.send("Input.imeSetComposition", {"text": "にほ", "selectionStart": 2, "selectionEnd": 2})
    ime.send("Input.insertText", {"text": "日本"})
    wait_text(ada, "zéro un deux日本")
    wait_text(bob, "zéro un deux日本")


def test_what_is_typed_before_codemirror_is_there_is_not_lost(browser: Browser, here: Served) -> None:
    canvas = here.canvas(TEXT)
    page = browser.new_context().new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/page/codemirror.js", hold)
    page.goto(f"{here.url}/#/c/{canvas.ref}", wait_until="commit")
    wait_live(page)
    type_at_end(page, "tôt")
    page.keyboard.press("ArrowLeft")
    for route in held:
        route.continue_()
    expect(page.locator("#text .cm-content")).to_be_focused()
    page.keyboard.type("X")
    wait_text(page, TEXT + "tôXt")
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert canvas.text == TEXT + "tôXt"


def test_right_to_left_lines_and_emoji_are_written_and_deleted_whole(browser: Browser, here: Served) -> None:
    canvas = here.canvas("Bonjour.\n")
    page = open_canvas(browser, here.url, canvas.ref)
    type_at_end(page, "مرحبا بالعالم\n")
    page.keyboard.insert_text("👩‍🚀😀")
    page.keyboard.press("Backspace")
    wait_text(page, "Bonjour.\nمرحبا بالعالم\n👩‍🚀")
    line = page.locator(".cm-line", has_text="مرحبا")
    assert line.evaluate("(line) => getComputedStyle(line).direction") == "rtl"
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert canvas.text == "Bonjour.\nمرحبا بالعالم\n👩‍🚀"


def test_escape_and_then_tab_leave_the_text_and_tab_alone_indents(browser: Browser, here: Served) -> None:
    page = open_canvas(browser, here.url, here.canvas("- un\n- deux").ref)
    page.locator(CONTENT).focus()
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    wait_text(page, lambda text: "    " in text)
    expect(page.locator(CONTENT)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.locator(CONTENT)).not_to_be_focused()


def test_the_contents_follow_the_text_lead_there_and_mark_where_one_is(browser: Browser, here: Served) -> None:
    page = open_canvas(browser, here.url, here.canvas(TEXT + "\n" * 80).ref)
    contents = page.locator("#contents")
    expect(contents.get_by_role("button")).to_have_text(["Le port", "Scènes"])
    type_at_end(page, "\n### Fin\n")
    expect(contents.get_by_role("button")).to_have_text(["Le port", "Scènes", "Fin"])
    expect(contents.locator("[aria-current]")).to_have_text("Fin")
    contents.get_by_role("button", name="Scènes").click()
    expect(contents.locator("[aria-current]")).to_have_text("Scènes")
    page.keyboard.type("!")
    wait_text(page, lambda text: "!## Scènes" in text)


def test_offline_one_goes_on_writing_and_all_of_it_arrives(browser: Browser, here: Served) -> None:
    canvas = here.canvas(TEXT)
    page = open_canvas(browser, here.url, canvas.ref)
    page.context.set_offline(True)
    type_at_end(page, "hors ligne")
    expect(page.locator("#connection")).to_contain_text("Hors ligne", timeout=PATIENCE_MS)
    expect(page.locator("#saving")).to_contain_text("en attente")
    page.context.set_offline(False)
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert canvas.text == TEXT + "hors ligne"


def test_a_theme_is_kept_over_a_reload(browser: Browser, here: Served) -> None:
    page = open_canvas(browser, here.url, here.canvas(TEXT).ref)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").select_option("dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    wait_live(page)
    assert page.evaluate(ground) == dark
    expect(page.locator("#theme")).to_have_value("dark")


def test_what_was_written_offline_is_sent_though_one_goes_to_another_canvas(browser: Browser, here: Served) -> None:
    first, second = here.canvas(TEXT), here.canvas("Un autre.")
    page = open_canvas(browser, here.url, first.ref)
    page.route("**/ops:stream*", lambda route: route.abort())
    type_at_end(page, "plus tard")
    page.evaluate(f"location.hash = '#/c/{second.ref}'")
    wait_text(page, "Un autre.")
    page.unroute("**/ops:stream*")
    here_too = open_canvas(browser, here.url, first.ref)
    wait_text(here_too, TEXT + "plus tard")
    type_at_end(page, " Ici.")
    page.evaluate(f"location.hash = '#/c/{first.ref}'")
    wait_text(page, TEXT + "plus tard")
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    deadline_s = time.monotonic() + PATIENCE_MS / 1000
    while second.text != "Un autre. Ici.":
        assert time.monotonic() < deadline_s, second.text
        page.wait_for_timeout(20)


def test_what_others_write_is_lit_for_a_moment_and_followed_unless_one_writes(browser: Browser, here: Served) -> None:
    ada, bob, _ = two_windows(browser, here, TEXT + "\n" * 120)
    top = "document.querySelector('#text .cm-scroller').scrollTop"
    ada.evaluate(WATCH_FOR_LIGHT)
    type_at_end(bob, "Lu ?")
    ada.wait_for_function("() => isLit")
    expect(ada.get_by_text("Lu ?")).to_be_in_viewport()
    expect(ada.locator(".cm-fresh")).to_have_count(0)
    ada.locator(CONTENT).focus()
    ada.keyboard.press("Control+Home")
    ada.wait_for_function(f"() => {top} < 60")
    bob.keyboard.type(" Oui.")
    wait_text(ada, lambda text: text.endswith("Lu ? Oui."))
    assert ada.evaluate(top) < 60


def test_a_text_of_a_megabyte_is_shown_and_written_in(browser: Browser, here: Served) -> None:
    big = "".join(f"## Partie {number}\n\nDes mots **forts** et du `code`.\n\n" for number in range(20_000))[:1_000_000]
    canvas = here.canvas(big)
    page = open_canvas(browser, here.url, canvas.ref)
    type_at_end(page, "Fin.")
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert text_of(page) == canvas.text == big + "Fin."


def test_what_the_server_does_not_take_is_told_stays_in_the_text_and_can_be_tried_again(
    browser: Browser, here: Served
) -> None:
    canvas = here.canvas(TEXT)
    page = open_canvas(browser, here.url, canvas.ref)
    told = {"status": 403, "code": "FORBIDDEN", "title": "no", "detail": "no", "hint": "Ask its owner."}

    def refuse(route: Route) -> None:
        route.fulfill(status=403, body=json.dumps(told), content_type="application/problem+json")

    page.route("**/ops:stream*", refuse)
    type_at_end(page, "")
    page.keyboard.insert_text("refusé")
    problem = page.get_by_role("alert").filter(has_text="Votre texte est ici")
    expect(problem).to_contain_text("Vous n’avez plus le droit d’écrire ici. Ask its owner.")
    assert text_of(page) == TEXT + "refusé"
    page.unroute("**/ops:stream*")
    problem.get_by_role("button", name="Réessayer").click()
    expect(problem).to_be_hidden()
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert canvas.text == TEXT + "refusé"


@pytest.mark.parametrize("is_plain", [False, True], ids=["CodeMirror", "plain"])
def test_what_no_canvas_can_hold_is_shown_as_it_is_kept(browser: Browser, here: Served, is_plain: bool) -> None:
    canvas = here.canvas(TEXT)
    page = browser.new_context().new_page()
    if is_plain:
        without_codemirror(page)
    page.goto(f"{here.url}/#/c/{canvas.ref}")
    wait_live(page)
    type_at_end(page, "")
    page.evaluate("() => document.execCommand('insertText', false, 'a\\0b\\ud83dc')")
    wait_text(page, f"{TEXT}a\ufffdb\ufffdc")
    page.keyboard.type("!")
    wait_text(page, lambda text: "!" in text)
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert canvas.text == text_of(page)


def test_three_who_write_at_random_end_with_the_text_of_the_server(browser: Browser, here: Served) -> None:
    """Several places in one go, undo and redo among them; one of the three has the plain text box."""
    canvas = here.canvas(TEXT * 3)
    plain = browser.new_context().new_page()
    without_codemirror(plain)
    plain.goto(f"{here.url}/#/c/{canvas.ref}")
    wait_live(plain)
    windows = [plain, *(open_canvas(browser, here.url, canvas.ref) for _ in range(2))]
    for seed, page in enumerate(windows, start=17):
        page.evaluate(f"() => {{ window.done = ({AT_RANDOM})({seed}); }}")
    for page in windows:
        page.evaluate("() => window.done")
    for page in windows:
        expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    for page in windows:
        wait_text(page, canvas.text)
