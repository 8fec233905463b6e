"""Operations and what they name: JSON, lines of NDJSON, targets, line ends, ids, versions."""

from __future__ import annotations

import json
import re
from typing import Final, cast

import msgspec

from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.content import normalise
from canvas_server.core.document import Document
from canvas_server.core.errors import CanvasError, TooLargeError
from canvas_server.core.event import Ack
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef, is_any_op_id, is_canvas_ref, is_client_id, is_op_id
from canvas_server.core.operation import Continuation, Operation, PositionTarget, check_operation
from canvas_server.core.ports import CanvasKey
from canvas_server.core.submission import Submission
from canvas_server.core.target import Place, locate
from canvas_server.core.version import genesis, parse_cursor, parse_etag, seq_of
from canvas_server.state.room import Room
from canvas_server.web.body import decode
from canvas_server.web.canvases import parse_at
from canvas_server.web.exchange import Exchange
from canvas_server.web.ops import OpsBody, _Lines, _Upload, read_operations
from tests.fuzz.law import LIMITS, Target, parts_of, refused_or, text_of

TEXT: Final = "---\na: b\n---\n\n# One\n\nText 😀, twice: Text\n\n## Two\n\nMore.\n\n# One\n\nAgain\n\n[TOC]\n"
GENESIS: Final = genesis("0123456789abcdef")
AUTHOR: Final = Author("fuzz", "agent", None)
_LINE_MAX: Final = 64
_decode_operation: Final = msgspec.json.Decoder(Operation).decode
_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def canvas_of(text: str) -> Canvas:
    return Canvas(CanvasKey(1), CanvasRef("fuzzed"), "Fuzzed", Document(text, GENESIS), History(GENESIS, 100))


def operations(data: bytes) -> None:
    """What is taken for operations is strict JSON, comes back as it was, and changes a canvas wholly or not at all."""
    read = refused_or(lambda: read_operations(data, LIMITS))
    if read is None:
        return
    json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    again = read_operations(msgspec.json.encode(OpsBody(read)), LIMITS)
    assert again == read
    submit(canvas_of(TEXT), read)


def submit(canvas: Canvas, operations_: tuple[Operation, ...] | list[Operation] | object) -> None:
    """Run operations; the text is one that can be stored, and only an ack changes it."""
    submission = Submission(canvas, AUTHOR, "utf16", LIMITS)
    for operation in cast("list[Operation]", operations_):
        before, version = str(canvas.document.text), canvas.version
        outcome = submission.step(operation, 0)
        canvas.history.trim()
        after = str(canvas.document.text)
        msgspec.json.encode(outcome.event)
        if not (isinstance(outcome.event, Ack) and outcome.changed):
            assert (after, canvas.version) == (before, version)
        assert "\0" not in after
        assert "\r" not in after
        assert canvas.document.text.size_bytes == len(after.encode())


def lines(data: bytes) -> None:
    """However a body arrives, its lines are the same; what is too long is refused however it arrives."""
    sizes, body = data[:4], data[4:]
    whole = _cut([body])
    pieces: list[bytes] = []
    place = 0
    while place < len(body):
        step = 1 + sizes[len(pieces) % len(sizes)] % 32
        pieces.append(body[place : place + step])
        place += step
    assert _cut(pieces) == whole
    told = [line for line in body.split(b"\n") if line.strip()]
    assert whole[0] == told[: len(whole[0])]
    assert whole[1] or whole[0] == told


def _cut(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    cutter, found = _Lines(_LINE_MAX), []
    try:
        for piece in pieces:
            found += list(cutter.feed(piece))
        found += list(cutter.end())
    except TooLargeError:
        # How much of a piece was read before the line that is too long depends on the piece.
        return [line for line in b"".join(pieces).split(b"\n")[: cutter.number - 1] if line.strip()], True
    return found, False


def upload(data: bytes) -> None:
    """A line is an operation, a continuation, or refused; text comes out as it went in, whatever it is cut into."""
    taken = _Upload(
        cast("Exchange", None), cast("Room", None), Submission(canvas_of(""), AUTHOR, "utf16", LIMITS), LIMITS
    )
    submission = Submission(canvas_of(TEXT), AUTHOR, "codepoint", LIMITS)
    for line in data.split(b"\n")[:20]:
        if not line.strip():
            continue
        operation = refused_or(lambda line=line: taken.take(line))  # type: ignore[misc]
        if operation is None:
            return
        json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        submission.step(operation, 0)
        assert "\r" not in str(submission.canvas.document.text)


def line_ends(data: bytes) -> None:
    """CR and CRLF become LF, once; also when a text is streamed, cut anywhere, between CR and LF too."""
    at, text = data[0] if data else 0, text_of(data[1:])[:400]
    whole = normalise(text)
    assert "\r" not in whole
    assert normalise(whole) == whole == re.sub("\r\n?", "\n", text)
    canvas = canvas_of("")
    submission = Submission(canvas, AUTHOR, "utf16", LIMITS)
    size = 1 + at % 7
    pieces = [text[start : start + size] for start in range(0, len(text), size)] or [""]
    first = msgspec.convert(
        {"op_id": "a", "action": "insert", "target": {"type": "position", "position": {"mode": "end"}}}, Operation
    )
    told = [submission.step(msgspec.structs.replace(first, content=pieces[0]), 0)]
    told += [submission.step(Continuation(content=piece), 0) for piece in pieces[1:]]
    assert all(isinstance(outcome.event, Ack) for outcome in told), told
    assert str(canvas.document.text) == whole


def targets(data: bytes) -> None:
    """A target is a place within the text, always the same one, or a miss that says what to do."""
    told, text = parts_of(data, 2)
    canvas = canvas_of(normalise(text_of(text)) or TEXT)
    operation = refused_or(lambda: _checked(b'{"op_id":"a","action":"delete","target":%b}' % told))
    if operation is None:
        return
    document, target = canvas.document, operation.target
    if isinstance(target, PositionTarget):
        submit(canvas, [msgspec.structs.replace(operation, client_version=GENESIS.etag)])
        return
    for subsections in (True, False):
        found = locate(document, canvas.history, target, subsections)
        assert found == locate(document, canvas.history, target, subsections)
        if isinstance(found, Place):
            assert 0 <= found.start <= found.end <= len(document.text)
        else:
            assert found.code.isupper()
            assert found.message
            assert found.hint
            msgspec.json.encode(found)


def _checked(body: bytes) -> Operation:
    operation = decode(_decode_operation, body)
    check_operation(operation, LIMITS, "")
    return operation


def names(data: bytes) -> None:
    """What names something is plain ASCII without a way out of a folder; a version comes back as it was."""
    text = data.decode("latin-1")
    for is_name in (is_canvas_ref, is_op_id, is_any_op_id, is_client_id):
        if is_name(text):
            assert text.isascii()
            assert text.isprintable()
            assert not set(text) & set("/\\ \n:%?#")
            assert text not in (".", "..", "")
    assert is_canvas_ref(text) == (_REF.fullmatch(text) is not None)
    for version in (parse_etag(text), parse_cursor(text)):
        if version is not None:
            assert parse_etag(version.etag) == parse_cursor(version.cursor) == version
            assert seq_of(version.etag) == version.seq
    at = refused_or(lambda: parse_at(text, "at"))
    assert at is None or isinstance(at, int) or parse_at(at.cursor, "at") == at


def _refuse_constant(name: str) -> object:
    raise CanvasError(f"{name} is no JSON")


_OPERATION: Final = (
    b'{"ops":[{"op_id":"a-1","client_version":"W/\\"0-0123456789abcdef\\"","action":"insert","where":"after",'
    b'"target":%b,"content":"x\\r\\ny","scope":"range","options":{"dedent":true,"relative_headings":true},'
    b'"timestamp":1,"meta":{"a":"b"}}]}'
)
_TARGETS: Final = (
    b'{"type":"position","position":{"mode":"end"}}',
    b'{"type":"position","position":{"mode":"offset","offset":5}}',
    b'{"type":"position","position":{"mode":"range","from":1,"to":9}}',
    b'{"type":"heading","heading":{"path":["One","Two"],"level":2,"nth":-1}}',
    b'{"type":"heading","heading":{"heading_id":"one-1"}}',
    b'{"type":"text","text":{"match":"Text","nth":2}}',
    b'{"type":"regex","regex":{"pattern":"(T|m)e?[[:alpha:]]+\\\\b","flags":"ims","nth":1}}',
    b'{"type":"anchor","anchor":{"name":"after_toc"}}',
    b'{"type":"op","op":{"op_id":"a-1.1"}}',
)
_WORDS: Final = (
    *(b"op_id", b"action", b"target", b"client_version", b"content", b"where", b"options", b"scope", b"meta", b"nth"),
    *(b"insert", b"replace", b"delete", b"upsert_section", b"revert", b"inside_start", b"replace_match", b"dedent"),
    *(
        b"\\ud83d",
        b"\\ude00",
        b"\\u0000",
        b"\\r",
        b"NaN",
        b"-1",
        b"1e9",
        b"9007199254740992",
        b"null",
        b"[[",
        b"(?",
        b"\xff",
    ),
)
LINES: Final = (
    b'{"op_id":"a","client_version":"x","action":"insert","target":{"type":"position","position":{"mode":"end"}},'
    b'"content":"one\\r"}\n{"content":"\\ntwo"}\n\n{"content":""}'
)

TARGETS: Final = {
    "operations": Target(operations, tuple(_OPERATION % target for target in _TARGETS), _WORDS),
    "lines": Target(lines, (b"\1\2\3\4" + LINES, b"\0\0\0\0\n\n", b"\7\1\1\1a\nb\r\n" + b"c" * 70), (b"\n", b"\r\n")),
    "upload": Target(upload, (LINES,), (*_WORDS, b"\n")),
    "line-ends": Target(
        line_ends, (b"\0a\r\nb\rc\n", b"\3\r\r\n\n\r", "\1é\r\n😀\r".encode()), (b"\r", b"\n", b"\r\n")
    ),
    "targets": Target(
        targets, (*_TARGETS, *(target + b"\xff" + TEXT.encode() for target in _TARGETS)), (*_WORDS, b"# ", b"\\\\1")
    ),
    "names": Target(
        names,
        (b'W/"12-0123456789abcdef"', b'"3-0123456789abcdef"', b"4-0123456789abcdef", b"17", b"a-1.2", b"notes.md"),
        (b'W/"', b'"', b"-", b".", b"\n", b"0", b"999999999999999999"),
    ),
}
