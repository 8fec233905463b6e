"""Paths, queries and header fields, through the whole application: never a fault, and no reading changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_from_bytes

from tests.door import Answer, Asked
from tests.fuzz.law import Target, parts_of
from tests.fuzz.rooms import TEXT, TOKEN, rooms
from tests.web.answers import judged

_CANVAS: Final = b"/api/v2/canvas/asked"
_QUERIED: Final = (
    _CANVAS,
    _CANVAS + b"/ops",
    _CANVAS + b"/outline",
    _CANVAS + b"/ops:listen",
    b"/api/v2/ops:listen",
    b"/api/v2/canvas",
    b"/api/v1/costs/usage",
    b"/api/v1/costs/entries",
    b"/api/v1/dialogues/generate/jobs",
)
_NAMED: Final = (
    b"%b",
    b"/api/v2/canvas/%b",
    _CANVAS + b"/ops/%b",
    b"/api/v1/presets/%b",
    b"/api/v1/dialogues/%b",
    b"/page/%b",
)
_FORWARDED: Final = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-forwarded-proto", b"x-forwarded-host", b"via")


def _ask(target: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    return rooms().ask(Asked("GET", target, headers))


def _unchanged() -> None:
    state = _ask(_CANVAS, (b"accept", b"text/markdown"))
    assert (state.status, state.body) == (200, TEXT.encode())


def query(data: bytes) -> None:
    """A query is read or refused; the same one is answered the same."""
    where, told = (data[0] if data else 0) % len(_QUERIED), data[1:]
    raw = _visible(told)
    first = _ask(_QUERIED[where] + b"?" + raw)
    assert judged(first.status, first.head, first.body) in ("", "INVALID_FIELD", "NOT_FOUND", "FORBIDDEN")
    assert _ask(_QUERIED[where] + b"?" + raw).status == first.status
    _unchanged()


def path(data: bytes) -> None:
    """A path leads to what it names, or to nothing; never out of a folder."""
    where, told = (data[0] if data else 0) % len(_NAMED), data[1:]
    answer = _ask(_NAMED[where] % b"/".join(quote_from_bytes(part, safe="").encode() for part in told.split(b"/")))
    assert b"root:" not in answer.body
    assert b"[project]" not in answer.body
    _unchanged()


def last_event_id(data: bytes) -> None:
    """Wherever a reader says that it was, it is told where to go on or to begin again, on one canvas and on many."""
    text = _field(data)
    for target in (_CANVAS + b"/ops:listen", b"/api/v2/ops:listen?ref=asked"):
        by_header = _ask(target, (b"last-event-id", text))
        assert by_header.is_stream
        assert by_header.body.startswith(b"retry: ")
        mark = b"&" if b"?" in target else b"?"
        by_query = _ask(target + mark + b"last_event_id=" + quote_from_bytes(text).encode())
        assert by_query.is_stream or by_query.status == 422
    _unchanged()


def if_none_match(data: bytes) -> None:
    """An ETag fits or does not; the text is there unless it fits."""
    for target in (_CANVAS, _CANVAS + b"/outline"):
        answer = _ask(target, (b"if-none-match", _field(data)), (b"accept", _field(data[::-1])))
        assert answer.status in (200, 304)
        assert bool(answer.body) == (answer.status == 200)


def authorization(data: bytes) -> None:
    """Only the very token lets somebody in; without one everybody is `local`, where nobody is asked."""
    told = _field(data)
    answer = _ask(b"/api/v1/costs/usage", (b"authorization", told))
    scheme, _, token = told.partition(b" ")
    known = scheme.lower() == b"bearer" and token.strip() in (TOKEN.encode(), b"b" * 32)
    assert (answer.status == 200) == known, (told, answer.status)
    assert known or judged(answer.status, answer.head, answer.body) in ("AUTH_REQUIRED", "RATE_LIMITED")


def forwarded(data: bytes) -> None:
    """Who asks is nobody's to say in a header of a proxy that is not configured: the answer is as it is without."""
    which, told = (data[0] if data else 0) % len(_FORWARDED), _field(data[1:])
    for target in (_CANVAS, b"/api/v1/costs/usage", b"/healthz"):
        plain, said = _ask(target), _ask(target, (_FORWARDED[which], told))
        assert (plain.status, plain.body) == (said.status, said.body)


def body(data: bytes) -> None:
    """A body of any resource is taken or refused."""
    which, told = parts_of(data, 2)
    method, target = _TAKING[(which[0] if which else 0) % len(_TAKING)]
    rooms().ask(Asked(method, target, ((b"content-type", b"application/json"),), told))
    _unchanged()


def _visible(data: bytes) -> bytes:
    """Return a query as a parser of HTTP lets it through."""
    return bytes(byte for byte in data if 0x21 <= byte < 0x7F and byte != 0x23)


def _field(data: bytes) -> bytes:
    """Return a field's value as a parser of HTTP lets it through."""
    return bytes(byte for byte in data if byte >= 0x20 and byte != 0x7F).strip()


def _words() -> Iterator[bytes]:
    yield from (
        b"ref=asked",
        b"&",
        b"=",
        b"%00",
        b"%ff",
        b"%C3%28",
        b"last_event_id=",
        b"at=",
        b"section=",
        b"unit=codepoint",
    )
    yield from (
        b"limit=",
        b"cursor=",
        b"after=",
        b"snapshot=false",
        b"client_id=",
        b"active=1",
        b"all=true",
        b"month=2026-01",
    )
    yield from (
        b"Bearer ",
        b"Basic ",
        TOKEN.encode(),
        b"asked:",
        b"0-0123456789abcdef",
        b'W/"0-0123456789abcdef"',
        b",",
        b"*",
    )
    yield from (
        b"127.0.0.1",
        b"::1",
        b"for=",
        b";proto=https",
        b"unknown",
        b"..",
        b"%2e%2e",
        b"/",
        b"\\",
        b"con",
        b"\xc3\xa9",
    )


_WORDS: Final = tuple(_words())
_TAKING: Final = (
    ("POST", _CANVAS + b"/ops:preview"),
    ("POST", _CANVAS + b"/presence"),
    ("PATCH", b"/api/v2/canvas/nowhere"),
    ("POST", b"/api/v2/canvas/nowhere/ops:stream"),
    ("PUT", b"/api/v1/presets/nothing"),
)
TARGETS: Final = {
    "query": Target(
        query, (b"\0at=0&unit=codepoint", b"\4ref=asked&last_event_id=asked:0-0123456789abcdef", b"\5limit=1"), _WORDS
    ),
    "path": Target(path, (b"\1asked", b"\2a-1.1", b"\5../../etc/passwd", b"\4con.txt"), _WORDS),
    "last-event-id": Target(last_event_id, (b"0-0123456789abcdef", b"asked:0-0123456789abcdef", b"a,b"), _WORDS),
    "if-none-match": Target(if_none_match, (b'W/"0-0123456789abcdef"', b'*, "x"', b"text/markdown"), _WORDS),
    "authorization": Target(authorization, (b"Bearer " + TOKEN.encode(), b"Basic YTpi", b"bearer  x"), _WORDS),
    "forwarded": Target(forwarded, (b"\0127.0.0.1, ::1", b"\1for=1.2.3.4;proto=https", b"\4evil.test"), _WORDS),
    "body": Target(
        body,
        (b'\0\xff{"ops":[]}', b'\1\xff{"name":"a","ttl_ms":1}', b'\2\xff{"title":"x"}'),
        (*_WORDS, b"{", b"}", b'"'),
    ),
}
