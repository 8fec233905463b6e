"""Takes the pictures of the documents: `python -m scripts.screenshots`. It needs Chromium, and takes half a minute.

A server of its own, two windows, and the model `demo`, which needs no key.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import Browser, ViewportSize, expect

from tests.browser.servers import Server
from tests.browser.windows import PATIENCE_MS, Window, chromium

IMAGES: Final = Path(__file__).parents[1] / "canvas_server" / "docs" / "images"
REF: Final = "le-port"
CONTENT: Final = """# Le port

Notes pour le premier chapitre.

## Personnages

- **Mira**, passeuse.
- **Yann**, gardien du phare.

## Scènes

Le soir, sur la jetée.

## À vérifier

La marée, l'heure.
"""
SCREEN: Final[ViewportSize] = {"width": 1200, "height": 860}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_SIDE_BY_SIDE: Final = """<!doctype html>
<body style="margin: 0; display: flex; gap: 16px; background: #cbc8c0; padding: 16px">%s</body>"""
_IMAGE: Final = (
    '<img alt="" src="data:image/png;base64,%s" style="width: 50%%; min-width: 0; box-shadow: 0 1px 6px #0006">'
)


def main() -> None:
    """Take all pictures anew."""
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, Server(Path(folder)) as server, chromium() as browser:
        server.create(REF, CONTENT, "Le port")
        ada, bob = (_window(browser, server, name) for name in ("Ada", "Bob"))
        _ask(ada)
        ada.go_behind("passeuse.")
        ada.type(" Elle attend le bateau de sept heures.")
        bob.go_behind("La marée, l'heure.")
        bob.type(" Demander à Yann.")
        expect(ada.page.locator(".cm-editor").get_by_text("Bob")).to_be_visible(timeout=PATIENCE_MS)
        ada.page.wait_for_timeout(1_500)
        _side_by_side(browser, "together", 1_800, [window.page.screenshot() for window in (ada, bob)])
        ada.page.locator("#generate-stop").click()
        _phone(browser, server)


def _window(browser: Browser, server: Server, name: str) -> Window:
    context = browser.new_context(viewport=SCREEN, device_scale_factor=1.5, locale="fr-FR")
    window = Window(context, server.url, REF).connected()
    box = window.page.get_by_label("Votre nom")
    box.fill(name)
    box.press("Enter")
    return window


def _ask(window: Window) -> None:
    page = window.page
    page.locator("#generate-model").select_option("demo demo-long")
    place = page.locator("#generate-destination option", has_text="Scènes").get_attribute("value")
    page.locator("#generate-destination").select_option(place)
    page.locator("#generate-prompt").fill("Une rencontre sur la jetée, sous la pluie.")
    page.locator("#generate-start").click()
    expect(window.editor).to_contain_text("démonstration", timeout=PATIENCE_MS)


def _phone(browser: Browser, server: Server) -> None:
    shots = []
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport=PHONE, color_scheme=scheme, locale="fr-FR")
        shots.append(Window(context, server.url, REF).connected().page.screenshot())
        context.close()
    _side_by_side(browser, "phone", 860, shots)


def _side_by_side(browser: Browser, name: str, width: int, shots: Sequence[bytes]) -> None:
    page = browser.new_page(viewport={"width": width, "height": 100})
    page.set_content(_SIDE_BY_SIDE % "".join(_IMAGE % b64encode(shot).decode() for shot in shots))
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)


if __name__ == "__main__":
    main()
