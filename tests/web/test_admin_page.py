"""The page of whoever runs the server, in a real browser on a real server; and the status that it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect, sync_playwright

from canvas_server import __version__
from canvas_server.config.settings import CheckpointSettings, LimitSettings, StorageSettings
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.ports import CheckpointRequest
from canvas_server.storage.memory import MemoryCanvasStore
from canvas_server.web.job_bodies import JOBS_PATH
from tests.serving import IN_MEMORY, Json, Served, append, serving
from tests.web.test_metrics import DEMO
from tests.web.test_page_files import require
from tests.web.test_uploads_again import HeldDisk

PATIENCE_MS: Final = 15_000
TILES: Final = 8
LINE: Final = re.compile(r"[\d.]+,[\d.]+( [\d.]+,[\d.]+)+")
"""At least two points."""


class FailingDisk(MemoryCanvasStore):
    """The store that ships, on a disk that can fail."""

    fails = False

    async def save(self, request: CheckpointRequest) -> None:
        if self.fails:
            raise StorageUnavailableError("the disk is full", hint="Free some space.")
        await super().save(request)


def status(served: Served) -> Json:
    answer = served.http.get("/api/v2/status")
    assert answer.status_code == 200
    told: Json = answer.json()
    return told


def test_the_status_tells_the_mode_the_figures_and_the_canvases_that_are_open() -> None:
    with serving() as served:
        one, two = served.canvas("é", title="First"), served.canvas("text")
        before = status(served)
        assert (before["version"], before["durability"], before["ephemeral"]) == (__version__, "checkpoint", True)
        assert (before["ready"], before["store_ready"], before["reasons"]) == (True, True, [])
        assert [canvas["ref"] for canvas in before["canvases"]] == []
        with two.listen() as listener:
            listener.expect("snapshot")
            version = one.submit(append("x"))[0]["server_version"]
            two.submit(append("y", client_version=two.version), append("z", client_version=two.version))
            after = status(served)
            assert [canvas["ref"] for canvas in after["canvases"]] == [two.ref, one.ref], "the busiest is not first"
            first = after["canvases"][1]
            assert 0 < first.pop("age_s") < 60
            assert first == {
                "ref": one.ref,
                "title": "First",
                "version": version,
                "size_bytes": 3,
                "listeners": 0,
                "unsaved_ops": 1,
            }
        figures = after["figures"]
        assert (figures["acks"], figures["conflicts"], figures["errors"]) == (2, 1, 0)
        assert (figures["open_canvases"], figures["listeners"], figures["unsaved_ops"]) == (2, 1, 2)
        assert figures["http_requests"] > before["figures"]["http_requests"]
        assert figures["resident_bytes"] > 10_000_000
        assert after["uptime_s"] > before["uptime_s"]


def test_the_status_tells_of_a_hundred_canvases_at_most() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(open_canvases_max=200))) as served:
        canvases = [served.canvas("x" * number) for number in range(103)]
        for canvas in canvases:
            assert canvas.text is not None
        told = status(served)
        assert told["figures"]["open_canvases"] == 103
        assert [canvas["size_bytes"] for canvas in told["canvases"]] == list(range(102, 2, -1))


def test_the_status_tells_jobs_by_state_and_money_by_provider() -> None:
    with serving(DEMO) as served:
        assert status(served)["spending"] == []
        job = served.http.post(JOBS_PATH, json={"prompt": "Write.", "max_output_tokens": 5}).json()
        served.http.get(job["stream_url"])
        while (told := status(served))["jobs"]["completed"] != 1 or not told["spending"]:
            pass
        assert told["jobs"] == {
            "queued": 0,
            "running": 0,
            "completed": 1,
            "failed": 0,
            "cancelled": 0,
            "interrupted": 0,
        }
        (spent,) = told["spending"]
        assert (spent["provider"], spent["month"], spent["reserved"]) == ("demo", 0, 0)
        assert spent["output_tokens"] > 0
        assert (told["currency"], told["quota_refusals"]) == ("EUR", 0)


def test_with_a_journal_the_status_tells_no_version_that_a_crash_could_undo() -> None:
    disk = HeldDisk()
    with serving(replace(IN_MEMORY, storage=StorageSettings(ephemeral=True, durability="journal")), disk) as served:
        canvas = served.canvas("")
        ack = canvas.submit(append("a"))[0]
        served.loop.call_soon_threadsafe(disk.may_write.clear)
        assert canvas.post(append("b", client_version=ack["server_version"])).status_code == 202
        (told,) = status(served)["canvases"]
        assert (told["version"], told["unsaved_ops"]) == (ack["server_version"], 1)
        served.loop.call_soon_threadsafe(disk.may_write.set)
        assert canvas.state["version"] != ack["server_version"]
        (told,) = status(served)["canvases"]
        assert (told["version"], told["unsaved_ops"]) == (canvas.version, 0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=require("chromium")) as browser,
    ):
        yield browser


def opened(browser: Browser, served: Served, said: list[str], width: int = 1280) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{served.url}/admin")
    expect(page.locator("#admin-server")).to_contain_text(__version__, timeout=PATIENCE_MS)
    return page


def tile(page: Page, title: str) -> str:
    """Return the number of a tile."""
    return page.locator("#admin-tiles .tile", has_text=title).locator(".value").inner_text()


@pytest.mark.browser
@pytest.mark.slow
def test_figures_appear_and_move_and_the_browser_has_nothing_to_complain_of(browser: Browser) -> None:
    said: list[str] = []
    with serving(DEMO) as served:
        canvas = served.canvas("# Notes\n", title="Carnet")
        page = opened(browser, served, said)
        expect(page.locator("#admin-health")).to_contain_text("Tout va bien.")
        expect(page.locator("#admin-canvases-none")).to_be_visible()
        expect(page.locator("#admin-tiles .tile")).to_have_count(TILES)
        assert tile(page, "Lecteurs") == "0"
        with canvas.listen() as listener:
            listener.expect("snapshot")
            canvas.submit(append("x"), append("y"))
            row = page.locator("#admin-rows tr", has_text="Carnet")
            expect(row).to_contain_text(canvas.ref, timeout=PATIENCE_MS)
            assert row.locator("td").all_inner_texts()[0] == "2"
            operations = page.locator("#admin-tiles .tile", has_text="Opérations par seconde")
            expect(operations).to_contain_text("2 appliquées")
            expect(operations.locator(".spark-line")).to_have_attribute("points", LINE)
            expect(page.locator("#admin-tiles .tile", has_text="Lecteurs").locator(".value")).to_have_text("1")
            job = served.http.post(JOBS_PATH, json={"prompt": "Write.", "max_output_tokens": 5}).json()
            served.http.get(job["stream_url"])
            expect(page.locator("#admin-money")).to_contain_text("demo", timeout=PATIENCE_MS)
            expect(page.locator("#admin-money-none")).to_be_hidden()
            page.get_by_role("button", name="EN").click()
            expect(page.locator("#admin-health")).to_contain_text("All is well.")
            expect(page.locator("#admin-tiles")).to_contain_text("Operations per second")
            assert page.title() == "The Canvas server"
            page.locator("#admin-rows a").first.click()
            expect(page.locator("#title")).to_have_value("Carnet", timeout=PATIENCE_MS)
    assert said == []


@pytest.mark.browser
@pytest.mark.slow
def test_what_is_not_well_is_said_in_words_and_so_is_that_it_is_over(browser: Browser) -> None:
    said: list[str] = []
    disk = FailingDisk(0)
    with serving(replace(IN_MEMORY, checkpoint=CheckpointSettings(ops=1, retry_max_s=0.2)), disk) as served:
        canvas = served.canvas("")
        page = opened(browser, served, said)
        disk.fails = True
        canvas.submit(append("x"))
        health = page.locator("#admin-health")
        expect(health).to_contain_text("1 canvas n’a pas pu être sauvegardé", timeout=PATIENCE_MS)
        expect(health).not_to_contain_text("Tout va bien")
        disk.fails = False
        expect(health).to_contain_text("depuis, tout est sauvegardé", timeout=PATIENCE_MS)
    assert said == []
    expect(health).to_contain_text("Le serveur ne répond pas.", timeout=PATIENCE_MS)
    expect(health).to_contain_text("Les derniers chiffres datent de")


@pytest.mark.browser
@pytest.mark.slow
def test_nothing_of_the_page_is_wider_than_a_phone(browser: Browser, served: Served) -> None:
    canvas = served.canvas("x" * 5_000, title="Un titre bien trop long pour la largeur d’un téléphone " * 3)
    assert canvas.text
    page = opened(browser, served, [], width=390)
    expect(page.locator("#admin-rows")).to_contain_text(canvas.ref, timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
