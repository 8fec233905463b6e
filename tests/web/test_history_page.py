"""The history on a slider, who wrote what, and works that are taken back: in a real browser on a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx2
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from canvas_server.config.settings import (
    AutosaveSettings,
    DemoSettings,
    GenerationSettings,
    LimitSettings,
    StorageSettings,
)
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, op_id, serving
from tests.web.people import Person, person
from tests.web.test_page_after_a_crash import connected, server
from tests.web.test_page_files import require

PATIENCE_MS: Final = 15_000
CONTENT: Final = "# Le port\n\n## Personnages\n\nMira.\n\n## Scènes\n\nÀ écrire.\n"
REWRITTEN: Final = CONTENT.replace("Mira.", "Mira attend.") + "\nPluie.\n"
CALM_STEP_MS: Final = 2_000
WATCH_THE_REPLAY: Final = """() => {
  const steps = (globalThis.stepsSeen = []);
  new MutationObserver(() => {
    const seq = parseInt(document.querySelector("#past-position").textContent.match(/[0-9]+/)[0]);
    if (seq !== steps.at(-1)?.[1]) steps.push([Date.now(), seq, document.querySelector("#past-play").textContent]);
  }).observe(document.querySelector("#past-dialog"), { subtree: true, childList: true });
}"""
"""Keeps each version that a replay comes to, when, and what its button says then: it may be gone when we look."""

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DEMO: Final = replace(
    IN_MEMORY,
    generation=GenerationSettings(provider="demo", cache=False),
    demo=DemoSettings(delay_ms=2),
    autosave=AutosaveSettings(interval_s=0.2),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


@pytest.fixture(autouse=True)
def closing(browser: Browser) -> Iterator[None]:
    yield
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="module")
def demo() -> Iterator[Served]:
    with serving(DEMO) as running:
        yield running


@pytest.fixture(scope="module")
def asking() -> Iterator[Served]:
    with serving(credentials=True) as running:
        yield running


def opened(context: BrowserContext, served: Served, ref: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{served.url}/#/c/{ref}")
    expect(page.locator("#past-open")).to_be_visible(timeout=PATIENCE_MS)
    return page


def signed_in(browser: Browser, who: Person, ref: str) -> Page:
    context = browser.new_context()
    kept = f'{{"token": "{who.secret}", "isForThisTab": true}}'
    context.add_init_script(f"sessionStorage.setItem('canvas.session', '{kept}')")
    return opened(context, who.served, ref)


def in_history(page: Page) -> Locator:
    page.locator("#past-open").click()
    dialog = page.get_by_role("dialog", name="Historique")
    expect(dialog).to_be_visible()
    return dialog


def wait_for_steps(page: Page, count: int, move_on: Callable[[], None] = lambda: None) -> list[tuple[int, int, str]]:
    """Wait until a replay has come to so many versions, and return what was kept of each."""
    end_s = time.monotonic() + PATIENCE_MS / 1000
    while len(steps := page.evaluate("stepsSeen")) < count:
        assert time.monotonic() < end_s, steps
        move_on()
        page.wait_for_timeout(20)
    return [(ms, seq, button) for ms, seq, button in steps]


def written(canvas: Canvas) -> list[str]:
    """Write three works of two tabs; return the text at each version."""
    texts = [canvas.text]
    for client, content in (("tab-one", "\nPluie."), ("tab-two", "\nVent."), ("tab-one", "\nNuit.")):
        canvas.submit(append(content), headers={"X-Client-Id": client})
        texts.append(canvas.text)
    return texts


def replacing(match: str, content: str) -> Json:
    target = {"type": "text", "text": {"match": match}}
    return {"op_id": op_id(), "action": "replace", "scope": "range", "target": target, "content": content}


def test_the_slider_leads_by_the_keyboard_to_every_version_and_says_in_words_what_is_there(
    browser: Browser, demo: Served
) -> None:
    canvas = demo.canvas(CONTENT)
    texts = written(canvas)
    page = opened(browser.new_context(), demo, canvas.ref)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    in_history(page)
    slider = page.get_by_role("slider", name="Version du texte")
    shown = page.get_by_role("region", name="Texte de cette version")
    expect(slider).to_be_focused()
    told = re.compile(r"^(à l’instant|il y a .+), sans nom : \+6 caractères sous « Scènes » \(Version 3 sur 3\)$")
    expect(slider).to_have_attribute("aria-valuetext", told)
    expect(shown.locator("ins")).to_have_text("\nNuit.")
    for key, seq in (("ArrowLeft", 2), ("Home", 0), ("ArrowRight", 1), ("End", 3), ("ArrowLeft", 2)):
        page.keyboard.press(key)
        expect(page.locator("#past-position")).to_have_text(f"Version {seq} sur 3")
        expect(shown).to_have_text(texts[seq], use_inner_text=False)
    page.locator("#past-compare").select_option("now")
    expect(shown.locator("ins")).to_have_text("\nNuit.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert complaints == []


def test_going_back_to_a_text_is_an_edit_that_is_heard_by_all_and_can_be_taken_back(
    browser: Browser, demo: Served
) -> None:
    canvas = demo.canvas(CONTENT)
    texts = written(canvas)
    page = opened(browser.new_context(), demo, canvas.ref)
    dialog = in_history(page)
    page.get_by_role("slider").press("Home")
    expect(page.locator("#past-position")).to_have_text("Version 0 sur 3")
    with canvas.listen("snapshot=false") as listener:
        dialog.get_by_role("button", name="Revenir à ce texte").click()
        expect(page.locator("#past-status")).to_contain_text("Le texte est revenu à la version 0.")
        ack = listener.expect("ack")
    assert canvas.text == CONTENT
    assert ack["changes"] == [{"from": len(CONTENT), "to": len(texts[-1]), "insert": ""}]
    dialog.get_by_role("button", name="Revenir à ce texte").click()
    expect(page.locator("#past-status")).to_have_text("Le canvas a déjà ce texte.")
    dialog.get_by_role("button", name="Annuler ce travail : vous").click()
    expect(page.locator("#past-status")).to_contain_text("Annulé : +")
    expect(page.locator("#past-position")).to_have_text("Version 0 sur 5")
    assert canvas.text == texts[-1]


def test_a_return_to_a_text_is_undone_in_the_editor_as_what_one_typed(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas(CONTENT)
    texts = written(canvas)
    page = opened(browser.new_context(), demo, canvas.ref)
    editor = page.locator("#text").get_by_role("textbox")
    editor.press("Control+End")
    page.keyboard.type(" Fin.")
    dialog = in_history(page)
    page.get_by_role("slider").press("Home")
    expect(page.locator("#past-position")).to_contain_text("Version 0")
    dialog.get_by_role("button", name="Revenir à ce texte").click()
    expect(editor).not_to_contain_text("Nuit.")
    dialog.get_by_role("button", name="Fermer").click()
    editor.press("Control+z")
    expect(editor).to_contain_text("Nuit. Fin.")
    other = opened(browser.new_context(), demo, canvas.ref)
    expect(other.locator("#text").get_by_role("textbox")).to_contain_text("Nuit. Fin.")
    assert canvas.text == texts[-1] + " Fin."


def test_the_work_of_an_agent_is_taken_back_and_what_others_wrote_in_it_stays(browser: Browser, asking: Served) -> None:
    ada, bob = person(asking, name="ada"), person(asking, name="bob")
    agent = person(asking, "agent", name="scribe")
    access = {"shared_with": {"bob": "write", "scribe": "write"}}
    ref = ada.canvas(CONTENT, access=access)
    agent.post(ref, replacing("Mira.", "Mira, la capitaine du port."), append("\nPluie."))
    bob.post(ref, replacing("la capitaine", "la vieille capitaine"))
    page = signed_in(browser, ada, ref)
    in_history(page)
    work = page.locator("#past-works li", has_text="scribe (agent)")
    expect(work).to_contain_text("+34 −5 caractères")
    work.get_by_role("button", name="Annuler ce travail").click()
    expect(page.locator("#past-status")).to_contain_text("Ce que d’autres ont écrit est resté.")
    expect(work.get_by_role("button", name="Annuler ce travail")).to_be_disabled()
    expect(page.locator("#past-works li").first).to_contain_text("vous")
    assert ada.text(ref) == CONTENT.replace("Mira.", "Mirala vieille capitaine.")


def test_colours_and_a_legend_tell_who_wrote_what_and_are_there_after_a_reload(
    browser: Browser, asking: Served
) -> None:
    ada = person(asking, name="eva")
    agent = person(asking, "agent", name="clerk")
    ref = ada.canvas("Le début. ", access={"shared_with": {"clerk": "write"}})
    ada.write(ref, "x" * 30)
    agent.write(ref, "y" * 60)
    page = signed_in(browser, ada, ref)
    legend = page.get_by_role("list", name="Qui a écrit quoi")
    expect(legend).to_be_hidden()
    page.get_by_role("checkbox", name="Qui a écrit quoi").check()
    for _ in range(2):
        expect(legend.get_by_role("listitem")).to_have_text(
            ["clerk (agent) : 60 %", "vous : 30 %", "avant l’historique : 10 %"]
        )
        page.reload()
    agent.write(ref, "z" * 100)
    expect(legend.get_by_role("listitem").first).to_have_text("clerk (agent) : 80 %")
    page.locator("#text").get_by_role("textbox").press("Control+End")
    page.keyboard.insert_text("e" * 120)
    expect(legend.get_by_role("listitem")).to_have_text(
        ["clerk (agent) : 50 %", "vous : 47 %", "avant l’historique : 3 %"]
    )
    coloured = page.locator("#text .author-own")
    expect(coloured).to_have_text(["x" * 30, "e" * 120])
    page.get_by_role("checkbox", name="Qui a écrit quoi").uncheck()
    expect(legend).to_be_hidden()


def test_a_long_history_opens_with_its_newest_page_and_reads_on_when_asked(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas("")
    for _ in range(13):
        canvas.submit(*(append("Un mot. ") for _ in range(100)))
    page = opened(browser.new_context(), demo, canvas.ref)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(canvas.ref)[2]))
    dialog = in_history(page)
    expect(page.locator("#past-position")).to_have_text("Version 1 300 sur 1 300", use_inner_text=True)
    expect(page.locator("#past-works li")).not_to_have_count(0)
    read = [query for query in asked if "after=" in query or "at=" in query]
    assert read == [
        "/ops?unit=utf16&after=1000&limit=500",
        "?unit=utf16&at=1000",
        "/ops?unit=utf16&after=500&limit=500",
    ]
    page.get_by_role("slider").press("Home")
    page.get_by_role("slider").press("ArrowRight")
    expect(page.get_by_role("region", name="Texte de cette version")).to_have_text("Un mot. ")
    dialog.get_by_role("button", name="Plus ancien").click()
    expect(page.locator("#past-works")).to_contain_text("+10 400 caractères", use_inner_text=True)


def test_what_is_no_longer_in_the_history_is_said_to_be_gone_and_the_slider_begins_behind_it(browser: Browser) -> None:
    settings = replace(
        IN_MEMORY,
        storage=StorageSettings(ephemeral=True, history_ops_max=20),
        limits=LimitSettings(retained_ops_max=20),
    )
    with serving(settings) as served:
        canvas = served.canvas("")
        for _ in range(12):
            canvas.submit(*(append("Un mot. ") for _ in range(100)))
            served.http.post(f"{canvas.path}:close").raise_for_status()
        page = opened(browser.new_context(), served, canvas.ref)
        page.get_by_role("checkbox", name="Qui a écrit quoi").check()
        expect(page.locator("#authors-legend")).to_contain_text("avant l’historique")
        in_history(page)
        slider = page.get_by_role("slider")
        expect(slider).to_have_value("1200")
        expect(page.locator("#past-text")).not_to_be_empty()
        slider.press("Home")
        expect(page.locator("#past-told")).to_have_text("Le texte du début de l’historique")
        oldest = int(slider.input_value())
        assert 0 < oldest <= 1180
        expect(page.locator("#past-text")).to_have_text("Un mot. " * oldest)


def test_a_replay_writes_the_text_again_and_is_calm_for_who_wants_little_motion(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas(CONTENT)
    texts = written(canvas)
    page = opened(browser.new_context(), demo, canvas.ref)
    dialog = in_history(page)
    shown = page.get_by_role("region", name="Texte de cette version")
    play = dialog.get_by_role("button", name="Rejouer")
    page.evaluate(WATCH_THE_REPLAY)
    play.click()
    wait_for_steps(page, 4)  # the first is where it stood
    expect(play).to_be_visible()
    expect(shown).to_have_text(texts[-1])
    page.emulate_media(reduced_motion="reduce")
    page.clock.install()
    play.click()
    steps = wait_for_steps(page, 7, lambda: page.clock.fast_forward(CALM_STEP_MS // 20))
    assert [seq for _, seq, _ in steps] == [3, 1, 2, 3, 1, 2, 3]
    assert {button for _, _, button in steps} == {"Pause"}
    calm_ms = [ms for ms, _, _ in steps[-3:]]
    assert all(later_ms - ms >= CALM_STEP_MS for ms, later_ms in pairwise(calm_ms))


def test_what_a_job_wrote_is_taken_back_where_it_was_asked_for(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas(CONTENT)
    page = opened(browser.new_context(), demo, canvas.ref)
    expect(page.locator("#generate-model")).not_to_have_value("")
    undo = page.get_by_role("button", name="Annuler ce texte")
    page.locator("#generate-model").select_option("demo demo")
    page.locator("#generate-destination").select_option("end")
    page.locator("#generate-prompt").fill("Une rencontre.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#job-status")).to_have_text("Génération terminée")
    canvas.submit(append("\nEncore."))
    with_job = canvas.text
    undo.click()
    expect(page.locator("#job-undone")).to_contain_text("Ce que d’autres ont écrit est resté.")
    assert canvas.text == CONTENT.rstrip("\n") + "\nEncore." or canvas.text == CONTENT + "\nEncore."
    assert len(canvas.text) < len(with_job)
    undo.click()
    expect(page.locator("#job-undone")).to_have_text("Il ne reste rien de ce travail à annuler.")
    in_history(page)
    expect(page.locator("#past-works li", has_text="génération par demo")).to_have_count(1)


def test_others_that_write_meanwhile_lengthen_the_slider_and_keep_what_they_wrote(
    browser: Browser, demo: Served
) -> None:
    canvas = demo.canvas(CONTENT)
    canvas.submit(replacing("Mira.", "Personne."), headers={"X-Client-Id": "tab-one"})
    page = opened(browser.new_context(), demo, canvas.ref)
    dialog = in_history(page)
    canvas.submit(append("\nPluie."), headers={"X-Client-Id": "tab-two"})
    expect(page.locator("#past-position")).to_have_text("Version 1 sur 2")
    expect(page.locator("#past-works li")).to_have_count(2)
    dialog.get_by_role("button", name="Annuler ce travail").last.click()
    expect(page.locator("#past-status")).to_contain_text("Annulé")
    assert canvas.text == CONTENT + "\nPluie."


def test_a_work_is_taken_back_while_others_write_and_not_one_of_their_words_is_lost(
    browser: Browser, demo: Served
) -> None:
    canvas = demo.canvas(CONTENT)
    agent = {"X-Client-Id": "agent"}
    canvas.submit(*(replacing("Mira.", f"({number}) Mira.") for number in range(80)), headers=agent)
    page = opened(browser.new_context(), demo, canvas.ref)
    in_history(page)
    expect(page.locator("#past-works li")).to_have_count(1)
    with ThreadPoolExecutor(1) as others:
        writing = others.submit(write_everywhere, canvas, 150)
        work = page.locator("#past-works li", has_text="(0)")
        work.get_by_role("button", name="Annuler ce travail").click()
        expect(page.locator("#past-status")).to_contain_text("Annulé")
        words = writing.result()
    expect(page.locator("#text").get_by_role("textbox")).to_contain_text(words[-1])
    assert [word for word in words if word not in canvas.text] == []
    assert re.findall(r"\(\d+\)", canvas.text) == []


def write_everywhere(canvas: Canvas, count: int) -> list[str]:
    """Insert words in front of Mira, between and around those of others; return them."""
    words = [f"[{number}]" for number in range(count)]
    for word in words:
        target = {"type": "text", "text": {"match": "Mira."}}
        operation = {"op_id": op_id(), "action": "insert", "scope": "range", "target": target, "content": word}
        canvas.post({"client_version": canvas.version, **operation}).raise_for_status()
    return words


def test_on_a_narrow_screen_nothing_of_the_history_is_cut_off(browser: Browser, demo: Served) -> None:
    canvas = demo.canvas(CONTENT)
    written(canvas)
    page = opened(browser.new_context(viewport={"width": 360, "height": 700}), demo, canvas.ref)
    page.get_by_role("checkbox", name="Qui a écrit quoi").check()
    in_history(page)
    expect(page.locator("#past-works li")).to_have_count(2)
    assert page.evaluate("document.querySelector('#past-dialog').scrollWidth <= 360")
    for name in ("Rejouer", "Revenir à ce texte", "Fermer"):
        box = page.get_by_role("dialog").get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert box["y"] + box["height"] <= 700


def test_after_a_crash_the_history_and_the_authors_are_those_of_the_text_that_is_there(
    browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    with server(tmp_path) as address:
        path = f"{address}/api/v2/canvas/notes"
        httpx2.put(path, json={"content": "# Notes\n"}).raise_for_status()
        page.goto(f"{address}/#/c/notes")
        connected(page)
        editor = page.locator("#text").get_by_role("textbox")
        page.get_by_role("checkbox", name="Qui a écrit quoi").check()
        editor.press("Control+End")
        page.keyboard.insert_text("Mine.")
        expect(page.locator("#authors-legend")).to_contain_text("vous : 38 %")
        version = httpx2.get(path).json()["version"]
        lost = {"ops": [{**append(" Lost."), "client_version": version}]}
        httpx2.post(f"{path}/ops:stream", json=lost).raise_for_status()
        expect(editor).to_contain_text("Mine. Lost.")
    with server(tmp_path, int(address.rpartition(":")[2])):
        connected(page)
        expect(editor).not_to_contain_text("Lost.", timeout=PATIENCE_MS)
        expect(editor).to_contain_text("Mine.")
        expect(page.locator("#authors-legend")).to_have_text("avant l’historique : 62 %vous : 38 %")
        dialog = in_history(page)
        expect(page.locator("#past-text")).to_have_text("# Notes\nMine.")
        dialog.get_by_role("button", name="Annuler ce travail").click()
        expect(page.locator("#past-status")).to_contain_text("Annulé : −5 caractères.")
        expect(editor).not_to_contain_text("Mine.")


def test_a_reader_sees_the_history_and_no_way_to_change_anything(browser: Browser, asking: Served) -> None:
    owner, reader = person(asking, name="olga"), person(asking, "reader", name="rita")
    ref = owner.canvas(CONTENT, access={"shared_with": {"rita": "read"}})
    owner.write(ref, "Fin.")
    page = signed_in(browser, reader, ref)
    dialog = in_history(page)
    expect(dialog.get_by_role("button", name="Voir")).to_have_count(1)
    expect(dialog.get_by_role("button", name="Annuler ce travail")).to_have_count(0)
    expect(dialog.get_by_role("button", name="Revenir à ce texte")).to_be_hidden()
