"""What listeners hear (PROTOCOL section 5): facts, each told once and in order.

Every event is a JSON object with `type` and, but for `start` and `bye` on a connection to many canvases, `canvas`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from canvas_server.core.limits import Limits
from canvas_server.core.operation import Action, Unit
from canvas_server.core.splice import Span, Splice

Kind: TypeAlias = Literal["human", "agent", "job"]
ConflictReason: TypeAlias = Literal[
    "etag_mismatch", "section_changed", "range_changed", "unknown_version", "version_too_old", "overlap", "not_executed"
]
ErrorCode: TypeAlias = Literal[
    "TARGET_NOT_FOUND",
    "TARGET_AMBIGUOUS",
    "OFFSET_OUT_OF_RANGE",
    "OFFSET_IN_SURROGATE",
    "REGEX_INVALID",
    "REGEX_UNSUPPORTED",
    "INVALID_OPERATION",
    "OP_ID_REUSED",
    "UNKNOWN_OP",
    "CANVAS_TOO_LARGE",
    "STORAGE_UNAVAILABLE",
]
ByeReason: TypeAlias = Literal["shutdown", "slow", "max_age", "overload", "revoked"]
ResetReason: TypeAlias = Literal["history", "evicted", "recreated"]


class Candidate(Struct, frozen=True, kw_only=True):
    """What an author may have meant; `line` counts from 1."""

    line: int
    text: str
    heading_id: str | UnsetType = UNSET
    path: tuple[str, ...] | UnsetType = UNSET


class _Event(Struct, frozen=True, gc=False):
    """One line of JSON on the stream."""


class Ack(_Event, frozen=True, kw_only=True, tag_field="type", tag="ack"):
    """An operation was applied."""

    canvas: str
    op_id: str
    status: Literal["applied"] = "applied"
    server_version: str
    base_version: str
    changes: Sequence[Splice]
    action: Action
    actor: str
    client_id: str | None
    kind: Kind
    timestamp: int
    """The server's clock when it was applied, in ms."""
    rebased: bool
    """Whether other operations came between `client_version` and this one."""
    reverts: str | UnsetType = UNSET
    """The op_id of the operation that this one undid."""
    client_timestamp: int | UnsetType = UNSET
    meta: dict[str, str] | UnsetType = UNSET
    duplicate: Literal[True] | UnsetType = UNSET
    """Told again because the author sent it again; nothing was applied."""


class Conflict(_Event, frozen=True, kw_only=True, tag_field="type", tag="conflict"):
    """An operation met a text that is not the one its author saw; nothing was applied."""

    canvas: str
    op_id: str
    reason: ConflictReason
    client_version: str | None
    expected_version: str
    hint: str
    client_id: str | None
    missed: int | UnsetType = UNSET
    """How many operations were applied since `client_version`, where that is known."""


class Failure(_Event, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """An operation cannot be carried out as it is; nothing was applied."""

    canvas: str
    op_id: str
    code: ErrorCode
    message: str
    hint: str
    client_id: str | None
    candidates: tuple[Candidate, ...] = ()


class Start(_Event, frozen=True, kw_only=True, tag_field="type", tag="start"):
    """The first event of every stream; `client_id` is the reader's own."""

    canvas: str
    protocol: int = 2
    server_version: str
    checkpoint_version: str
    client_id: str
    unit: Unit
    limits: Limits
    heartbeat_ms: int
    resumed: bool


class Snapshot(_Event, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """The whole text, or where to get it."""

    canvas: str
    title: str
    server_version: str
    content: str | UnsetType = UNSET
    content_url: str | UnsetType = UNSET


class Reset(_Event, frozen=True, kw_only=True, tag_field="type", tag="reset"):
    """The position a reader resumed from is not in this history; a snapshot follows."""

    canvas: str
    reason: ResetReason


class Checkpoint(_Event, frozen=True, kw_only=True, tag_field="type", tag="checkpoint"):
    """`server_version` is durable."""

    canvas: str
    server_version: str
    ops: int
    duration_ms: float


class CheckpointFailed(_Event, frozen=True, kw_only=True, tag_field="type", tag="checkpoint"):
    """A checkpoint did not succeed; everything is kept in memory and it is tried again."""

    canvas: str
    failed: Literal[True] = True
    server_version: str
    """The version that is still to be saved."""
    checkpoint_version: str
    """The last version that is durable."""
    retry_in_ms: int


class Saved(_Event, frozen=True, kw_only=True, tag_field="type", tag="saved"):
    """The auto-save has written a copy of the canvas to its file."""

    canvas: str
    server_version: str
    """The version that was copied."""
    saved_at: int
    """The server's clock when it was, in ms."""


class Selection(Struct, frozen=True, forbid_unknown_fields=True):
    """A selected range of text."""

    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")


class Presence(_Event, frozen=True, kw_only=True, tag_field="type", tag="presence"):
    """Who is where; gone again after `ttl_ms`."""

    canvas: str
    client_id: str | None
    actor: str
    kind: Kind
    name: str | None
    section: str | None
    cursor: int | None
    selection: Selection | None
    ttl_ms: int


class Heartbeat(_Event, frozen=True, kw_only=True, tag_field="type", tag="heartbeat"):
    """A sign of life by which a reader can notice that its text drifted."""

    canvas: str
    server_version: str
    length: int
    crc32: int


class TitleChanged(_Event, frozen=True, kw_only=True, tag_field="type", tag="title"):
    """The canvas has another title."""

    canvas: str
    title: str
    actor: str


class Deleted(_Event, frozen=True, kw_only=True, tag_field="type", tag="deleted"):
    """The canvas and its history are gone."""

    canvas: str
    actor: str


class Closed(_Event, frozen=True, kw_only=True, tag_field="type", tag="closed"):
    """The canvas was closed; `server_version` is durable."""

    canvas: str
    server_version: str


class Bye(_Event, frozen=True, kw_only=True, tag_field="type", tag="bye"):
    """The server ends this connection on purpose."""

    canvas: str | UnsetType = UNSET
    reason: ByeReason
    retry_ms: int


Outcome: TypeAlias = Ack | Conflict | Failure
Event: TypeAlias = (
    Outcome
    | Start
    | Snapshot
    | Reset
    | Checkpoint
    | CheckpointFailed
    | Saved
    | Presence
    | Heartbeat
    | TitleChanged
    | Deleted
    | Closed
    | Bye
)


def in_utf16(ack: Ack, wide_spans: Sequence[Span]) -> Ack:
    """Return an ack as a reader that counts UTF-16 code units hears it; the same one where nothing differs."""
    if all(
        span.start == splice.start and span.end == splice.end
        for span, splice in zip(wide_spans, ack.changes, strict=True)
    ):
        return ack
    changes = tuple(
        Splice(span.start, span.end, splice.insert) for span, splice in zip(wide_spans, ack.changes, strict=True)
    )
    return msgspec.structs.replace(ack, changes=changes)
