"""Operations streamed line by line: one request carries a whole answer of a model (PROTOCOL section 3)."""

from __future__ import annotations

import json
from typing import Final

import pytest
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from tests.serving import IN_MEMORY, Canvas, Json, Served, append, insert, op_id, serving
from tests.upload import Answer, Upload

TEXT: Final = "# One\n\n# Two\n\nend\n"
INTO_ONE: Final = {"type": "heading", "heading": {"path": ["One"]}}


@pytest.fixture
def canvas(served: Served) -> Canvas:
    return served.canvas(TEXT)


def upload(canvas: Canvas, query: str = "") -> Upload:
    return Upload(canvas.served.port, f"{canvas.path}/ops:stream{query and '?' + query}")


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def sent(canvas: Canvas, body: bytes) -> Answer:
    """Send a whole body in one piece."""
    with upload(canvas) as request:
        request.send(body)
        return request.end()


def test_each_line_is_applied_as_it_arrives_and_the_answer_comes_after_the_last(canvas: Canvas) -> None:
    with canvas.listen() as listener, upload(canvas) as request:
        listener.expect("snapshot")
        for number in range(3):
            operation = append(str(number), **({} if number else {"client_version": canvas.version}))
            request.line(operation)
            assert listener.next()["op_id"] == operation["op_id"]
        assert canvas.text == TEXT + "012"
        answer = request.end()
    assert answer.status == 202
    assert (answer.body["accepted"], answer.body["ops_count"]) == (True, 3)


@pytest.mark.parametrize("pieces", [("a\r", "\nb\r", "c"), ("a\r", "", "\n", "b\r\n", "c"), ("a", "\r", "\nb\n", "c")])
def test_a_line_end_that_is_cut_between_two_lines_is_one(canvas: Canvas, pieces: tuple[str, ...]) -> None:
    # Found by fuzzing: each half became a newline of its own.
    first, *others = pieces
    operation = append(first, client_version=canvas.version)
    for _ in range(2):
        assert sent(canvas, lines(operation, *({"content": piece} for piece in others))).status == 202
        assert canvas.text == TEXT + "a\nb\nc"


def test_continuation_lines_follow_their_text_wherever_it_is_by_now(canvas: Canvas) -> None:
    """A person types before, after and in front of a section while a model streams into it."""
    first = {"op_id": "answer", "action": "insert", "target": INTO_ONE, "content": "Once", "scope": "section"}
    with canvas.listen() as listener, upload(canvas) as request:
        listener.expect("snapshot")
        request.line({**first, "client_version": canvas.version})
        listener.expect("ack", op_id="answer")
        for number, word in enumerate((" upon", " a", " time"), start=1):
            canvas.submit(insert(0, f"{number}"), append(f"{number}"))
            request.line({"content": word})
            ack = listener.expect("ack", op_id=f"answer.{number}")
            assert [change["insert"] for change in ack["changes"]] == [word]
        answer = request.end()
    assert answer.body["ops_count"] == 4
    assert canvas.text == "321# One\n\nOnce upon a time\n\n# Two\n\nend\n123"


def test_continuations_count_from_one_again_after_each_full_line(canvas: Canvas) -> None:
    body = lines(
        append("a", op_id="first", client_version=canvas.version),
        {"content": "b"},
        append("c", op_id="second"),
        {"content": "d"},
        {"content": "e"},
    )
    assert sent(canvas, body).status == 202
    told = canvas.http.get(f"{canvas.path}/ops").json()["events"]
    assert [event["op_id"] for event in told] == ["first", "first.1", "second", "second.1", "second.2"]
    assert canvas.text == TEXT + "abcde"


@pytest.mark.parametrize("content", ["op_id", '"op_id"', 'the "op_id', '{"op_id": "x"}', '"op_id":', "", "\\"])
def test_a_continuation_may_hold_any_text(canvas: Canvas, content: str) -> None:
    """A token that reads `op_id` once made its line look like an operation."""
    answer = sent(canvas, lines(append("a", client_version=canvas.version), {"content": content}))
    assert answer.status == 202, answer.body
    assert canvas.text == TEXT + "a" + content


def test_a_line_sent_again_with_its_continuations_changes_nothing(canvas: Canvas) -> None:
    body = lines(append("a", op_id="again", client_version=canvas.version), {"content": "b"}, {"content": "c"})
    assert sent(canvas, body).status == 202
    before = canvas.state
    with canvas.listen() as listener:
        listener.expect("snapshot")
        assert sent(canvas, body).status == 202
        assert [(event["op_id"], event["duplicate"]) for event in listener.take(3)] == [
            ("again", True),
            ("again.1", True),
            ("again.2", True),
        ]
    assert canvas.state == before


def test_lines_survive_a_cut_at_every_byte(canvas: Canvas) -> None:
    version = canvas.version
    cut, count = 1, 2
    while cut < count:
        operation = append("ä", op_id=f"cut-{cut}", client_version=version, scope="range")
        body = b"\n%b\r\n \n%b" % (
            json.dumps(operation, ensure_ascii=False).encode(),
            lines({"content": "😀"}, {"content": "z"}),
        )
        with upload(canvas) as request:
            request.send(body[:cut])
            request.send(body[cut:])
            assert request.end().body["ops_count"] == 3, cut
        cut, count = cut + 1, len(body)
    assert canvas.text == TEXT + "ä😀z" * (count - 1)


def test_a_body_may_come_byte_by_byte_and_end_without_a_newline(canvas: Canvas) -> None:
    with upload(canvas) as request:
        for byte in lines(append("a", client_version=canvas.version), {"content": "b"}).rstrip(b"\n"):
            request.send(bytes([byte]))
        assert request.end().body["ops_count"] == 2
    assert canvas.text == TEXT + "ab"


def test_a_line_that_the_room_refuses_is_not_among_the_accepted(canvas: Canvas) -> None:
    first, second = append("a", client_version=canvas.version), append("b", client_version=canvas.version)
    with canvas.listen() as listener, upload(canvas) as request:
        request.line(first)
        listener.expect("ack", op_id=first["op_id"])
        assert canvas.http.delete(canvas.path).status_code == 204
        request.line(second)
        answer = request.answer()
    assert (answer.status, answer.body["line"], answer.body["accepted_ops"]) == (404, 2, 1)


def test_an_empty_body_holds_no_operation_and_is_accepted(canvas: Canvas) -> None:
    for body in (b"\n", b"\n \r\n\n"):
        answer = sent(canvas, body)
        assert (answer.status, answer.body["ops_count"]) == (202, 0)


@pytest.mark.parametrize(
    ("bad", "status", "code", "pointer"),
    [
        (b'{"content":', 400, "INVALID_JSON", None),
        (b"\xff", 400, "INVALID_JSON", None),
        (b"data: x", 400, "INVALID_JSON", None),
        (b"[]", 422, "INVALID_FIELD", ""),
        (b"{}", 422, "INVALID_FIELD", "/content"),
        (b'{"content":5}', 422, "INVALID_FIELD", "/content"),
        (b'{"content":"a","x":1}', 422, "INVALID_FIELD", "/x"),
        (b'{"content":"\\u0000"}', 422, "INVALID_FIELD", "/content"),
        (b'{"op_id":"a b","action":"insert"}', 422, "INVALID_FIELD", "/op_id"),
        (b'{"op_id":"a","action":"jump"}', 422, "INVALID_FIELD", "/action"),
    ],
)
def test_a_line_that_cannot_be_read_ends_the_request_and_tells_its_number(
    canvas: Canvas, bad: bytes, status: int, code: str, pointer: str | None
) -> None:
    good = lines(append("a", client_version=canvas.version), {"content": "b"})
    answer = sent(canvas, good + b"\n" + bad + b"\n" + lines({"content": "never"}))
    assert (answer.status, answer.body["code"], answer.body.get("pointer")) == (status, code, pointer)
    assert (answer.body["line"], answer.body["accepted_ops"]) == (4, 2)
    assert answer.headers["content-type"] == "application/problem+json"
    assert canvas.text == TEXT + "ab"


def test_a_request_must_not_begin_with_a_continuation_or_without_a_version(canvas: Canvas) -> None:
    for line, pointer in (({"content": "a"}, ""), (append("a"), "/client_version")):
        answer = sent(canvas, lines(line))
        assert (answer.status, answer.body["pointer"]) == (422, pointer)
        assert (answer.body["line"], answer.body["accepted_ops"]) == (1, 0)
    assert canvas.text == TEXT


def test_after_a_refused_operation_the_lines_that_follow_are_not_executed(canvas: Canvas) -> None:
    nowhere: Json = {"op_id": op_id(), "action": "delete", "target": {"type": "text", "text": {"match": "nowhere"}}}
    operations = [append("a", client_version=canvas.version), nowhere, {"content": "b"}, append("c")]
    with canvas.listen() as listener:
        listener.expect("snapshot")
        answer = sent(canvas, lines(*operations))
        heard = listener.take(4)
    assert (answer.status, answer.body["ops_count"]) == (202, 4)
    assert [event.type for event in heard] == ["ack", "error", "conflict", "conflict"]
    assert [event["op_id"] for event in heard] == [
        operations[0]["op_id"],
        nowhere["op_id"],
        f"{nowhere['op_id']}.1",
        operations[3]["op_id"],
    ]
    assert [event["reason"] for event in heard[2:]] == ["not_executed", "not_executed"]


def test_other_authors_may_write_between_the_lines_of_one_request(canvas: Canvas) -> None:
    """So a later line that names no version stands on the line before it, and loses in the strict scope."""
    with canvas.listen() as listener, upload(canvas) as request:
        listener.expect("snapshot")
        request.line(append("a", client_version=canvas.version))
        listener.expect("ack")
        canvas.submit(append("b", op_id="between"))
        request.line(append("c", op_id="later"))
        assert listener.expect("conflict")["reason"] == "etag_mismatch"
        assert request.end().status == 202


def test_a_line_longer_than_allowed_ends_the_request() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(ndjson_line_bytes_max=300))) as served:
        canvas = served.canvas(TEXT)
        good = lines(append("a", client_version=canvas.version))
        longest = lines({"content": "x" * 285})
        assert len(longest) == 301
        assert sent(canvas, good + longest).body["ops_count"] == 2
        with upload(canvas) as request:
            request.send(lines(append("b", client_version=canvas.version)))
            request.send(b'{"content": "' + b"x" * 288)
            answer = request.answer()
        assert (answer.status, answer.body["code"]) == (413, "TOO_LARGE")
        assert (answer.body["line"], answer.body["accepted_ops"]) == (2, 1)
        assert canvas.text == TEXT + "a" + "x" * 285 + "b"


def test_silence_ends_the_request_and_what_came_before_stays() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(ndjson_idle_s=0.05))) as served:
        canvas = served.canvas(TEXT)
        with upload(canvas) as request:
            request.line(append("a", client_version=canvas.version))
            request.send(b'{"content": "unfini')
            answer = request.answer()
        assert (answer.status, answer.body["code"], answer.body["accepted_ops"]) == (408, "REQUEST_TIMEOUT", 1)
        assert (answer.body["retryable"], answer.headers["retry-after"]) == (True, "1")
        assert canvas.text == TEXT + "a"


def test_what_a_client_sent_before_it_left_stays_and_its_unfinished_line_does_not(canvas: Canvas) -> None:
    with canvas.listen() as listener:
        listener.expect("snapshot")
        with upload(canvas) as request:
            request.line(append("a", client_version=canvas.version))
            listener.expect("ack")
            request.send(b'{"content": "b"}')
        canvas.submit(append("c", op_id="after"))
        listener.expect("ack", op_id="after")
    assert canvas.text == TEXT + "ac"


def test_offsets_of_lines_are_read_in_the_unit_of_the_request(served: Served) -> None:
    canvas = served.canvas("😀😀")
    with upload(canvas, "unit=codepoint") as request:
        request.line(insert(1, "x", client_version=canvas.version))
        assert request.end().status == 202
    assert canvas.text == "😀x😀"


def test_a_streamed_request_is_not_bound_by_the_size_of_a_json_request() -> None:
    with serving(replace(IN_MEMORY, limits=LimitSettings(body_bytes_max=1000, ops_max=2))) as served:
        canvas = served.canvas("")
        body = lines(append("a", client_version=canvas.version), *({"content": "b" * 50} for _ in range(100)))
        assert sent(canvas, body).body["ops_count"] == 101
        assert len(canvas.text) == 5001
