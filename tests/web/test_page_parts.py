"""The page in a handful of files: joined, made of the scripts that are there, zipped, and never older than they are."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from canvas_server.web.page import Page
from tests.serving import Served

WEB = Path(__file__).parents[2] / "canvas_server" / "web"


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """The files of the page and the client, and a bundle that was made of them."""
    for folder in ("page", "client"):
        shutil.copytree(WEB / folder, tmp_path / folder, ignore=shutil.ignore_patterns("_built"))
    hashes = {
        f"{folder}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("page", "client")
        for path in (tmp_path / folder).glob("*.js")
    }
    built = tmp_path / "page" / "_built"
    built.mkdir()
    (built / "codemirror.js").write_text("/* the editor */")
    (built / "main.js").write_text("/* all of it */")
    (built / "part-ONE.js").write_text("/* a part */")
    (built / "scripts.json").write_text(json.dumps({"parts": ["main.js", "part-ONE.js"], "made_of": hashes}))
    return tmp_path


def preloaded(page: Page) -> list[bytes]:
    return re.findall(rb'rel="modulepreload" href="/([\w./]+)"', page._files["index.html"].content)


def test_what_was_made_of_the_scripts_takes_their_place(web: Path) -> None:
    page = Page(web)
    assert page._files["main.js"].content == b"/* all of it */"
    assert page._files["part-ONE.js"].content == b"/* a part */"
    assert preloaded(page) == [b"page/codemirror.js"]


def test_what_was_made_of_an_older_script_is_not_used(web: Path) -> None:
    """Whoever changes a script of the page sees the change, without building anything."""
    (web / "page" / "room.js").write_text("/* changed */")
    page = Page(web)
    assert page._files["main.js"].content == (web / "page" / "main.js").read_bytes()
    assert "part-ONE.js" not in page._files
    assert b"page/room.js" in preloaded(page)


def test_without_the_editor_the_scripts_are_used_as_they_are(web: Path) -> None:
    (web / "page" / "_built" / "codemirror.js").unlink()
    assert Page(web)._files["main.js"].content == (web / "page" / "main.js").read_bytes()


def test_all_styles_of_the_page_are_one_file_in_their_order(web: Path) -> None:
    names = re.findall(r'rel="stylesheet" href="/page/([\w.]+)"', (web / "page" / "index.html").read_text())
    page = Page(web)
    assert len(names) > 5
    assert page._files["all.css"].content == b"\n".join((web / "page" / name).read_bytes() for name in names)
    assert re.findall(rb'rel="stylesheet" href="/page/([\w.]+)"', page._files["index.html"].content) == [b"all.css"]


def test_a_file_is_zipped_for_whoever_takes_that_and_each_form_has_its_etag(served: Served) -> None:
    plain = served.http.get("/page/style.css", headers={"Accept-Encoding": "identity"})
    with served.http.stream("GET", "/page/style.css", headers={"Accept-Encoding": "gzip, br"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert (answer.headers["content-encoding"], gzip.decompress(raw)) == ("gzip", plain.content)
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != answer.headers["etag"]
    assert plain.headers["vary"] == answer.headers["vary"] == "Accept-Encoding"
    told = {"Accept-Encoding": "gzip", "If-None-Match": answer.headers["etag"]}
    assert served.http.get("/page/style.css", headers=told).status_code == 304
