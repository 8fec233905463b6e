"""What the server answers about canvases, as types; all offsets count code points."""

from __future__ import annotations

from msgspec import Struct, field

from canvas_server.core.event import Ack


class CanvasInfo(Struct, frozen=True, kw_only=True):
    """What is known of a canvas without its text."""

    ref: str
    title: str
    version: str
    size_bytes: int
    created_unix_ms: int
    updated_unix_ms: int


class CanvasState(CanvasInfo, frozen=True, kw_only=True):
    """A canvas with its text."""

    checkpoint_version: str = ""
    """The newest version that is on disk."""
    length: int
    text: str = field(name="content")


class CanvasList(Struct, frozen=True):
    """A page of canvases, newest first."""

    canvases: list[CanvasInfo]
    next_cursor: str | None = None
    """For the next page; None on the last."""


class Section(Struct, frozen=True, kw_only=True):
    """One section of a canvas."""

    ref: str
    version: str
    heading_id: str
    path: list[str]
    start: int
    end: int
    text: str = field(name="content")


class Heading(Struct, frozen=True, kw_only=True):
    """A heading and the section under it."""

    id: str
    title: str
    level: int
    path: list[str]
    start: int
    end: int
    line: int
    """From 1."""
    version: str
    """At which the section, its sub-sections included, last changed."""


class Outline(Struct, frozen=True):
    """The headings of a canvas, in order."""

    ref: str
    version: str
    headings: list[Heading]


class History(Struct, frozen=True):
    """A stretch of the history, oldest first."""

    ref: str
    server_version: str
    events: list[Ack]
    next_after: int | None = None
    """Where the next stretch begins; None when there is no more."""
