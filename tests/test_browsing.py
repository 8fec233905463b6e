"""The way into a browser: its command line tells nobody the code, and the file that does is gone at the end."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import httpx2
import pytest
from playwright.sync_api import expect, sync_playwright

from canvas_server import browsing
from tests.test_docs import ROOT
from tests.web.test_page_files import require

URL = 'http://127.0.0.1:1/#t=cvs_"code"&c=<b>'


def until(found: Callable[[], str]) -> str:
    """Return what a browser or a server writes, once there is some."""
    end_s = time.monotonic() + 20
    while not (told := found()):
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.02)
    return told


def fake_browser(folder: Path) -> tuple[dict[str, str], Path]:
    """Return the environment in which a browser writes down its command line, and where."""
    program, told = folder / "browser", folder / "argv"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" > "{told}.new" && mv "{told}.new" "{told}"\n')
    program.chmod(0o700)
    return {"BROWSER": f"{program} %s", "DISPLAY": ":99"}, told


def opened(told: Path) -> Path:
    """Return the file that the browser was told to open."""
    argv = until(lambda: told.read_text() if told.exists() else "").splitlines()
    assert "cvs_" not in " ".join(argv)
    assert argv[-1].startswith("file:///")
    return Path(unquote(argv[-1].removeprefix("file://")))


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Path]:
    """Run `serve --open`, and return the file that the browser was told."""
    variables, told = fake_browser(folder)
    command = [sys.executable, "-m", "canvas_server", "serve", "--open", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}) as process:
        try:
            yield opened(told)
        finally:
            process.terminate()
            assert process.wait(15) == 0


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    variables, told = fake_browser(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # What it finds out once is kept for good.
    monkeypatch.setattr("webbrowser._tryorder", None)
    monkeypatch.setattr("webbrowser._browsers", {})
    return told


def test_the_file_is_its_owner_s_alone_and_no_link_of_its_name_is_followed(tmp_path: Path, screen: Path) -> None:
    data_dir, victim = tmp_path / "da ta", tmp_path / "victim"
    data_dir.mkdir()
    victim.write_text("mine")
    for name in ("open.html", "open.html.new"):
        (data_dir / name).symlink_to(victim)
    assert browsing.open_page(URL, data_dir)
    page = opened(screen)
    assert page == data_dir / "open.html"
    assert (mode(page), page.is_symlink(), victim.read_text()) == (0o600, False, "mine")
    assert page.read_text().count("http://127.0.0.1:1/#t=cvs_&quot;code&quot;&amp;c=&lt;b&gt;") == 2
    assert browsing.open_page("http://127.0.0.1:2/", data_dir)
    assert "cvs_" not in page.read_text()


def test_without_a_screen_or_a_folder_nothing_is_opened(
    tmp_path: Path, screen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not browsing.open_page(URL, tmp_path / "absent")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not browsing.open_page(URL, tmp_path)
    assert not (tmp_path / "open.html").exists()
    assert not screen.exists()


def test_the_file_stays_where_another_server_put_it(tmp_path: Path) -> None:
    (tmp_path / "open.html").touch()
    with browsing.opener(tmp_path):
        pass
    assert (tmp_path / "open.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_server_removes_the_file_when_it_stops(tmp_path: Path, *, ephemeral: bool) -> None:
    data_dir = tmp_path / "data"
    with serving(tmp_path, *(["--ephemeral"] if ephemeral else ["--data-dir", str(data_dir)])) as page:
        assert (page.parent == data_dir) is not ephemeral
        assert (mode(page), mode(page.parent)) == (0o600, 0o700)
        assert "#t=" in page.read_text()
    assert not page.exists()
    assert page.parent.exists() is not ephemeral


@pytest.mark.slow
def test_behind_a_proxy_the_file_signs_in_at_this_machine_and_no_link_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANVAS_SERVER_ALLOWED_HOSTS", "canvas.example")
    data_dir = tmp_path / "data"
    with serving(tmp_path, "--behind-proxy", "--data-dir", str(data_dir)) as page:
        url, _, code = page.read_text().partition('href="')[2].partition('"')[0].partition("/#t=")
        answer = httpx2.post(f"{url}/api/v2/sessions", json={"code": code}, trust_env=False)
        assert answer.status_code == 201, answer.text
    told = capfd.readouterr().out
    assert "open it: canvas-server open --print" in told
    assert "#t=" not in told


@pytest.mark.slow
@pytest.mark.browser
def test_the_file_signs_in_and_so_does_that_of_the_command(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(tmp_path, "--data-dir", str(data_dir)) as page, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=require("chromium"))
        tab = chromium.new_page()
        tab.goto(page.as_uri())
        expect(tab.locator("#account-summary")).to_have_text("local", timeout=15_000)
        assert "#t=" not in tab.url
        tab.reload()
        expect(tab.locator("#account-summary")).to_have_text("local", timeout=15_000)

        variables, told = fake_browser(tmp_path)
        told.unlink()
        command = [sys.executable, "-m", "canvas_server", "open", "--data-dir", str(data_dir)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, **variables}
        )
        link = re.search(r"http://\S+/#t=\S+", done.stdout)
        assert link is not None
        assert opened(told) == page
        assert link[0] in page.read_text()
        other = chromium.new_context().new_page()
        other.goto(page.as_uri())
        expect(other.locator("#account-summary")).to_have_text("local", timeout=15_000)
        again = httpx2.post(
            f"{link[0].partition('/#')[0]}/api/v2/sessions",
            json={"code": link[0].partition("#t=")[2]},
            trust_env=False,
        )
        assert again.status_code == 401
        chromium.close()
    assert not page.exists()
