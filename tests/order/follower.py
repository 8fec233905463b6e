"""One reader's copy of one canvas, over all its connections; whatever no reader may be told fails the test.

What must hold (PROTOCOL section 5): versions come in order, none twice and none left out; who resumes hears exactly
what followed its id, or `reset` and a snapshot; no conflict, checkpoint or heartbeat is ahead of what was told before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, Literal, NamedTuple
from zlib import crc32

from canvas_server.core.operation import Unit
from canvas_server.core.version import Version, parse_etag
from tests.listener import Event

Json = dict[str, Any]

_CODES: Final[dict[Unit, tuple[str, int]]] = {"utf16": ("utf-16-le", 2), "codepoint": ("utf-32-le", 4)}
HARMLESS: Final = frozenset({"error", "presence", "title"})
OUTCOMES: Final = frozenset({"ack", "conflict", "error"})


class Heard(NamedTuple):
    """What a reader knows of a version: who made it, None if it came as a snapshot, and its text."""

    op_id: str | None
    crc32: int


class Arrival(NamedTuple):
    """How a connection began."""

    how: Literal["resumed", "snapshot", "history", "evicted", "recreated"]
    """`snapshot` if the reader asked for no id, else `resumed` or the reason of the reset."""
    asked: str | None
    told: Version
    """The version of the canvas then."""


class Head(NamedTuple):
    """The newest version that was heard, and its text."""

    version: Version
    text: str


def version_of(etag: str) -> Version:
    """Return the version that the server names."""
    version = parse_etag(etag)
    assert version is not None, etag
    return version


class Follower:
    """Follows one canvas.

    Args:
        unit: in which it counts offsets.
        heads_max: how many of its newest texts it keeps, to go on from one of them.

    Attributes:
        head: the newest; None before the first snapshot.
        heads: those it keeps by id, oldest first.
        heard: by life of the server and ETag, all that it ever knew.
        arrivals: in order.
    """

    def __init__(self, unit: Unit, heads_max: int = 1) -> None:
        self._unit = unit
        self._heads_max = heads_max
        self._asked: str | None = None
        self._expects: str | None = None
        self._told = Version(0, "")
        self._life = 0
        self._crcs: dict[str, int] = {}
        self.head: Head | None = None
        self.heads: OrderedDict[str, Head] = OrderedDict()
        self.heard: dict[tuple[int, str], Heard] = {}
        self.arrivals: list[Arrival] = []

    @property
    def cursor(self) -> str | None:
        """The id to come back with."""
        return self.head.version.cursor if self.head else None

    def arrive(self, asked: str | None, life: int) -> None:
        """Begin a connection that asks to go on from an id, or for a snapshot, with the server in that life."""
        self._asked = asked
        self._life = life
        self._expects = "start"

    def hear(self, event: Event) -> None:
        """Take in one event."""
        if self._expects is not None:
            self._hear_arrival(event)
            return
        match event.type:
            case "ack":
                self._hear_ack(event)
            case "conflict":
                assert event["expected_version"] == self._etag, "a conflict out of order"
            case "checkpoint":
                assert version_of(event["server_version"]).seq <= self._seq, "a checkpoint ahead of its acks"
            case "heartbeat":
                self._hear_heartbeat(event)
            case _:
                assert event.type in HARMLESS, event.type

    @property
    def _etag(self) -> str:
        assert self.head is not None
        return self.head.version.etag

    @property
    def _seq(self) -> int:
        assert self.head is not None
        return self.head.version.seq

    def _hear_arrival(self, event: Event) -> None:
        assert event.type == self._expects, f"{event.type} where {self._expects} was due"
        match event.type:
            case "start":
                self._told = version_of(event["server_version"])
                if event["resumed"]:
                    self._go_on()
                else:
                    self._expects = "reset" if self._asked else "snapshot"
            case "reset":
                self.arrivals.append(Arrival(event["reason"], self._asked, self._told))
                self._expects = "snapshot"
            case _:
                self._take(event)

    def _go_on(self) -> None:
        """Go on from the id that was asked for: what followed it must come again."""
        assert self._asked, "resumed, and nobody asked"
        assert self._asked in self.heads, "resumed at a version that was never told"
        self.head = self.heads[self._asked]
        self.arrivals.append(Arrival("resumed", self._asked, self._told))
        self._expects = None

    def _take(self, event: Event) -> None:
        version = version_of(event["server_version"])
        assert event.id is not None
        assert event.id.rpartition(":")[2] == version.cursor
        assert version == self._told, "a snapshot of another version than `start` told"
        if self._asked is None:
            self.arrivals.append(Arrival("snapshot", None, self._told))
        self._expects = None
        self._advance(version, event["content"], None)

    def _hear_ack(self, event: Event) -> None:
        version = version_of(event["server_version"])
        if event.id is None:
            assert event["duplicate"]
            assert version.seq <= self._seq, "a duplicate of what was never told"
            return
        assert event.id.rpartition(":")[2] == version.cursor
        assert (event["base_version"], version.seq) == (self._etag, self._seq + 1), "a hole, or a version told twice"
        assert self.head is not None
        self._advance(version, self._changed(self.head.text, event["changes"]), event["op_id"])

    def _advance(self, version: Version, text: str, op_id: str | None) -> None:
        crc = crc32(text.encode())
        assert self._crcs.setdefault(version.etag, crc) == crc, "a version names two texts"
        if op_id is not None or (self._life, version.etag) not in self.heard:
            self.heard[self._life, version.etag] = Heard(op_id, crc)
        self.head = self.heads[version.cursor] = Head(version, text)
        self.heads.move_to_end(version.cursor)
        if len(self.heads) > self._heads_max:
            self.heads.popitem(last=False)

    def _changed(self, text: str, changes: list[Json]) -> str:
        code, width = _CODES[self._unit]
        encoded = text.encode(code)
        for change in changes:
            start, end = width * change["from"], width * change["to"]
            assert start <= end <= len(encoded)
            encoded = encoded[:start] + change["insert"].encode(code) + encoded[end:]
        return encoded.decode(code)

    def _hear_heartbeat(self, event: Event) -> None:
        assert self.head is not None
        code, width = _CODES[self._unit]
        assert event["server_version"] == self._etag, "a heartbeat of another version"
        length, crc = len(self.head.text.encode(code)) // width, crc32(self.head.text.encode())
        assert (event["length"], event["crc32"]) == (length, crc), "the text drifted"
