"""The page where credentials are asked for: coming in, staying in, going out, in a real browser on a real server."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from canvas_server.config.secret import Secret
from canvas_server.config.settings import LogSettings
from canvas_server.core.identity import Role
from tests.serving import IN_MEMORY, Served, append, serving
from tests.web.editor_page import CONTENT as EDITOR
from tests.web.editor_page import type_at_end, wait_text
from tests.web.test_page_files import require

PATIENCE_MS: Final = 15_000
REVOKED_S_MAX: Final = 5.0
ADMIN: Final = "an-admin-token-that-only-tests-have"
AUTH: Final = {"Authorization": f"Bearer {ADMIN}"}
SETTINGS: Final = replace(
    IN_MEMORY, server=replace(IN_MEMORY.server, token=Secret(ADMIN)), log=LogSettings(level="debug", access=True)
)
CONTENT: Final = "# Le port\n\nMira.\n"
DRAFT: Final = "Un brouillon que personne ne doit perdre."
WATCH_POLICY: Final = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


@pytest.fixture(autouse=True)
def closing(browser: Browser) -> Iterator[None]:
    """Leave no window open, so that no test meets another's streams."""
    yield
    for context in browser.contexts:
        context.close()


@pytest.fixture
def asking() -> Iterator[Served]:
    """A server that asks everybody who they are; one for each test, as it counts wrong tokens from an address."""
    with serving(SETTINGS, credentials=True) as running:
        running.http.headers.update(AUTH)
        for name, role in (("ada", "writer"), ("bob", "writer"), ("rea", "reader")):
            add_user(running, name, role)
        yield running


def add_user(served: Served, name: str, role: Role | str) -> None:
    served.http.post("/api/v2/users", json={"name": name, "role": role}).raise_for_status()


def link_for(served: Served, user: str) -> str:
    return str(served.http.post("/api/v2/links", json={"user": user}).raise_for_status().json()["url"])


def token_for(served: Served, user: str, **terms: object) -> str:
    return str(served.http.post("/api/v2/tokens", json={"user": user, **terms}).raise_for_status().json()["token"])


def canvas_of(served: Served, owner: str, **access: object) -> str:
    """Return the ref of a new canvas that somebody owns."""
    ref = served.canvas(CONTENT).ref
    body = {"owner": owner, **access}
    served.http.put(f"/api/v2/canvas/{ref}/access", json=body).raise_for_status()
    return ref


def context_of(browser: Browser, **options: object) -> BrowserContext:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.add_init_script(WATCH_POLICY)
    context.set_default_timeout(PATIENCE_MS)
    return context


def signed_in(context: BrowserContext, served: Served, user: str, ref: str | None = None) -> Page:
    """Come in by a link, and open a canvas."""
    page = context.new_page()
    page.goto(link_for(served, user) + ("" if ref is None else f"&c={ref}"))
    expect_in(page, user)
    if ref is not None:
        connected(page)
    return page


def expect_in(page: Page, user: str) -> None:
    expect(page.locator("#account-summary")).to_have_text(user, timeout=PATIENCE_MS)
    expect(page.locator("#sign-in")).to_be_hidden()


def connected(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "open", timeout=PATIENCE_MS)


def expect_panel(page: Page, why: str) -> None:
    expect(page.locator("#sign-in")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#sign-in-why")).to_contain_text(why)


def paste(page: Page, token: str) -> None:
    page.locator("#sign-in-token").fill(token)
    page.keyboard.press("Enter")


def token_in(page: Page) -> str:
    return str(page.evaluate("JSON.parse(sessionStorage.getItem('canvas.session')).token"))


def addresses_in_history(page: Page) -> list[str]:
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    return [entry["url"] for entry in history["entries"]]


def listeners(served: Served) -> int:
    async def count() -> int:
        return served.manager.listeners

    return served.run(count())


def revoke_sessions(served: Served, user: str) -> None:
    tokens = served.http.get("/api/v2/tokens?all=true").raise_for_status().json()["tokens"]
    for token in tokens:
        if token["user"] == user and token["purpose"] == "session":
            served.http.delete(f"/api/v2/tokens/{token['id']}").raise_for_status()


def wait_until_nobody_listens(served: Served) -> None:
    deadline_s = time.monotonic() + PATIENCE_MS / 1000
    while listeners(served):
        assert time.monotonic() < deadline_s, "a stream goes on after it should have ended"
        time.sleep(0.02)


def test_a_link_opens_the_page_once_and_leaves_no_code_behind(browser: Browser, asking: Served) -> None:
    link, context = link_for(asking, "ada"), context_of(browser)
    code = link.partition("#t=")[2]
    page = context.new_page()
    page.goto(link)
    expect_in(page, "ada")
    assert page.url == f"{asking.url}/"
    assert [address for address in addresses_in_history(page) if code in address] == []
    page.reload()
    expect_in(page, "ada")
    other = context_of(browser).new_page()
    other.goto(link)
    expect_panel(other, "Ce lien a déjà servi")
    assert code not in other.url
    assert [address for address in addresses_in_history(other) if code in address] == []


def test_a_second_tab_comes_in_by_the_first_and_no_other_browser_does(browser: Browser, asking: Served) -> None:
    context = context_of(browser)
    first = signed_in(context, asking, "ada")
    second = context.new_page()
    said: list[str] = []
    second.on("console", lambda message: said.append(message.text))
    second.goto(asking.url)
    expect_in(second, "ada")
    assert token_in(second) == token_in(first)
    assert said == []
    stranger = context_of(browser).new_page()
    stranger.goto(asking.url)
    expect_panel(stranger, "Ce serveur veut savoir qui vous êtes.")


def test_a_tab_at_the_panel_goes_on_when_a_link_is_opened_in_another(browser: Browser, asking: Served) -> None:
    context, ref = context_of(browser), canvas_of(asking, "ada")
    waiting = context.new_page()
    waiting.goto(f"{asking.url}/#/c/{ref}")
    expect_panel(waiting, "Ce serveur veut savoir qui vous êtes.")
    signed_in(context, asking, "ada")
    expect_in(waiting, "ada")
    connected(waiting)
    wait_text(waiting, CONTENT)


def test_a_link_that_is_opened_in_the_very_tab_goes_on_where_it_was(browser: Browser, asking: Served) -> None:
    ref = canvas_of(asking, "ada")
    page = signed_in(context_of(browser), asking, "ada", ref)
    type_at_end(page, DRAFT)
    revoke_sessions(asking, "ada")
    expect_panel(page, "Votre accès a été retiré")
    link = link_for(asking, "ada")
    for _ in range(2):
        page.goto(link)
        expect_in(page, "ada")
        connected(page)
        assert page.url == f"{asking.url}/#/c/{ref}"
    wait_text(page, CONTENT + DRAFT)
    assert [address for address in addresses_in_history(page) if "#t=" in address] == []
    revoke_sessions(asking, "ada")
    expect_panel(page, "Votre accès a été retiré")
    page.goto(link)
    expect_panel(page, "Ce lien a déjà servi")


def test_a_token_is_pasted_and_a_wrong_one_is_told_in_plain_words(browser: Browser, asking: Served) -> None:
    context = context_of(browser)
    page = context.new_page()
    page.goto(asking.url)
    expect_panel(page, "Ce serveur veut savoir qui vous êtes.")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in-failure")).to_have_text("Collez d’abord un jeton.")
    paste(page, "not-a-token")
    expect(page.locator("#sign-in-failure")).to_have_text("Ce jeton n’est pas connu ici. Vérifiez qu’il est entier.")
    page.get_by_role("dialog").get_by_role("button", name="EN, English").click()
    expect(page.locator("#sign-in-failure")).to_have_text("This token is not known here. Check that it is whole.")
    page.get_by_label("For this tab only").check()
    paste(page, token_for(asking, "ada"))
    expect_in(page, "ada")
    page.reload()
    expect_in(page, "ada")
    other = context.new_page()
    other.goto(asking.url)
    expect_panel(other, "This server wants to know who you are.")


def test_an_expired_token_says_so(browser: Browser, asking: Served) -> None:
    page = context_of(browser).new_page()
    page.goto(f"{asking.url}/#/c/{canvas_of(asking, 'ada')}")
    paste(page, token_for(asking, "ada", expires_in_s=8))
    connected(page)
    expect_panel(page, "sa durée est écoulée")


def test_escape_does_not_uncover_a_page_that_answers_nothing(browser: Browser, asking: Served) -> None:
    page = context_of(browser).new_page()
    page.goto(asking.url)
    expect_panel(page, "Ce serveur veut savoir qui vous êtes.")
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(page.locator("#sign-in")).to_be_visible()


def test_signing_out_in_one_tab_signs_out_the_other_and_ends_its_streams(browser: Browser, asking: Served) -> None:
    context, ref = context_of(browser), canvas_of(asking, "ada")
    first = signed_in(context, asking, "ada", ref)
    second = context.new_page()
    second.goto(f"{asking.url}/#/c/{ref}")
    connected(second)
    token = token_in(first)
    type_at_end(second, DRAFT)
    wait_text(first, CONTENT + DRAFT)
    first.locator("#account-summary").click()
    first.locator("#sign-out").click()
    for page in (first, second):
        expect_panel(page, "Vous êtes déconnecté")
        wait_text(page, "")
        expect(page.locator("#title")).to_have_value("")
        assert page.evaluate("sessionStorage.length") == 0
    wait_until_nobody_listens(asking)
    assert asking.http.get("/api/v2/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    paste(second, token_for(asking, "ada"))
    for page in (first, second):
        connected(page)
        wait_text(page, CONTENT + DRAFT)


def test_a_revoked_session_leads_to_the_panel_in_time_and_loses_nothing(browser: Browser, asking: Served) -> None:
    ref = canvas_of(asking, "ada")
    page = signed_in(context_of(browser), asking, "ada", ref)
    page.locator("#generate-prompt").fill(DRAFT)
    page.route("**/ops:stream*", lambda route: route.abort())
    type_at_end(page, DRAFT)
    expect(page.locator("#saving")).to_have_text("Enregistrement…")
    began_s = time.monotonic()
    revoke_sessions(asking, "ada")
    expect_panel(page, "Votre accès a été retiré")
    assert time.monotonic() - began_s < REVOKED_S_MAX
    append_as_admin(asking, ref, "Écrit pendant l’absence.\n")
    page.unroute("**/ops:stream*")
    paste(page, token_for(asking, "ada"))
    connected(page)
    wait_text(page, lambda text: "Écrit pendant l’absence." in text and DRAFT in text)
    expect(page.locator("#generate-prompt")).to_have_value(DRAFT)
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)
    assert DRAFT in asking.http.get(f"/api/v2/canvas/{ref}").json()["content"]


def append_as_admin(served: Served, ref: str, text: str) -> None:
    version = served.http.get(f"/api/v2/canvas/{ref}").json()["version"]
    body = {"ops": [{**append(text), "client_version": version}]}
    assert served.http.post(f"/api/v2/canvas/{ref}/ops:stream", json=body).status_code == 202


def test_what_is_sent_with_a_token_that_is_no_more_waits_and_is_sent_after_signing_in(
    browser: Browser, asking: Served
) -> None:
    """The stream is held back, so that the sending itself is what finds out."""
    page = context_of(browser).new_page()
    page.goto(f"{asking.url}/#/c/{canvas_of(asking, 'ada')}")
    paste(page, token_for(asking, "ada"))
    connected(page)
    revoked = "stale-" + token_in(page)
    page.route(
        "**/ops:stream*",
        lambda route: route.continue_(headers={**route.request.headers, "authorization": f"Bearer {revoked}"}),
        times=1,
    )
    type_at_end(page, "")
    page.keyboard.insert_text(DRAFT)
    expect_panel(page, "Votre accès a été retiré")
    paste(page, token_for(asking, "ada"))
    wait_text(page, CONTENT + DRAFT)
    expect(page.locator("#saving")).to_have_text("Enregistré sur le disque", timeout=PATIENCE_MS)


def test_somebody_else_who_signs_in_finds_nothing_of_the_one_before(browser: Browser, asking: Served) -> None:
    ref = canvas_of(asking, "ada")
    page = signed_in(context_of(browser), asking, "ada", ref)
    type_at_end(page, DRAFT)
    revoke_sessions(asking, "ada")
    expect_panel(page, "Votre accès a été retiré")
    paste(page, token_for(asking, "bob"))
    expect_in(page, "bob")
    expect(page.locator("#notice")).to_contain_text("Il n’y a pas de canvas à cette adresse")
    expect(page.locator("#text")).to_be_empty()


def test_a_token_is_in_no_address_no_storage_but_the_tabs_no_markup_and_no_log(
    browser: Browser, asking: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    context = context_of(browser)
    seen: list[str] = []
    context.on("request", lambda request: seen.append(request.url))
    context.on("console", lambda message: seen.append(message.text))
    context.on("weberror", lambda error: seen.append(str(error.error)))
    ref, token = canvas_of(asking, "ada"), token_for(asking, "ada")
    link = link_for(asking, "ada")
    page = context.new_page()
    page.goto(f"{link}&c={ref}")
    connected(page)
    session = token_in(page)
    second = context.new_page()
    second.goto(f"{asking.url}/docs")
    expect(second.locator("#docs-status")).to_contain_text("opérations")
    third = context_of(browser).new_page()
    third.on("request", lambda request: seen.append(request.url))
    third.goto(f"{asking.url}/#/c/{ref}")
    paste(third, token)
    connected(third)
    for tab in (page, second, third):
        seen += [tab.content(), *addresses_in_history(tab)]
        seen.append(str(tab.evaluate("JSON.stringify(localStorage) + document.cookie")))
        seen += [str(value) for value in tab.evaluate("[...document.querySelectorAll('input')].map((i) => i.value)")]
        assert tab.evaluate("window.violations") == []
    assert context.cookies() == []
    logged = "\n".join(str(vars(record)) for record in caplog.records if not record.name.startswith("http"))
    assert f"/api/v2/canvas/{ref}/access" in logged, "the log of requests is what is looked at"
    seen.append(logged)
    code = link.partition("#t=")[2]
    requested = [where for where in seen if where != link]
    for secret in (session, token, ADMIN):
        assert [where[:200] for where in requested if secret in where] == []
    # The driver reports the address of the document with its fragment, which no request carries.
    assert [where[:200] for where in requested if code in where and "#t=" not in where] == []
    assert code not in logged
    assert [line for line in seen if line.startswith("Refused to") or "Content Security Policy" in line] == []


def test_the_api_page_comes_in_by_the_session_and_saves_its_document(browser: Browser, asking: Served) -> None:
    context = context_of(browser)
    signed_in(context, asking, "ada")
    page = context.new_page()
    page.goto(f"{asking.url}/docs")
    expect(page.locator("#docs-status")).to_contain_text("opérations", timeout=PATIENCE_MS)
    with page.expect_download() as download:
        page.locator("#docs-raw").click()
    assert download.value.suggested_filename == "openapi.json"
    alone = context_of(browser).new_page()
    alone.goto(f"{asking.url}/docs")
    expect_panel(alone, "Ce serveur veut savoir qui vous êtes.")
    paste(alone, token_for(asking, "ada"))
    expect(alone.locator("#docs-status")).to_contain_text("opérations")


def test_a_server_that_asks_for_nothing_shows_no_panel_no_account_and_no_sharing(
    browser: Browser, served: Served
) -> None:
    page = context_of(browser).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{served.url}/#/c/{served.canvas(CONTENT).ref}")
    connected(page)
    expect(page.locator("#delete")).to_be_visible()
    for hidden in ("#sign-in", "#account", "#share", "#read-only"):
        expect(page.locator(hidden)).to_be_hidden()
    assert said == []


def test_a_reader_sees_no_way_to_write_and_is_told_why(browser: Browser, asking: Served) -> None:
    ref = canvas_of(asking, "ada", shared_with={"rea": "write", "bob": "read"})
    reader = signed_in(context_of(browser), asking, "rea", ref)
    guest = signed_in(context_of(browser), asking, "bob", ref)
    expect(reader.locator("#read-only")).to_have_text("Lecture seule : vos droits ne permettent pas d’écrire.")
    expect(reader.locator("#generate-forbidden")).to_be_visible()
    expect(guest.locator("#read-only")).to_contain_text("partagé avec vous sans le droit d’y écrire")
    expect(guest.locator("#generate-prompt")).to_be_visible()
    assert guest.locator("#generate-destination option").count() == 1
    for page in (reader, guest):
        expect(page.locator(EDITOR)).to_have_attribute("aria-readonly", "true")
        for forbidden in ("#rename", "#close", "#delete", "#share"):
            expect(page.locator(forbidden)).to_be_hidden()
        expect(page.locator("#title")).to_have_attribute("readonly", "")
    expect(reader.locator("#create")).to_be_hidden()
    expect(guest.locator("#create")).to_be_visible()


def test_an_owner_shares_with_names_and_mistakes_are_told_where_they_are(browser: Browser, asking: Served) -> None:
    ref = canvas_of(asking, "ada")
    page = signed_in(context_of(browser), asking, "ada", ref)
    page.locator("#share").click()
    dialog = page.get_by_role("dialog", name="Partager ce canvas")
    expect(dialog.get_by_label("Privé")).to_be_checked()
    dialog.get_by_label("Des personnes nommées").check()
    for name, told in (("é", "Un nom a 1 à 64"), ("ada", "appartient à ada"), ("nobody", "")):
        page.locator("#share-new-name").fill(name)
        page.keyboard.press("Enter")
        expect(page.locator("#share-new-failure")).to_contain_text(told)
    page.locator("#share-new-name").fill("bob")
    page.locator("#share-new-may").select_option("write")
    page.locator("#share-yes").click()
    expect(page.locator("#share-people li", has_text="nobody")).to_contain_text("Personne ne s’appelle nobody")
    dialog.get_by_role("button", name="Retirer nobody").click()
    page.locator("#share-yes").click()
    expect(page.locator("#notice")).to_have_text("Le partage est enregistré.")
    access = asking.http.get(f"/api/v2/canvas/{ref}/access").json()
    assert (access["link"], access["shared_with"], access["owner"]) == ("none", {"bob": "write"}, "ada")
    guest = signed_in(context_of(browser), asking, "bob", ref)
    expect(guest.locator(EDITOR)).not_to_have_attribute("aria-readonly", "true")
    page.locator("#share").click()
    dialog.get_by_label("Privé").check()
    page.locator("#share-yes").click()
    expect(guest.locator("#notice")).to_contain_text("L’accès à ce canvas vous a été retiré")
    expect(guest.locator("#sign-in")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_is_used_by_the_keyboard_alone(browser: Browser, asking: Served, scheme: str) -> None:
    context = context_of(browser, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{asking.url}/#/c/{canvas_of(asking, 'ada')}")
    expect_panel(page, "Ce serveur veut savoir qui vous êtes.")
    assert page.evaluate("document.activeElement.id") == "sign-in-token"
    assert is_readable(page, "#sign-in p, #sign-in label, #sign-in h2, #sign-in button")
    page.keyboard.type(token_for(asking, "ada"))
    page.keyboard.press("Enter")
    connected(page)
    page.locator("#account-summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".account-panel")).to_be_visible()
    assert is_readable(page, ".account-panel p, .account-panel li, .account-panel button")
    page.keyboard.press("Escape")
    expect(page.locator(".account-panel")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "account-summary"
    page.locator("#share").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Privé")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Des personnes nommées")).to_be_checked()
    assert is_readable(page, "#share-dialog label, #share-dialog p, #share-dialog button")
    page.keyboard.press("Escape")
    expect(page.locator("#share-dialog")).to_be_hidden()


READABLE: Final = """(selector) => {
  const wide = document.documentElement.scrollWidth > innerWidth;
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  };
  const ground = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return color.endsWith(", 0)") && node.parentElement ? ground(node.parentElement) : color;
  };
  const faults = [...document.querySelectorAll(selector)].filter((node) => {
    if (!node.checkVisibility() || node.textContent === "") return false;
    const box = node.getBoundingClientRect();
    const [ink, under] = [light(getComputedStyle(node).color), light(ground(node))];
    const contrast = (Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05);
    return contrast < 4.5 || box.left < 0 || box.right > innerWidth;
  });
  return [wide, faults.map((node) => node.outerHTML)];
}"""


def is_readable(page: Page, selector: str) -> bool:
    """Tell whether texts differ enough from their ground and none is cut off at the side."""
    is_wide, faults = page.evaluate(READABLE, selector)
    assert faults == []
    return not is_wide
