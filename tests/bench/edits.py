"""The edits that are measured: of a text of 52 KB that keeps its size, replacing twenty characters at a time."""

from __future__ import annotations

from typing import Final

from tests.bench.credentials import LINE
from tests.bench.listeners import Listener

BATCH: Final = 50
"""Operations in one request, where it is not one."""

_PARAGRAPH: Final = "These are twenty characters: the quick brown fox. And so the line goes on for a while.\n\n"
_SECTIONS: Final = 96
TEXT: Final = ("## A section\n\n" + _PARAGRAPH * 6) * _SECTIONS

_SECTION: Final = len(TEXT) // _SECTIONS
PLACES: Final = [
    section * _SECTION + TEXT.index("the quick") + line * len(_PARAGRAPH)
    for section in range(_SECTIONS)
    for line in range(6)
]
"""Where the edits are: each in a line of its own, so that edits under way at the same time do not touch."""

_GENESIS: Final = rb"W/\"0-0000000000000000\""


def post(ref: str, body: bytes, media_type: bytes = b"application/json", credentials: bytes = LINE) -> bytes:
    """Return a request that submits operations."""
    head = b"POST /api/v2/canvas/%s/ops:stream?unit=codepoint HTTP/1.1\r\nHost: 127.0.0.1\r\n" % ref.encode()
    return head + credentials + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (media_type, len(body)) + body


class Edits:
    """Makes requests whose operations stand on the newest version that a listener was told.

    Args:
        ref: of the canvas.
        listener: knows the version; None for a server that does not care.
    """

    def __init__(self, ref: str, listener: Listener | None = None) -> None:
        self._ref = ref
        self._listener = listener
        self.made = 0

    def single(self) -> bytes:
        """Return a request with one operation; like the others empty while too many are under way."""
        return self.calm() if self._may_make(1) else b""

    def open_single(self) -> bytes:
        """Return a request with one operation that does not say who sends it."""
        if not self._may_make(1):
            return b""
        return post(self._ref, b'{"ops":[%s]}' % self._operation(self._version()), credentials=b"")

    def calm(self) -> bytes:
        """Return a request with one operation, however many are under way."""
        return post(self._ref, b'{"ops":[%s]}' % self._operation(self._version()))

    def batch(self) -> bytes:
        """Return a request with fifty operations, each on the one before."""
        return post(self._ref, b'{"ops":[%s]}' % b",".join(self._fifty())) if self._may_make(BATCH) else b""

    def lines(self) -> bytes:
        """Return a streamed request of fifty lines, each on the one before."""
        return post(self._ref, b"\n".join(self._fifty()), b"application/x-ndjson") if self._may_make(BATCH) else b""

    def last(self, op_id: bytes) -> bytes:
        """Return a request with one operation by whose name every listener knows that all is told."""
        operation = b'{%s"op_id":"%s","scope":"range","action":"insert","content":" ",' % (self._version(), op_id)
        return post(self._ref, b'{"ops":[%s"target":{"type":"position","position":{"mode":"end"}}}]}' % operation)

    def _operation(self, version: bytes) -> bytes:
        self.made += 1
        start = PLACES[self.made % len(PLACES)]
        return (
            b'{%s"op_id":"op-%d","scope":"range","action":"replace","content":"twenty characters!! ",'
            b'"target":{"type":"position","position":{"mode":"range","from":%d,"to":%d}}}'
        ) % (version, self.made, start, start + 20)

    def _fifty(self) -> list[bytes]:
        return [self._operation(self._version()), *(self._operation(b"") for _ in range(BATCH - 1))]

    def _version(self) -> bytes:
        return b'"client_version":"%s",' % (_GENESIS if self._listener is None else self._listener.version)

    def _may_make(self, count: int) -> bool:
        """Tell whether there are places for so many more that no operation under way is at."""
        if self._listener is None:
            return True
        return self.made + count - self._listener.outcomes < len(PLACES) // 2
