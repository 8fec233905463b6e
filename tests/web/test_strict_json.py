"""JSON is strict, wherever it comes in: what two parsers could read differently is refused, and nothing is applied."""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.proof.findings import Findings
from tests.serving import Canvas, Served, append
from tests.web.answers import Told, asked, judged, request
from tests.web.corpora import json_cases

TEXT: Final = "# One\n\ntext\n"
JSON: Final = {b"Content-Type": b"application/json"}
NDJSON: Final = {b"Content-Type": b"application/x-ndjson"}

AMBIGUOUS: Final = {
    "NaN": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "half a surrogate pair": rb'"\ud800"',
    "the other half": rb'"\udc00"',
    "a pair the wrong way round": rb'"\udc00\ud800"',
    "half a pair in UTF-8": b'"\xed\xa0\x80"',
    "an overlong slash": b'"\xc0\xaf"',
    "no UTF-8": b'"\xff"',
    "NUL as an escape": rb'"\u0000"',
    "NUL as it is": b'"\0"',
    "a newline as it is": b'"a\nb"',
    "an escape there is not": rb'"\x41"',
    "single quotes": b"'x'",
    "a comment": b'"x" /* y */',
    "a trailing comma": b'"x",',
    "two values": b'"x" "y"',
}
"""In place of a text."""

NUMBERS: Final = {
    "2^53": b"9007199254740992",
    "-2^53": b"-9007199254740992",
    "2^63": b"9223372036854775808",
    "2^64": b"18446744073709551616",
    "a hundred digits": b"9" * 100,
    "a number too large for any": b"1e999",
    "a fraction": b"1.5",
    "a leading zero": b"01",
    "a plus": b"+1",
    "hexadecimal": b"0x10",
    "a text": b'"1"',
    "true": b"true",
    "NaN": b"NaN",
}
"""In place of a time stamp."""

DEEP: Final = {
    "arrays": lambda depth: b"[" * depth + b"]" * depth,
    "objects": lambda depth: b'{"a":' * depth + b"1" + b"}" * depth,
    "meta": lambda depth: b'{"ops":[{"meta":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}]}",
    "never closed": lambda depth: b"[" * depth,
}


@pytest.fixture(scope="module")
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


def refused(canvas: Canvas, fields: dict[bytes, bytes], body: bytes, method: bytes = b"POST", path: str = "") -> None:
    """Ask, and check that it was refused in the words of the protocol and changed nothing."""
    told: Told = asked(canvas.served.port, request(method, f"{canvas.path}{path}".encode(), fields, body))
    assert told.code in ("INVALID_JSON", "INVALID_FIELD"), (body[:100], told)


def operation(canvas: Canvas, place: str, value: bytes) -> bytes:
    """Return an operation with raw JSON at a place."""
    known = append("CONTENT", client_version=canvas.version, timestamp=123456, meta="META")
    given = {'"META"': b"{}", place: value}
    sent = json.dumps(known).encode()
    for one, raw in given.items():
        sent = sent.replace(one.encode(), raw)
    return sent


@pytest.mark.promise("R31")
@pytest.mark.parametrize("value", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_text_that_could_be_read_in_two_ways_is_refused_wherever_it_comes_in(canvas: Canvas, value: bytes) -> None:
    one = operation(canvas, '"CONTENT"', value)
    refused(canvas, JSON, b'{"ops":[' + one + b"]}", path="/ops:stream")
    refused(canvas, JSON, b'{"ops":[' + one + b"]}", path="/ops:preview")
    refused(canvas, NDJSON, one + b"\n", path="/ops:stream")
    refused(canvas, JSON, b'{"content":' + value + b"}", b"PUT", "-another")
    refused(canvas, JSON, b'{"title":' + value + b"}", b"PATCH")
    for field in (b"name", b"section"):
        refused(canvas, JSON, b'{"' + field + b'":' + value + b"}", path="/presence")
    for meta in (b'{"a":%b}', b'{%b:"a"}'):
        one = operation(canvas, '"META"', meta % value)
        refused(canvas, JSON, b'{"ops":[' + one + b"]}", path="/ops:stream")
    assert canvas.text == TEXT


@pytest.mark.promise("R31")
@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_a_number_that_could_be_read_in_two_ways_is_refused(canvas: Canvas, value: bytes) -> None:
    one = operation(canvas, "123456", value)
    refused(canvas, JSON, b'{"ops":[' + one + b"]}", path="/ops:stream")
    refused(canvas, NDJSON, one, path="/ops:stream")
    assert canvas.text == TEXT


@pytest.mark.promise("R31")
@pytest.mark.parametrize("shape", DEEP)
@pytest.mark.parametrize("depth", [33, 1_000, 100_000])
def test_what_is_nested_deeper_than_anything_we_know_is_refused(canvas: Canvas, shape: str, depth: int) -> None:
    body = DEEP[shape](depth)
    for path in ("/ops:stream", "/ops:preview"):
        refused(canvas, JSON, body, path=path)
    refused(canvas, JSON, body, b"PATCH")
    assert canvas.text == TEXT


@pytest.mark.promise("R31")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_json_in_another_encoding_is_refused(canvas: Canvas, encoding: str) -> None:
    body = json.dumps({"ops": [append("é", client_version=canvas.version)]}, ensure_ascii=False).encode(encoding)
    refused(canvas, JSON, body, path="/ops:stream")
    assert canvas.text == TEXT


@pytest.mark.promise("R31")
def test_every_file_of_the_json_test_suite_is_read_as_it_must_be(canvas: Canvas, findings: Findings) -> None:
    """A file that is JSON is wrong in a field only; as the value of a field of any type it must be read just so."""
    before, wrong = canvas.state, []
    for case in json_cases():
        answer = canvas.http.post(
            f"{canvas.path}/ops:preview", content=case.body, headers={"Content-Type": "application/json"}
        )
        code = judged(answer.status_code, str(answer.headers).encode(), answer.content)
        if case.expect == "accept" and code != "INVALID_FIELD":
            wrong.append(case.name)
        if case.expect == "reject" and code not in ("INVALID_JSON", "INVALID_FIELD"):
            wrong.append(case.name)
    findings.tell("R31", "files of the JSON test suite", len(json_cases()), f"{len(wrong)} wrong")
    assert len(json_cases()) > 300
    assert not wrong
    assert canvas.state == before
