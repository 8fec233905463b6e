"""What a client should not send: it is refused in words that help, or kept byte for byte, and never breaks anything."""

from __future__ import annotations

import json
import re
import socket
from base64 import b64decode
from pathlib import Path
from typing import Final

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving import Canvas, Json, Served, append, at, insert, op_id
from tests.upload import Upload
from tests.web.test_problems import problem

CORPORA: Final = Path(__file__).parents[3] / "shared" / "corpora"
TEXT: Final = "# One 😀\n\ntext\n"
PRESENCE_BYTES_MAX: Final = 2048
JSON: Final = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


def corpus(name: str) -> str:
    path = CORPORA / name
    if not path.exists():
        pytest.skip(f"the corpus {name} is not beside this repository")
    return path.read_text()


def send(canvas: Canvas, body: bytes, path: str = "/ops:stream", method: str = "POST") -> httpx2.Response:
    return canvas.http.request(method, f"{canvas.path}{path}", content=body, headers=JSON)


def good(canvas: Canvas, **fields: object) -> Json:
    return append("x", client_version=canvas.version, **fields)


@pytest.mark.promise("R30", "R31")
def test_no_file_of_the_json_test_suite_breaks_any_resource_or_changes_the_canvas(canvas: Canvas) -> None:
    """None of the files is a body that we know, so the valid ones are wrong in a field and the others are no JSON."""
    cases = [json.loads(line) for line in corpus("json_test_suite.jsonl").splitlines()]
    before = canvas.state
    for case in cases:
        body = b64decode(case["b64"])
        for path in ("/ops:stream", "/ops:preview", *(["/presence"] if len(body) <= PRESENCE_BYTES_MAX else [])):
            answer = send(canvas, body, path)
            told = (case["name"], path, answer.status_code)
            # An empty object says no presence, and says it well.
            if (path, answer.status_code) == ("/presence", 204):
                assert json.loads(body) == {}, told
                continue
            assert answer.status_code in {"accept": {422}}.get(case["expect"], {400, 422}), told
            problem(answer)
    assert canvas.state == before


@pytest.mark.promise("R31")
def test_json_that_cannot_be_parsed_is_not_accepted_inside_an_operation_either(canvas: Canvas) -> None:
    """What must be rejected is rejected as the value of `content` too; what may be accepted changes one canvas only."""
    before = canvas.state
    for case in (json.loads(line) for line in corpus("json_test_suite.jsonl").splitlines()):
        operation = json.dumps(append("CONTENT", client_version=before["version"])).encode()
        answer = send(
            canvas, b'{"ops":[' + operation.replace(b'"CONTENT"', b64decode(case["b64"])) + b"]}", "/ops:preview"
        )
        assert answer.status_code in (200, 400, 422), case["name"]
        if case["expect"] == "reject":
            assert answer.status_code != 200, case["name"]
    assert canvas.state == before


WRONG: Final[dict[str, tuple[object, str]]] = {
    "no object": ([], ""),
    "no ops": ({}, "/ops"),
    "another field": ({"ops": [], "more": 1}, "/more"),
    "ops that are none": ({"ops": []}, "/ops"),
    "ops that are no list": ({"ops": {}}, "/ops"),
    "an op that is no object": ({"ops": [1]}, "/ops/0"),
}
FIELDS: Final[dict[str, tuple[Json, str]]] = {
    "op_id with a dot": ({"op_id": "a.1"}, "/op_id"),
    "op_id of no characters": ({"op_id": ""}, "/op_id"),
    "op_id too long": ({"op_id": "x" * 65}, "/op_id"),
    "op_id with a newline": ({"op_id": "x\n"}, "/op_id"),
    "op_id of another script": ({"op_id": "é"}, "/op_id"),
    "op_id that is a number": ({"op_id": 5}, "/op_id"),
    "an action there is not": ({"action": "jump"}, "/action"),
    "a scope there is not": ({"scope": "world"}, "/scope"),
    "a where there is not": ({"where": "elsewhere"}, "/where"),
    "a version that is a number": ({"client_version": 5}, "/client_version"),
    "content that is null in an insert": ({"content": None}, "/content"),
    "content that is a list": ({"content": ["x"]}, "/content"),
    "content with NUL": ({"content": "a\0b"}, "/content"),
    "content in a delete": ({"action": "delete", "content": "x"}, "/content"),
    "a field there is not": ({"actor": "somebody"}, "/actor"),
    "a target that is null": ({"target": None}, "/target"),
    "a target there is not": ({"target": {"type": "moon"}}, "/target/type"),
    "a target without its own field": ({"target": {"type": "text"}}, "/target/text"),
    "a position with a field of another": ({"target": at("end", offset=1)}, "/target/position/offset"),
    "a negative offset": ({"target": at("offset", offset=-1)}, "/target/position/offset"),
    "an offset beyond numbers": ({"target": at("offset", offset=2**70)}, "/target/position/offset"),
    "no match": ({"target": {"type": "text", "text": {"match": ""}}}, "/target/text/match"),
    "nth of nothing": ({"target": {"type": "text", "text": {"match": "t", "nth": 0}}}, "/target/text/nth"),
    "flags there are not": (
        {"target": {"type": "regex", "regex": {"pattern": "t", "flags": "x"}}},
        "/target/regex/flags",
    ),
    "a heading without a name": ({"target": {"type": "heading", "heading": {}}}, "/target/heading"),
    "a heading of no titles": ({"target": {"type": "heading", "heading": {"path": []}}}, "/target/heading/path"),
    "an anchor there is not": ({"target": {"type": "anchor", "anchor": {"name": "moon"}}}, "/target/anchor/name"),
    "too many blank lines": ({"options": {"surround_with_blank_lines": 4}}, "/options/surround_with_blank_lines"),
    "an option there is not": ({"options": {"bold": True}}, "/options/bold"),
    "a time that is a text": ({"timestamp": "now"}, "/timestamp"),
    "a time beyond numbers": ({"timestamp": 2**53}, "/timestamp"),
    "meta that is not flat": ({"meta": {"a": {"b": "c"}}}, "/meta/..."),
}


@pytest.mark.parametrize(("body", "pointer"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("path", ["/ops:stream", "/ops:preview"])
def test_a_body_of_the_wrong_shape_is_an_invalid_field(canvas: Canvas, path: str, body: object, pointer: str) -> None:
    told = problem(send(canvas, json.dumps(body).encode(), path))
    assert (told["status"], told["code"], told["pointer"]) == (422, "INVALID_FIELD", pointer)
    assert canvas.text == TEXT


@pytest.mark.parametrize(("fields", "pointer"), FIELDS.values(), ids=FIELDS.keys())
def test_one_wrong_field_refuses_the_whole_request_and_is_pointed_at(
    canvas: Canvas, fields: Json, pointer: str
) -> None:
    body = {"ops": [good(canvas), {**append("y"), **fields}]}
    told = problem(send(canvas, json.dumps(body).encode()))
    assert (told["status"], told["code"], told["pointer"]) == (422, "INVALID_FIELD", f"/ops/1{pointer}")
    assert canvas.text == TEXT


@pytest.mark.parametrize(
    "text", [rb"\ud800", rb"\udfff", rb"\ud83dx", rb"\ude00\ud83d", b"\xed\xa0\x80", b"\xff", b"\xc0\x80"]
)
def test_half_a_character_is_refused_as_an_escape_and_as_bytes(canvas: Canvas, text: bytes) -> None:
    operation = json.dumps(good(canvas)).encode().replace(b'"x"', b'"' + text + b'"')
    for body, path, method in (
        (b'{"ops":[' + operation + b"]}", "/ops:stream", "POST"),
        (b'{"ops":[' + operation + b"]}", "/ops:preview", "POST"),
        (b'{"title":"' + text + b'"}', "", "PATCH"),
    ):
        told = problem(send(canvas, body, path, method))
        assert (told["status"], told["code"]) == (400, "INVALID_JSON")
    with Upload(canvas.served.port, f"{canvas.path}/ops:stream") as upload:
        upload.send(operation + b"\n")
        assert upload.end().status == 400
    assert canvas.text == TEXT


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"ops":' * 50_000, b'{"ops":[{"meta":' + b'{"a":' * 100_000])
def test_a_body_nested_without_end_is_refused(canvas: Canvas, deep: bytes) -> None:
    told = problem(send(canvas, deep))
    assert told["status"] in (400, 422)


@pytest.mark.parametrize(
    "body", [b"", b" ", b"null", b"true", b"5", b'"ops"', b"\xef\xbb\xbf{}", b"NaN", b"{'ops':[]}"]
)
def test_a_body_that_is_no_object_is_refused(canvas: Canvas, body: bytes) -> None:
    for path in ("/ops:stream", "/ops:preview", "/presence"):
        assert problem(send(canvas, body, path))["status"] in (400, 422)


def test_a_body_that_is_never_finished_applies_nothing(canvas: Canvas) -> None:
    body = json.dumps({"ops": [good(canvas)]}).encode()
    fields = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    head = b"POST %b/ops:stream HTTP/1.1\r\n%b" % (canvas.path.encode(), fields)
    for cut in (0, 1, len(body) - 1):
        with socket.create_connection(("127.0.0.1", canvas.served.port)) as sock:
            sock.sendall(head + body[:cut])
    assert canvas.text == TEXT


@pytest.mark.parametrize("client_id", ["a b", "é", "x" * 65, "a.b", ""])
def test_a_client_id_that_cannot_be_refuses_the_request(canvas: Canvas, client_id: str) -> None:
    answer = canvas.http.post(
        f"{canvas.path}/ops:stream", json={"ops": [good(canvas)]}, headers={b"X-Client-Id": client_id.encode()}
    )
    assert problem(answer)["code"] == "INVALID_FIELD"
    assert canvas.text == TEXT


def kept(served: Served, content: str) -> None:
    """Send a text through a preview, an operation, a streamed line and a creation; it must come out as it went in."""
    canvas = served.canvas(content)
    assert canvas.text == content
    with canvas.listen() as listener:
        assert listener.expect("snapshot")["content"] == content
        operation = insert(0, content, client_version=canvas.version)
        [event] = canvas.http.post(f"{canvas.path}/ops:preview", json={"ops": [operation]}).json()["events"]
        assert [change["insert"] for change in event["changes"]] == [content]
        [ack] = canvas.submit(operation)
        assert listener.next().data == ack
        with Upload(served.port, f"{canvas.path}/ops:stream") as upload:
            upload.line({**append(content, op_id=op_id()), "client_version": ack["server_version"]})
            assert upload.end().status == 202
        assert listener.next()["changes"][0]["insert"] == content
    assert canvas.text == content * 3
    assert canvas.state["content"] == content * 3


@pytest.mark.promise("R32")
def test_naughty_strings_are_kept_byte_for_byte(served: Served) -> None:
    strings = json.loads(corpus("blns.json"))
    kept(served, "\n".join(re.sub("[\0\r]", "", string) for string in strings))
    for string in (string for string in strings if not string.isascii() and "\r" not in string):
        kept(served, string)


@pytest.mark.parametrize(
    "text", ["שלום ‮עולם‬", "مرحبا", "\u202eabc\u202c", "e\u0301", "\ufeff", "\u2028\u2029", "\x7f\x1b[31m", "👩‍👩‍👧"]
)
def test_text_of_any_direction_and_form_is_kept_byte_for_byte(served: Served, text: str) -> None:
    kept(served, text)


@given(content=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=20))
def test_any_text_is_kept_byte_for_byte_however_json_writes_it(served: Served, content: str) -> None:
    canvas = served.canvas("")
    version = canvas.version
    for ascii_only in (True, False):
        body = json.dumps({"ops": [append(content, client_version=version, scope="range")]}, ensure_ascii=ascii_only)
        assert send(canvas, body.encode()).status_code == 202
    assert canvas.text == content * 2
