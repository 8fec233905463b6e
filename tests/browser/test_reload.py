"""Windows that are reloaded or closed while the line is cut: what was typed in them is there afterwards, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from tests.browser.servers import Server
from tests.browser.test_writing_together import CONTENT, REF, agreed, quiet
from tests.browser.windows import Window, chromium
from tests.web.client.bad_line import BadLine, bad_line

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


@pytest.fixture
def line(server: Server) -> Iterator[BadLine]:
    with bad_line() as line:
        line.upstream = int(server.url.rpartition(":")[2])
        yield line


def write_offline(window: Window, line: BadLine, other: Window) -> None:
    """Cut the line while one types, and have somebody else type meanwhile."""
    window.go_behind("Mira.")
    window.type(" Avant,")
    line.fault = "lost answer"
    window.type(" pendant,")
    window.page.wait_for_timeout(300)
    line.fault = "away"
    line.cut()
    window.expect_connection("reconnecting")
    window.type(" après.")
    other.go_behind("Le soir.")
    other.type(" Il pleut.")


def reload_in_vain(window: Window) -> None:
    with pytest.raises(Error):
        window.page.reload()
    window.page.wait_for_url("chrome-error://chromewebdata/")


def test_what_was_typed_before_a_reload_without_a_network_is_there_once(
    browser: Browser, server: Server, line: BadLine
) -> None:
    ada = Window(browser.new_context(), f"http://127.0.0.1:{line.port}", REF).connected()
    bob = Window(browser.new_context(), server.url, REF).connected()
    write_offline(ada, line, bob)
    reload_in_vain(ada)
    line.fault = "none"
    ada.page.goto(f"http://127.0.0.1:{line.port}/#/c/{REF}")
    ada.connected()
    text = agreed(server, [ada, bob])
    assert "\nMira. Avant, pendant, après.\n" in text
    assert "\nLe soir. Il pleut.\n" in text
    assert text.count("pendant") == 1
    assert quiet([bob]) == []
    ada.page.wait_for_function("() => !Object.keys(localStorage).some((key) => key.startsWith('canvas-server:'))")


def test_another_tab_takes_over_what_a_closed_one_left_and_nothing_of_one_that_lives(
    browser: Browser, server: Server, line: BadLine
) -> None:
    context = browser.new_context()
    url = f"http://127.0.0.1:{line.port}"
    ada, also_ada = Window(context, url, REF).connected(), Window(context, url, REF).connected()
    bob = Window(browser.new_context(), server.url, REF).connected()
    write_offline(ada, line, bob)
    ada.page.close()
    also_ada.go_behind("Encore rien.")
    also_ada.type(" Toujours rien.")
    also_ada.page.wait_for_timeout(500)
    next_ada = Window(context, "about:blank?", REF)
    line.fault = "none"
    next_ada.page.goto(f"{url}/#/c/{REF}")
    next_ada.connected()
    text = agreed(server, [also_ada, next_ada, bob])
    assert "\nMira. Avant, pendant, après.\n" in text
    assert "\nEncore rien. Toujours rien.\n" in text
    assert text.count("pendant") == text.count("Toujours") == 1


def test_what_has_no_place_any_more_is_shown(browser: Browser, server: Server, line: BadLine) -> None:
    ada = Window(browser.new_context(), f"http://127.0.0.1:{line.port}", REF).connected()
    line.fault = "away"
    line.cut()
    ada.expect_connection("reconnecting")
    ada.go_behind("Mira.")
    ada.type(" Perdu ?")
    reload_in_vain(ada)
    server.delete(REF)
    server.create(REF, "Tout autre.\n", "Autre")
    line.fault = "none"
    ada.page.goto(f"http://127.0.0.1:{line.port}/#/c/{REF}")
    expect(ada.page.get_by_role("dialog").get_by_role("textbox")).to_have_value(" Perdu ?")
    ada.page.get_by_role("dialog").get_by_role("button").click()
    ada.connected()
    assert ada.text == "Tout autre.\n"
