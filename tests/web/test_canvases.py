"""Canvases as things: create, read, list, title, close, delete (PROTOCOL section 2)."""

from __future__ import annotations

import re
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, op_id, serving

MARKDOWN: Final = {"Accept": "text/markdown"}


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas("# One\n\nfirst 😀\n\n## Two\n\nsecond\n")


def test_a_created_canvas_is_answered_with_its_state(served: Served) -> None:
    answer = served.http.put("/api/v2/canvas/created", json={"title": "A title", "content": "a😀\n"})
    state = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v2/canvas/created"
    assert answer.headers["etag"] == state["version"] == state["checkpoint_version"]
    assert re.fullmatch(r'W/"0-[0-9a-f]{16}"', state["version"])
    shown = {"ref": "created", "title": "A title", "content": "a😀\n", "size_bytes": 6, "length": 4, "unit": "utf16"}
    assert shown.items() <= state.items()
    assert served.http.get("/api/v2/canvas/created").json() == state


def test_a_canvas_can_be_created_without_a_body(served: Served) -> None:
    answer = served.http.put("/api/v2/canvas/bare")
    assert answer.status_code == 201
    assert (answer.json()["title"], answer.json()["content"]) == ("bare", "")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/api/v2/canvas/half-refused"), ("POST", "/api/v2/canvas")])
def test_what_is_refused_for_its_unit_is_not_created(served: Served, method: str, path: str) -> None:
    # The unit was read for the answer only, when the canvas was there already.
    before = served.http.get("/api/v2/canvas").json()
    answer = served.http.request(method, path, params={"unit": "bytes"}, json={"content": "text"})
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_FIELD")
    assert served.http.get("/api/v2/canvas").json() == before


def test_the_server_picks_a_ref_or_takes_the_authors(served: Served) -> None:
    picked = served.http.post("/api/v2/canvas", json={"content": "x"})
    assert picked.status_code == 201
    assert served.http.get(picked.headers["location"], headers=MARKDOWN).text == "x"
    named = served.http.post("/api/v2/canvas", json={"ref": "my-own"})
    assert (named.status_code, named.json()["ref"]) == (201, "my-own")


def test_a_ref_that_is_taken_is_refused_and_nothing_changes(canvas: Canvas) -> None:
    for answer in (
        canvas.http.put(canvas.path, json={"content": "other"}),
        canvas.http.post("/api/v2/canvas", json={"ref": canvas.ref}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "CANVAS_EXISTS")
    assert canvas.text.startswith("# One\n")


@pytest.mark.parametrize("content", ["a\r\nb\rc\n", "a\r\n\r\nb", "\r", "﻿bom"])
def test_line_ends_become_lf_on_entry_and_nothing_else_is_normalised(served: Served, content: str) -> None:
    normal = content.replace("\r\n", "\n").replace("\r", "\n")
    canvas = served.canvas(content)
    canvas.submit(append(content))
    assert canvas.text == normal * 2


def test_a_past_text_can_be_read_by_count_etag_and_cursor(canvas: Canvas) -> None:
    before = canvas.state
    canvas.submit(append("third\n"))
    cursor = before["version"][3:-1]
    for at in ("0", before["version"], cursor):
        answer = canvas.http.get(canvas.path, params={"at": at})
        assert (answer.json()["content"], answer.headers["etag"]) == (before["content"], before["version"])
        assert canvas.http.get(canvas.path, params={"at": at}, headers=MARKDOWN).text == before["content"]


@pytest.mark.parametrize("at", ["7", "0-0123456789abcdef", 'W/"0-0123456789abcdef"'])
def test_a_version_outside_the_history_is_not_found(canvas: Canvas, at: str) -> None:
    answer = canvas.http.get(canvas.path, params={"at": at})
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("at", ["", "-1", "now", "0-XYZ", "9" * 40])
def test_what_is_no_version_is_an_invalid_field(canvas: Canvas, at: str) -> None:
    answer = canvas.http.get(canvas.path, params={"at": at})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/at")


def test_one_section_can_be_read_in_either_unit_and_as_text(canvas: Canvas) -> None:
    wide = canvas.http.get(canvas.path, params={"section": "two"}).json()
    assert (wide["content"], wide["path"], wide["heading_id"]) == ("## Two\n\nsecond\n", ["One", "Two"], "two")
    narrow = canvas.http.get(canvas.path, params={"section": "two", "unit": "codepoint"}).json()
    assert (wide["start"], narrow["start"]) == (17, 16)
    assert canvas.http.get(canvas.path, params={"section": "two"}, headers=MARKDOWN).text == wide["content"]
    assert canvas.http.get(canvas.path, params={"section": "three"}).status_code == 404


def test_a_section_of_the_past_can_be_read(canvas: Canvas) -> None:
    canvas.submit(append("more\n"))
    past = canvas.http.get(canvas.path, params={"section": "two", "at": "0"}).json()
    assert past["content"] == "## Two\n\nsecond\n"


def test_the_length_of_a_canvas_is_told_in_the_unit_asked_for(canvas: Canvas) -> None:
    wide, narrow = (canvas.http.get(canvas.path, params={"unit": unit}).json() for unit in ("utf16", "codepoint"))
    assert wide["length"] == narrow["length"] + 1 == len(canvas.text) + 1


@pytest.mark.parametrize("form", ["{}", "W/{strong}", "{strong}", '"other", {}', "*"])
def test_a_canvas_that_is_known_is_not_sent_again(canvas: Canvas, form: str) -> None:
    etag = canvas.version
    known = form.format(etag, strong=etag.removeprefix("W/"))
    for path in (canvas.path, f"{canvas.path}/outline"):
        answer = canvas.http.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


def test_a_canvas_that_has_changed_is_sent_again(canvas: Canvas) -> None:
    etag = canvas.version
    canvas.submit(append("x"))
    assert canvas.http.get(canvas.path, headers={"If-None-Match": etag}).status_code == 200


def test_text_is_served_with_its_type_and_must_be_asked_for_again(canvas: Canvas) -> None:
    answer = canvas.http.get(canvas.path, headers=MARKDOWN)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-cache", "Accept")


def test_head_tells_what_get_would_without_the_body(canvas: Canvas) -> None:
    for path in (canvas.path, f"{canvas.path}/outline", f"{canvas.path}/ops", "/api/v2/canvas"):
        got, head = canvas.http.get(path), canvas.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers.get("etag") == got.headers.get("etag")


def test_pages_of_the_list_hold_every_canvas_once_newest_first() -> None:
    with serving() as served:
        refs = [served.canvas(title=f"title {number}").ref for number in range(7)]
        pages: list[list[str]] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
            page = served.http.get("/api/v2/canvas", params=query).json()
            pages.append([canvas["ref"] for canvas in page["canvases"]])
            cursor = page["next_cursor"]
            served.canvas(title="in between")
        assert [ref for page in pages for ref in page] == refs[::-1]
        assert [len(page) for page in pages] == [3, 3, 1]


def test_the_list_shows_the_newest_version_and_title(canvas: Canvas) -> None:
    canvas.submit(append("x"))
    canvas.http.patch(canvas.path, json={"title": "New"})
    listed = canvas.http.get("/api/v2/canvas", params={"limit": "200"}).json()["canvases"]
    mine = next(info for info in listed if info["ref"] == canvas.ref)
    assert (mine["version"], mine["title"]) == (canvas.version, "New")
    assert mine["size_bytes"] == len(canvas.text.encode())


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"limit": "١"}, {"cursor": "x"}])
def test_a_page_that_cannot_be_is_an_invalid_field(served: Served, query: dict[str, str]) -> None:
    answer = served.http.get("/api/v2/canvas", params=query)
    assert (answer.status_code, answer.json()["pointer"]) == (422, f"/{next(iter(query))}")


def test_a_title_is_changed_at_once_and_the_version_stays(canvas: Canvas) -> None:
    version = canvas.version
    answer = canvas.http.patch(canvas.path, json={"title": "Überschrift 😀"})
    assert (answer.status_code, answer.json()["title"]) == (200, "Überschrift 😀")
    assert answer.headers["etag"] == version
    assert (canvas.state["title"], canvas.version) == ("Überschrift 😀", version)


@pytest.mark.parametrize("title", ["", "a\nb", "a\0", "x" * 257, 5, None])
def test_a_title_that_cannot_be_is_an_invalid_field(canvas: Canvas, title: object) -> None:
    answer = canvas.http.patch(canvas.path, json={"title": title})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/title")
    assert canvas.state["title"] == canvas.ref


def test_close_answers_the_durable_version_and_the_canvas_opens_again(canvas: Canvas) -> None:
    [ack] = canvas.submit(append("x"))
    answer = canvas.http.post(f"{canvas.path}:close")
    assert (answer.status_code, answer.json()["version"]) == (200, ack["server_version"])
    assert canvas.http.post(f"{canvas.path}:close").json()["version"] == ack["server_version"]
    assert canvas.state["checkpoint_version"] == ack["server_version"]
    assert canvas.outcome(ack["op_id"]) == ack


def test_a_deleted_canvas_is_gone_with_its_history_and_its_ref_is_free(canvas: Canvas) -> None:
    [ack] = canvas.submit(append("x"))
    assert canvas.http.delete(canvas.path).status_code == 204
    for path in (canvas.path, f"{canvas.path}/ops", f"{canvas.path}/outline", f"{canvas.path}/ops:listen"):
        assert canvas.http.get(path).status_code == 404
    assert canvas.http.delete(canvas.path).status_code == 404
    again = canvas.http.put(canvas.path, json={"content": "new"}).json()
    assert (again["content"], again["version"][:4]) == ("new", 'W/"0')
    assert canvas.http.get(f"{canvas.path}/ops/{ack['op_id']}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/outline"),
        ("GET", "/ops"),
        ("GET", "/ops/some-op"),
        ("GET", "/ops:listen"),
        ("POST", "/ops:stream"),
        ("POST", "/ops:preview"),
        ("POST", "/presence"),
        ("POST", ":close"),
    ],
)
@pytest.mark.parametrize("ref", ["never-created", "-bad", "%00", "a%20b", "x" * 129, "%F0%9F%98%80"])
def test_a_canvas_that_is_not_there_is_not_found_whatever_is_asked(
    served: Served, ref: str, method: str, path: str
) -> None:
    bodies: dict[str, Json] = {
        "/ops:stream": {"ops": [append("x", client_version='W/"0-0123456789abcdef"')]},
        "/ops:preview": {"ops": [append("x", client_version='W/"0-0123456789abcdef"')]},
        "/presence": {"ttl_ms": 1},
    }
    body = {"title": "x"} if method == "PATCH" else bodies.get(path)
    answer = served.http.request(method, f"/api/v2/canvas/{ref}{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_a_text_larger_than_a_canvas_may_be_is_refused() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(canvas_bytes_max=10))) as served:
        assert served.canvas("123456789é"[1:]).state["size_bytes"] == 10
        answer = served.http.put("/api/v2/canvas/large", json={"content": "12345678éé"})
        assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
        assert served.http.get("/api/v2/canvas/large").status_code == 404


def test_when_too_many_canvases_are_in_use_one_more_is_refused_with_a_time_to_come_back() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(open_canvases_max=1))) as served:
        first, second = served.canvas("1"), served.canvas("2")
        with first.listen() as listener:
            listener.expect("snapshot")
            answer = served.http.get(second.path)
            assert (answer.status_code, answer.json()["code"]) == (503, "OVERLOADED")
            assert (answer.json()["retryable"], answer.headers["retry-after"]) == (True, "2")
        first.http.post(f"{first.path}:close")
        assert second.text == "2"


def test_an_unknown_op_id_is_not_found(canvas: Canvas) -> None:
    for name in (op_id(), "a.1", "no%20name"):
        answer = canvas.http.get(f"{canvas.path}/ops/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
