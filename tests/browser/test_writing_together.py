"""Windows of a real browser that write in one canvas at once: nothing that is typed is ever lost, whatever happens.

Pictures of what is seen are kept in `.artifacts/screens`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.servers import Server
from tests.browser.windows import PATIENCE_MS, Window, chromium
from tests.web.client.bad_line import bad_line

REF: Final = "port"
CONTENT: Final = "# Le port\n\n## Personnages\n\nMira.\n\n## Scènes\n\nLe soir.\n\n## Notes\n\nEncore rien.\n"
OFFLINE_S: Final = 30

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        server.create(REF, CONTENT, "Le port")
        yield server


def windows(browser: Browser, server: Server, number: int, ref: str = REF) -> list[Window]:
    """Open windows that share nothing with each other."""
    return [Window(browser.new_context(), server.url, ref).connected() for _ in range(number)]


def agreed(server: Server, opened: Sequence[Window], ref: str = REF) -> str:
    """Wait until all windows and the server have the same text, and return it."""
    deadline_s = time.monotonic() + PATIENCE_MS / 1000
    while True:
        texts = [server.text(ref), *(window.text for window in opened)]
        if len(set(texts)) == 1:
            return texts[0]
        assert time.monotonic() < deadline_s, texts
        opened[0].page.wait_for_timeout(50)


def quiet(opened: Sequence[Window]) -> list[str]:
    """Return what consoles said, but for requests that found nobody."""
    return [line for window in opened for line in window.said if "ERR_" not in line]


def test_two_people_and_a_model_write_at_once(browser: Browser, server: Server) -> None:
    """The first picture of the README: it is taken here."""
    ada, bob = windows(browser, server, 2)
    for window, name in ((ada, "Ada"), (bob, "Bob")):
        window.page.get_by_label("Votre nom").fill(name)
        window.page.get_by_label("Votre nom").press("Enter")
    ada.page.locator("#generate-model").select_option("demo demo-long")
    scenes = ada.page.locator("#generate-destination option", has_text="Scènes").get_attribute("value")
    ada.page.locator("#generate-destination").select_option(scenes)
    ada.page.locator("#generate-prompt").fill("Une rencontre sur le port, le soir.")
    ada.page.locator("#generate-start").click()
    expect(bob.editor).to_contain_text("Ceci est une démonstration", timeout=PATIENCE_MS)
    ada.go_behind("Mira.")
    ada.type(" Elle attend le bateau de sept heures.")
    bob.go_behind("Encore rien.")
    bob.type(" Vérifier l’heure de la marée.")
    expect(ada.page.locator("#job-status")).to_have_text("Génération en cours…")
    expect(ada.page.locator(".cm-editor").get_by_text("Bob")).to_be_visible()
    ada.shoot("two-people-and-a-model-ada")
    bob.shoot("two-people-and-a-model-bob")
    ada.page.locator("#generate-stop").click()
    expect(ada.page.locator("#job-status")).to_have_text("Génération interrompue", timeout=PATIENCE_MS)
    text = agreed(server, [ada, bob])
    assert "Mira. Elle attend le bateau de sept heures.\n" in text
    assert "Encore rien. Vérifier l’heure de la marée.\n" in text
    assert "démonstration" not in text, "what was interrupted is taken back"
    assert quiet([ada, bob]) == []


def test_what_is_typed_in_thirty_seconds_offline_arrives_and_what_others_wrote_is_there(
    browser: Browser, server: Server
) -> None:
    with bad_line() as line:
        line.upstream = int(server.url.rpartition(":")[2])
        ada = Window(browser.new_context(), f"http://127.0.0.1:{line.port}", REF).connected()
        [bob] = windows(browser, server, 1)
        line.fault = "away"
        line.cut()
        ada.expect_connection("reconnecting")
        write_for_long(ada, bob)
        expect(ada.page.locator("#saving")).to_contain_text("en attente")
        line.fault = "none"
        ada.expect_connection("open")
        text = agreed(server, [ada, bob])
    assert "Mira." + "".join(f" a{number};" for number in range(OFFLINE_S)) in text
    assert "Le soir." + "".join(f" b{number};" for number in range(OFFLINE_S)) in text
    assert quiet([ada, bob]) == []


def write_for_long(ada: Window, bob: Window) -> None:
    """Have two people write a little each second, one of whom is offline."""
    ada.go_behind("Mira.")
    bob.go_behind("Le soir.")
    began_s = time.monotonic()
    for number in range(OFFLINE_S):
        ada.type(f" a{number};")
        bob.type(f" b{number};")
        ada.page.wait_for_timeout(max(0.0, (began_s + number + 1 - time.monotonic()) * 1000))
    ada.shoot("offline")


def test_a_server_that_is_killed_while_two_type_costs_them_nothing(browser: Browser, server: Server) -> None:
    """Each kill may make it forget up to ten seconds; whoever wrote them still has them."""
    ada, bob = windows(browser, server, 2)
    ada.go_behind("Mira.")
    bob.go_behind("Le soir.")
    for turn in range(3):
        for number in range(8):
            ada.type(f" a{turn}.{number};")
            bob.type(f" b{turn}.{number};")
            if number == 3:
                server.kill()
            if number == 6:
                server.start()
        ada.expect_connection("open")
        bob.expect_connection("open")
    bob.shoot("after-three-kills")
    text = agreed(server, [ada, bob])
    for line, letter in (("Mira.", "a"), ("Le soir.", "b")):
        written = "".join(f" {letter}{turn}.{number};" for turn in range(3) for number in range(8))
        assert f"\n{line}{written}\n" in text
    assert quiet([ada, bob]) == []


def test_seven_tabs_of_one_browser_are_all_live(browser: Browser, server: Server) -> None:
    """A browser has six connections to a host: with a stream for each tab the seventh could not even send."""
    server.create("other", "Autre.\n", "Autre")
    context = browser.new_context()
    tabs = [Window(context, server.url, REF if number % 2 == 0 else "other").connected() for number in range(7)]
    for number, tab in enumerate(tabs):
        tab.page.bring_to_front()
        tab.write_at_end(f"Onglet {number}.\n")
    port = agreed(server, tabs[0::2])
    other = agreed(server, tabs[1::2], "other")
    assert [line for line in port.splitlines() if "Onglet" in line] == [f"Onglet {number}." for number in (0, 2, 4, 6)]
    assert [line for line in other.splitlines() if "Onglet" in line] == [f"Onglet {number}." for number in (1, 3, 5)]
    tabs[0].page.close()
    tabs[3].write_at_end("Sans le premier.\n")
    tabs[2].write_at_end("Moi aussi.\n")
    assert agreed(server, tabs[2::2]).endswith("Moi aussi.\n")
    assert agreed(server, tabs[1::2], "other").endswith("Sans le premier.\n")
    assert quiet(tabs[1:]) == []


def test_a_canvas_of_a_megabyte_is_written_in_by_two(browser: Browser, server: Server) -> None:
    paragraph = "Une phrase assez longue pour tenir toute une ligne, avec des accents : été, cœur, Noël.\n\n"
    sections = "".join(f"## Partie {number}\n\n{paragraph * 10}" for number in range(1_100))
    server.create("large", f"# Grand\n\n{sections}", "Grand")
    ada, bob = windows(browser, server, 2, "large")
    assert len(ada.text.encode()) > 1_000_000
    ada.write_at_end("La fin d’Ada.")
    bob.editor.press("Control+Home")
    bob.page.keyboard.press("End")
    bob.type(", écrit par Bob")
    text = agreed(server, [ada, bob], "large")
    assert text == f"# Grand, écrit par Bob\n\n{sections}La fin d’Ada."
    ada.shoot("a-megabyte")
    assert quiet([ada, bob]) == []


def test_emoji_and_right_to_left_text_are_written_and_deleted_whole(browser: Browser, server: Server) -> None:
    server.create("signs", "شعر:\n\nFamille : \n\n", "Signes")
    ada, bob = windows(browser, server, 2, "signs")
    ada.go_behind("شعر:")
    ada.type(" السلام عليكم")
    bob.go_behind("Famille : ")
    bob.page.keyboard.insert_text("👨‍👩‍👧‍👦😀é🇫🇷")
    ada.type("!")
    bob.page.keyboard.press("Backspace")
    bob.page.keyboard.press("Backspace")
    bob.type("ê")
    text = agreed(server, [ada, bob], "signs")
    ada.shoot("emoji-and-right-to-left")
    assert text == "شعر: السلام عليكم!\n\nFamille : 👨‍👩‍👧‍👦😀ê\n\n"
    directions = ada.page.locator(".cm-line").evaluate_all(
        "(lines) => lines.map((line) => getComputedStyle(line).direction)"
    )
    assert directions[0] == "rtl"
    assert directions[2] == "ltr"
    assert quiet([ada, bob]) == []
