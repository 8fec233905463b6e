"""What somebody meets who comes for the first time, and what must not be in the way of the text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from tests.browser.servers import Server
from tests.browser.windows import PATIENCE_MS, Window, chromium

REF: Final = "port"
CONTENT: Final = "# Le port\n\nMira.\n\n## Scènes\n\nLe soir.\n"
SCREEN: Final[ViewportSize] = {"width": 1280, "height": 720}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
NO_CANVAS: Final = "Il n’y a pas de canvas à cette adresse, ou il n’est pas partagé avec vous."

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The list of canvases, in a window whose console has to stay silent."""
    page = browser.new_context(viewport=SCREEN).new_page()
    page.set_default_timeout(PATIENCE_MS)
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.goto(f"{server.url}/")
    yield page
    assert said == []


def ref_of(page: Page) -> str:
    expect(page).to_have_url(re.compile("#/c/"))
    return page.url.rpartition("/")[2]


def wait_for(page: Page, server: Server, end: str) -> None:
    """Wait until the canvas that is open ends so on the server."""
    deadline_s = time.monotonic() + PATIENCE_MS / 1000
    while not (text := server.text(ref_of(page))).endswith(end):
        assert time.monotonic() < deadline_s, text
        page.wait_for_timeout(50)


def height_of(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["height"]


def test_an_empty_list_invites_to_begin_and_its_example_is_written_in_at_once(page: Page, server: Server) -> None:
    expect(page.locator("#first")).to_be_visible()
    page.get_by_role("button", name="Commencer par un exemple").click()
    expect(page.locator(".cm-content")).to_be_focused()
    expect(page.locator("#contents button")).to_have_text(["Premiers pas", "À plusieurs", "Avec un modèle"])
    assert server.text(ref_of(page)).startswith("# Premiers pas\n")
    page.get_by_role("link", name="Canvas", exact=True).click()
    expect(page.locator("#list li")).to_have_count(1)
    expect(page.locator("#first")).to_be_hidden()


def test_a_canvas_that_was_just_made_has_the_cursor_in_its_text(page: Page, server: Server) -> None:
    page.get_by_label("Titre", exact=True).fill("Le port")
    page.keyboard.press("Enter")
    expect(page.locator(".cm-content")).to_be_focused()
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    page.keyboard.type("Mira.")
    expect(page.locator("#version")).not_to_have_text("version 0")
    wait_for(page, server, "Mira.")
    expect(page.locator("#list li")).not_to_contain_text(ref_of(page))


def test_a_canvas_that_others_made_meanwhile_is_in_the_list(page: Page, server: Server) -> None:
    expect(page.locator("#first")).to_be_visible()
    for ref in ("one", "two"):
        server.create(ref, "", f"Le {ref}")
    page.goto(f"{server.url}/#/c/one")
    expect(page.locator("#list .name")).to_have_text(["Le two", "Le one"])
    expect(page.locator("#list [aria-current]")).to_contain_text("Le one")


def test_a_canvas_has_its_title_also_while_it_is_read(page: Page, server: Server) -> None:
    server.create(REF, CONTENT, "Le port")
    page.reload()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(f"**/api/v2/canvas/{REF}?unit=utf16", hold)
    page.locator("#list a").click()
    expect(page.locator("#title")).to_have_value("Le port")
    expect(page.locator("#list .name")).to_have_text("Le port")
    expect(page).to_have_title("Le port – Canvas")
    while not held:
        page.wait_for_timeout(20)
    held[0].continue_()
    expect(page.locator("#contents button")).to_have_count(2)


def test_a_section_that_was_just_typed_can_be_chosen_for_a_generation(page: Page, server: Server) -> None:
    page.get_by_role("button", name="Commencer par un exemple").click()
    expect(page.locator(".cm-content")).to_be_focused()
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    page.keyboard.press("Control+End")
    page.keyboard.type("\n## Le soir\n")
    expect(page.locator("#generate-destination option", has_text="Le soir")).to_be_attached()
    wait_for(page, server, "## Le soir\n")


def test_where_texts_go_is_kept_for_the_next_canvas(page: Page, server: Server) -> None:
    for ref in ("one", "two"):
        server.create(ref, CONTENT, ref)
    page.goto(f"{server.url}/#/c/one")
    page.locator("#generate-destination").select_option("end")
    page.goto(f"{server.url}/#/c/two")
    expect(page.locator("#contents button")).to_have_count(2)
    expect(page.locator("#generate-destination")).to_have_value("end")


def test_most_of_a_small_window_is_text_though_there_is_company(browser: Browser, server: Server) -> None:
    server.create(REF, CONTENT, "Le port, un roman en trois parties")
    ada = Window(browser.new_context(viewport=SCREEN), server.url, REF).connected()
    for name in ("Bob", "Chloé"):
        other = Window(browser.new_context(), server.url, REF).connected()
        other.page.get_by_label("Votre nom").fill(name)
        other.page.get_by_label("Votre nom").press("Enter")
        other.go_behind("Le soir.")
        expect(ada.page.locator("#presence")).to_contain_text(name)
    assert height_of(ada.page, "#text") > 0.68 * SCREEN["height"]


def test_on_a_phone_the_text_comes_first_and_the_rest_is_a_touch_away(browser: Browser, server: Server) -> None:
    server.create(REF, CONTENT, "Le port")
    page = Window(browser.new_context(viewport=PHONE, has_touch=True), server.url, REF).connected().page
    assert height_of(page, "#text") > 0.65 * PHONE["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.locator("#generate-jump").tap()
    expect(page.locator("#generate-prompt")).to_be_focused()
    expect(page.locator("#generate-start")).to_be_in_viewport()
    page.get_by_role("link", name="Tous les canvas").tap()
    expect(page.locator("#list")).to_be_visible()


def test_a_link_to_no_canvas_is_told_in_the_language_of_the_page_and_offers_nothing(
    browser: Browser, server: Server
) -> None:
    window = Window(browser.new_context(viewport=SCREEN), server.url, "nowhere")
    expect(window.page.locator("#notice")).to_have_text(NO_CANVAS)
    for name in ("#reopen", "#close", "#delete", "#rename"):
        expect(window.page.locator(name)).to_be_hidden()


def test_what_one_types_at_the_cursor_of_another_does_not_push_it(browser: Browser, server: Server) -> None:
    server.create(REF, CONTENT, "Le port")
    ada, bob = (Window(browser.new_context(viewport=SCREEN), server.url, REF).connected() for _ in range(2))
    bob.go_behind("Mira.")
    cursor = ada.page.locator(".cm-peer-cursor")
    expect(cursor).to_be_attached()
    before = cursor.bounding_box()
    ada.go_behind("Mira.")
    ada.type(" Elle attend.")
    expect(bob.editor).to_contain_text("Mira. Elle attend.")
    assert cursor.bounding_box() == before


def test_the_events_are_drawn_when_somebody_looks_and_those_before_are_among_them(
    browser: Browser, server: Server
) -> None:
    """A model writes a hundred events a second: a list that nobody sees took as long as the editor."""
    server.create(REF, CONTENT, "Le port")
    window = Window(browser.new_context(viewport=SCREEN), server.url, REF).connected()
    window.go_behind("Mira.")
    window.type("!")
    expect(window.page.locator("#saving")).to_contain_text("Enregistré", timeout=PATIENCE_MS)
    log = window.page.locator("#log")
    expect(log.locator("[data-type]")).to_have_count(0)
    window.page.get_by_text("Événements", exact=True).click()
    expect(log.locator("[data-type=start]")).to_have_count(1)
    expect(log.locator("[data-type=ack]")).to_have_count(1)
    window.go_behind("Le soir.")
    window.type("?")
    expect(log.locator("[data-type=ack]")).to_have_count(2)
