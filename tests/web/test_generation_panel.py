"""The panel where a text is asked for, in a real browser on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from canvas_server.config import Settings
from canvas_server.config.secret import Secret
from canvas_server.config.settings import (
    AutosaveSettings,
    CostSettings,
    DemoSettings,
    GenerationSettings,
    OpenaiSettings,
)
from tests.serving import IN_MEMORY, Served, serving
from tests.web.editor_page import type_at_end, wait_text
from tests.web.test_page_files import require

PATIENCE_MS: Final = 15_000
ANSWER_MS_MAX: Final = 60_000
CANCEL_MS_MAX: Final = 10_000
FRAME_MS: Final = 100
CONTENT: Final = "# Le port\n\n## Personnages\n\nMira.\n\n## Scènes\n\nÀ écrire.\n"
PROMPT: Final = "Une rencontre sous la pluie."
NOBODY_THERE: Final = "http://127.0.0.1:9/v1"
PRICES: Final = """currency = "EUR"
[[price]]
provider = "openai"
model = "gpt-5.2"
from = 2025-01-01
input = "0"
output = "10"
"""
PRESET: Final = "0f0e0d0c-0b0a-4908-8706-050403020100"

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEMO: Final = replace(
    IN_MEMORY,
    generation=GenerationSettings(provider="demo", cache=False),
    demo=DemoSettings(delay_ms=5),
    autosave=AutosaveSettings(interval_s=0.2),
)
"""Its short answer takes about half a second, its long one six."""
UNHURRIED: Final = replace(DEMO, demo=DemoSettings(delay_ms=15))
"""Its long answer takes about sixteen seconds: while it comes there is time to look at several pages."""


def paid(folder: Path, quota: float) -> Settings:
    """Return the settings of a server that would pay 0.05 for an answer, if there were somebody to pay."""
    prices = folder / "pricing.toml"
    prices.write_text(PRICES)
    return replace(
        DEMO,
        generation=GenerationSettings(provider="openai", max_output_tokens=5_000, retries_max=0),
        openai=OpenaiSettings(api_key=Secret("a key"), base_url=NOBODY_THERE),
        cost=CostSettings(monthly_quota=quota, pricing_file=str(prices)),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def demo() -> Iterator[Served]:
    with serving(DEMO) as running:
        yield running


@pytest.fixture(scope="module")
def unhurried() -> Iterator[Served]:
    with serving(UNHURRIED) as running:
        yield running


def window(browser: Browser, served: Served, ref: str) -> Page:
    """Open a canvas in a window that shares nothing with another."""
    return opened(browser.new_context().new_page(), served, ref)


def opened(page: Page, served: Served, ref: str) -> Page:
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{served.url}/#/c/{ref}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE_MS)
    expect(page.locator("#generate-model")).not_to_have_value("", timeout=PATIENCE_MS)
    return page


def start(page: Page, model: str = "demo demo", destination: str = "") -> None:
    page.locator("#generate-model").select_option(model)
    page.locator("#generate-destination").select_option(destination)
    page.locator("#generate-prompt").fill(PROMPT)
    page.keyboard.press("Control+Enter")


def expect_status(page: Page, words: str) -> None:
    expect(page.locator("#job-status")).to_have_text(words, timeout=ANSWER_MS_MAX)


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def test_a_text_that_goes_nowhere_is_shown_as_it_comes_with_its_bill_and_outlives_a_reload(
    browser: Browser, demo: Served
) -> None:
    page = window(browser, demo, demo.canvas(CONTENT).ref)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    start(page)
    expect(page.locator("#job-text")).not_to_be_empty()
    expect_status(page, "Génération terminée")
    text = page.locator("#job-text").inner_text()
    expect(page.locator("#job-figures")).to_contain_text("0,0000")
    wait_text(page, CONTENT)
    page.reload()
    expect_status(page, "Génération terminée")
    expect(page.locator("#job-text")).to_have_text(text)
    assert said == []


def test_a_text_for_a_section_is_written_there_and_a_reload_and_another_tab_find_its_job(
    browser: Browser, unhurried: Served
) -> None:
    canvas = unhurried.canvas(CONTENT)
    page = window(browser, unhurried, canvas.ref)
    other = opened(page.context.new_page(), unhurried, canvas.ref)
    section = page.locator("#generate-destination option", has_text="Personnages").get_attribute("value")
    assert section is not None
    start(page, "demo demo-long", section)
    for tab in (page, other):
        expect_status(tab, "Génération en cours…")
    page.reload()
    expect_status(page, "Génération en cours…")
    expect(page.locator("#job-text")).to_be_hidden()
    for tab in (page, other):
        expect_status(tab, "Génération terminée")
    written, _, after = canvas.text.partition("## Scènes")
    before = CONTENT.partition("## Scènes")[0]
    assert written.startswith(before)
    assert len(written) > len(before)
    assert after == "\n\nÀ écrire.\n"


def test_a_text_goes_to_the_section_that_the_cursor_is_in_when_it_is_asked_for(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas(CONTENT)
    page = window(browser, demo, canvas.ref)
    type_at_end(page, "")
    expect(page.locator("#generate-destination optgroup option")).to_have_count(3)
    page.locator("#contents").get_by_role("button", name="Personnages").click()
    expect(page.locator("#contents [aria-current]")).to_have_text("Personnages")
    start(page, "demo demo", "here")
    expect_status(page, "Génération terminée")
    written, _, after = canvas.text.partition("## Scènes")
    assert written.startswith(CONTENT.partition("## Scènes")[0])
    assert len(written) > len(CONTENT.partition("## Scènes")[0])
    assert after == "\n\nÀ écrire.\n"


def test_stopping_says_so_takes_the_text_back_and_gives_the_keyboard_its_button(
    browser: Browser, unhurried: Served
) -> None:
    canvas = unhurried.canvas(CONTENT)
    page = window(browser, unhurried, canvas.ref)
    start(page, "demo demo-long", "end")
    wait_text(page, lambda text: text != CONTENT)
    page.locator("#generate-stop").focus()
    page.keyboard.press("Enter")
    expect_status(page, "Génération interrompue")
    wait_text(page, CONTENT)
    assert canvas.text == CONTENT
    assert focused(page) == "generate-start"
    expect(page.locator("#generate-prompt")).to_have_value(PROMPT)


def test_a_cancel_that_is_not_answered_frees_the_page_after_ten_seconds(browser: Browser, unhurried: Served) -> None:
    page = browser.new_context().new_page()
    opened(page, unhurried, unhurried.canvas(CONTENT).ref)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/cancel", hold)
    start(page, "demo demo-long")
    expect(page.locator("#job-text")).not_to_be_empty(timeout=PATIENCE_MS)
    page.clock.install()
    page.locator("#generate-stop").click()
    page.clock.run_for(FRAME_MS)  # the clock of a page draws late while a text comes in
    expect_status(page, "Interruption en cours…")
    page.clock.fast_forward(CANCEL_MS_MAX)
    expect_status(page, "Interruption terminée")
    expect(page.locator("#generate-start")).to_be_enabled()
    held[0].continue_()


def test_over_the_quota_nothing_starts_and_there_is_only_a_way_back(browser: Browser, tmp_path: Path) -> None:
    with serving(paid(tmp_path, quota=0.03)) as served:
        page = window(browser, served, served.canvas().ref)
        start(page, "openai gpt-5.2")
        dialog = page.get_by_role("dialog", name="🚫 Quota mensuel atteint")
        expect(dialog).to_contain_text("Quota du mois0,0300")
        expect(dialog).to_contain_text("Remise à zéro")
        assert dialog.get_by_role("button").all_inner_texts() == ["Fermer"]
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        expect(page.locator("#generate-prompt")).to_have_value(PROMPT)
        expect(page.locator("#job")).to_be_hidden()


def test_near_the_quota_a_notice_says_what_is_left_until_it_is_closed(browser: Browser, tmp_path: Path) -> None:
    with serving(paid(tmp_path, quota=0.054)) as served:
        page = window(browser, served, served.canvas().ref)
        start(page, "openai gpt-5.2")
        notice = page.locator("#toasts")
        expect(notice).to_contain_text("⚠️ Quota à 92,6 %, 0,0040 € restants")
        notice.get_by_role("button", name="Fermer").click()
        expect(notice).to_be_empty()


def test_an_obsolete_preset_is_loaded_only_if_its_reader_says_so(browser: Browser, demo: Served) -> None:
    configuration = {"characters": ["nobody"], "locations": [], "instructions": "Ton sobre."}
    demo.http.put(f"/api/v1/presets/{PRESET}", json={"name": "Vieux port", "configuration": configuration})
    page = window(browser, demo, demo.canvas().ref)
    chosen = page.locator("#generate-preset")
    dialog = page.get_by_role("dialog", name="⚠️ Preset partiellement obsolète")
    chosen.select_option(PRESET)
    expect(dialog.get_by_role("listitem")).to_contain_text("nobody")
    page.keyboard.press("Escape")
    expect(chosen).to_have_value("")
    chosen.select_option(PRESET)
    dialog.get_by_role("button", name="Charger quand même").click()
    expect(chosen).to_have_value(PRESET)
    expect(page.locator("#preset-about")).to_have_text("Ton sobre.")


def test_how_long_ago_the_canvas_was_saved_is_counted(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas(CONTENT)
    page = browser.new_context().new_page()
    page.clock.install()
    opened(page, demo, canvas.ref)
    type_at_end(page, "Encore.")
    expect(page.locator("#saved")).to_contain_text("Sauvegardé il y a")
    page.clock.fast_forward(130_000)
    expect(page.locator("#saved")).to_contain_text("il y a 2\u00a0min")
