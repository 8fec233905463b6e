"""What a program can find wrong for people who do not see, hear or point: nothing, in each view of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.browser.axe import violations
from tests.browser.windows import Window, chromium
from tests.serving import Served

CONTENT: Final = (
    "# Le port\n\nDu *texte*, du `code`, [un lien](https://exemple.fr).\n\n## Scènes\n\n- une\n- deux\n\n> Citée.\n"
)
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
SCREEN: Final[ViewportSize] = {"width": 1280, "height": 800}

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_what_has_no_name_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content('<html lang="fr"><title>t</title><main><h1>t</h1><input></main></html>')
    assert [line.partition(":")[0] for line in violations(page)] == ["label"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [SCREEN, PHONE], ids=["screen", "phone"])
def test_no_rule_is_broken_in_any_view_of_a_canvas(
    browser: Browser, served: Served, scheme: Literal["light", "dark"], width: ViewportSize
) -> None:
    canvas = served.canvas(CONTENT, title="Le port")
    context = browser.new_context(color_scheme=scheme, viewport=width)
    other = Window(browser.new_context(), served.url, canvas.ref).connected()
    other.page.get_by_label("Votre nom").fill("Bob")
    other.page.get_by_label("Votre nom").press("Enter")
    other.go_behind("Scènes")
    other.type(" du soir")
    window = Window(context, served.url, canvas.ref).connected()
    page = window.page
    expect(page.locator(".cm-editor").get_by_text("Bob")).to_be_attached()
    assert violations(page) == []
    window.shoot(f"canvas-{scheme}-{width['width']}")
    for name in ("Aperçu", "Texte"):
        page.get_by_role("button", name=name, exact=True).click()
        assert violations(page) == [], name
    window.go_behind("Le port")
    page.keyboard.press("Control+f")
    assert violations(page) == [], "search"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Supprimer…").click()
    assert violations(page) == [], "delete"
    page.get_by_role("button", name="Garder").click()
    page.goto(f"{served.url}/#/")
    expect(page.locator("#list li")).not_to_have_count(0)
    assert violations(page) == [], "list"
    window.shoot(f"list-{scheme}-{width['width']}")


@pytest.mark.parametrize("path", ["/docs", "/admin"])
def test_no_rule_is_broken_on_the_other_pages(browser: Browser, served: Served, path: str) -> None:
    page = browser.new_page()
    page.goto(served.url + path)
    expect(page.locator("h1, h2").first).to_be_visible()
    assert violations(page) == []
