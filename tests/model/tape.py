"""All that one room told, in order: each event is held against the lineage, and against what was asked, as it is told.

A tape does not listen as a reader does: it looks into the log of the room, so it neither keeps the room open nor
misses what nobody hears.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from canvas_server.core.operation import Operation, PositionTarget, RangeMode, Unit, payload_digest
from canvas_server.core.splice import Splice, utf16_length
from canvas_server.core.version import parse_etag
from canvas_server.state.room import Room
from tests.model.canvases import CanvasLineage
from tests.model.disk import SimDisk
from tests.state.simulation import Heard, read_frames

EPHEMERAL: Final = ("heartbeat", "presence")


class Request:
    """The operations of one POST, as they wait for their outcomes."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.failed = False
        self.base: str | None = None


class Asked(NamedTuple):
    """One operation that was accepted."""

    request: Request
    operation: Operation
    continues: bool
    """Whether it continues the line before it, and so stands on whatever is newest."""


class Told(NamedTuple):
    """One event, as it goes on the wire in either unit."""

    frame: bytes
    wide_frame: bytes
    event: Heard

    def frame_in(self, unit: Unit) -> bytes:
        return self.wide_frame if unit == "utf16" else self.frame

    @property
    def is_replayed(self) -> bool:
        """Whether who resumes hears it."""
        return self.event.type not in EPHEMERAL


class Tape:
    """What one room tells from its opening to its end.

    Args:
        room: just opened.
        lineage: of its canvas; what the room tells goes into it.
        disk: must hold what is told durable.
    """

    def __init__(self, room: Room, lineage: CanvasLineage, disk: SimDisk) -> None:
        self.room = room
        self.lineage = lineage
        self.told: list[Told] = []
        self.awaited: deque[Asked] = deque()
        self.answers = 0
        self.failed_s = -1_000.0
        """When a failed checkpoint was told last."""
        self._disk = disk
        self.end = room.log.first
        self._checkpoint_seq = 0
        self._now_s = 0.0
        self._start = lineage.head.version.seq - (room.log.end - room.log.first)
        assert room.canvas.version == lineage.head.version, "opened at another version"
        assert str(room.canvas.document.text) == lineage.head.text, "opened with another text"
        for moment, told in zip(lineage.moments[self._start + 1 :], self._unread(), strict=True):
            assert told.event.id == moment.version.cursor
            assert told.event["op_id"] == moment.op_id
            self.told.append(told)

    def ask(self, request: Request, operation: Operation, *, continues: bool = False) -> None:
        """Take note that an operation was accepted."""
        self.awaited.append(Asked(request, operation, continues))

    def read(self, now_s: float) -> None:
        """Take in what was told since."""
        self._now_s = now_s
        assert self.room.log.first <= self.end, "the log moved on unseen: the model lets too much happen in one turn"
        for told in self._unread():
            self.told.append(told)
            self._check(told)

    def place_after(self, cursor: str) -> int | None:
        """Return the number of the event after the one that has this id; None if none had."""
        if self._start_cursor == cursor:
            return 0
        return next((place for place, told in enumerate(self.told, 1) if told.event.id == cursor), None)

    @property
    def _start_cursor(self) -> str:
        return self.lineage.moments[self._start].version.cursor if self._start < len(self.lineage.moments) else ""

    def _unread(self) -> list[Told]:
        log = self.room.log
        frames = log.joined(self.end, "codepoint").split(b"\n\n")[:-1]
        wide_frames = log.joined(self.end, "utf16").split(b"\n\n")[:-1]
        self.end = log.end
        events = read_frames(b"".join(frame + b"\n\n" for frame in frames))
        return [Told(*told) for told in zip(frames, wide_frames, events, strict=True)]

    def _check(self, told: Told) -> None:
        event = told.event
        match event.type:
            case "ack" | "conflict" | "error":
                self.answers += 1
                self._check_outcome(told, self.awaited.popleft())
            case "checkpoint" if event.get("failed"):
                self.failed_s = self._now_s
                assert self._disk.ails or self._now_s - self._disk.troubled_s < 15.0, "failed on a healthy disk"
                assert self.lineage.at(parse_etag(str(event["checkpoint_version"])))
            case "checkpoint" | "closed":
                self._check_durable(str(event["server_version"]))
            case "heartbeat":
                self._check_heartbeat(told)
            case kind:
                assert kind in ("title", "deleted")

    def _check_outcome(self, told: Told, asked: Asked) -> None:
        """Hold an outcome against what was asked, in the order in which it was asked."""
        event, request, op_id = told.event, asked.request, asked.operation.op_id
        assert event["op_id"] == op_id, "answered out of turn"
        seq = self.lineage.seq_of(asked.operation.op_id)
        base = self._base_of(asked)
        is_refused_by_disk = event.get("code") == "STORAGE_UNAVAILABLE"
        if request.failed and not is_refused_by_disk:
            assert event.get("reason") == "not_executed"
        elif event.type == "ack" and event.get("duplicate"):
            assert seq is not None
            assert self.lineage.payloads[op_id] == payload_digest(asked.operation), "another one under that name"
            self.lineage.hear_ack(event, self._now_s)
        elif event.type == "ack":
            self._check_ack(told, asked, base)
        else:
            self._check_refusal(event, asked, base, seq)
        request.failed = event.type != "ack"
        request.base = str(event["server_version"]) if event.type == "ack" else None

    def _check_ack(self, told: Told, asked: Asked, base: str) -> None:
        event, lineage = told.event, self.lineage
        before = lineage.head
        seen = lineage.at(parse_etag(base))
        assert seen is not None, "it stood on a version that never was"
        assert event["rebased"] == (base != before.version.etag)
        assert asked.operation.scope != "canvas" or seen.version == before.version, "a lost update"
        self._check_range(asked.operation, asked.request.unit, event, seen.text)
        lineage.hear_ack(event, self._now_s)
        lineage.payloads[asked.operation.op_id] = payload_digest(asked.operation)
        if told.wide_frame != told.frame:
            (wide_event,) = read_frames(told.wide_frame + b"\n\n")
            assert apply_wide(before.text, wide_event) == lineage.head.text
        assert event.id == lineage.head.version.cursor
        if self.room.journal is not None:
            self._check_durable(lineage.head.version.etag)

    def _check_range(self, operation: Operation, unit: Unit, ack: Heard, seen: str) -> None:
        """A range that is replaced or deleted holds what its author saw there."""
        target = operation.target
        if operation.action not in ("replace", "delete"):
            return
        splice = changes_of(ack)[-1]
        if isinstance(target, PositionTarget) and isinstance(target.position, RangeMode):
            wanted = cut(seen, target.position.start, target.position.end, unit)
            assert self.lineage.head.text[splice.start : splice.end] == wanted, (
                f"not what was seen: {operation} in {seen!r}"
            )

    def _check_refusal(self, event: Heard, asked: Asked, base: str, seq: int | None) -> None:
        head = self.lineage.head.version
        if event.type == "error":
            if event["code"] == "OP_ID_REUSED":
                assert seq is not None
                known = self.lineage.payloads[asked.operation.op_id]
                assert known != payload_digest(asked.operation), "it is the same operation"
            elif event["code"] == "STORAGE_UNAVAILABLE":
                assert self.room.journal is not None
            else:
                assert seq is None, "an applied operation was refused"
            return
        assert seq is None, "an applied operation conflicts"
        assert event["expected_version"] == head.etag
        seen = self.lineage.at(parse_etag(base))
        match event["reason"]:
            case "unknown_version":
                assert seen is None
            case "version_too_old":
                assert seen is None or head.seq - seen.version.seq > self.room._house.settings.limits.retained_ops_max
            case "overlap":
                assert asked.operation.action == "revert"
            case reason:
                assert reason in ("etag_mismatch", "section_changed", "range_changed")
                assert base != head.etag, "a spurious conflict"

    def _check_durable(self, etag: str) -> None:
        """What is told durable is on disk, and is no older than what was told before."""
        self.lineage.hear_durable(etag)
        version = parse_etag(etag)
        saved = self._disk.saved(self.room.canvas.ref)
        assert version is not None
        assert version.seq >= self._checkpoint_seq, "checkpoints go back"
        self._checkpoint_seq = version.seq
        if saved is not None and saved.key == self.lineage.key:
            assert saved.version.seq >= version.seq, "told durable, and not on disk"

    def _check_heartbeat(self, told: Told) -> None:
        head = self.lineage.head
        (wide_event,) = read_frames(told.wide_frame + b"\n\n")
        assert told.event["server_version"] == head.version.etag
        assert told.event["length"] == len(head.text)
        assert wide_event["length"] == utf16_length(head.text)
        assert told.event["crc32"] == wide_event["crc32"] == crc32(head.text.encode())

    def _base_of(self, asked: Asked) -> str:
        newest = self.lineage.head.version.etag
        return newest if asked.continues else asked.operation.client_version or asked.request.base or newest


def cut(text: str, start: int, end: int, unit: Unit) -> str:
    """Return what lies between two offsets."""
    if unit == "codepoint":
        return text[start:end]
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")


def changes_of(ack: Heard) -> tuple[Splice, ...]:
    """Return the changes of an ack, as it counts."""
    return msgspec.convert(ack["changes"], tuple[Splice, ...])


def apply_wide(text: str, ack: Heard) -> str:
    """Return a text after the changes of an ack that count UTF-16 code units."""
    for splice in changes_of(ack):
        wide = text.encode("utf-16-le")
        wide = wide[: 2 * splice.start] + splice.insert.encode("utf-16-le") + wide[2 * splice.end :]
        text = wide.decode("utf-16-le")
    return text
