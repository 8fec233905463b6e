"""A parser of server-sent events, written from the HTML standard (section 9.2.6, "Interpreting an event stream")."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_DIGITS: Final = re.compile(r"[0-9]+")


class Message(NamedTuple):
    """One event."""

    last_id: str
    data: str


class EventStream:
    """Makes messages of bytes, however these are cut.

    Attributes:
        retry_ms: the reconnection time, if the stream set one.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._is_first = True
        self._data: list[str] = []
        self._last_id = ""
        self.retry_ms: int | None = None

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Take bytes and yield the messages that they complete."""
        self._text += self._decoder.decode(piece)
        if self._is_first and self._text:
            self._text = self._text.removeprefix("\ufeff")
            self._is_first = False
        start = 0
        for end in _LINE_END.finditer(self._text):
            if end[0] == "\r" and end.end() == len(self._text):
                break  # a LF may follow that belongs to it
            line, start = self._text[start : end.start()], end.end()
            yield from self._take(line)
        self._text = self._text[start:]

    def _take(self, line: str) -> Iterator[Message]:
        if not line:
            if self._data:
                yield Message(self._last_id, "\n".join(self._data))
            self._data = []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._last_id = value
        elif field == "retry" and _DIGITS.fullmatch(value):
            self.retry_ms = int(value)
