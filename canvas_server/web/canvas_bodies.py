"""The JSON of requests and answers about canvases, as types that check themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from canvas_server.core.event import Ack, Selection
from canvas_server.core.operation import Unit

Title = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]


class CreateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that creates a canvas."""

    title: Title | None = None
    """The ref, if left out."""
    content: str = ""
    """Markdown; CRLF and CR become LF."""


class CreateAnywhereBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that creates a canvas under a ref of the server's choice, or of the author's."""

    ref: str | None = None
    title: Title | None = None
    content: str = ""


class TitleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that changes the title."""

    title: Title


class PresenceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that says where one is; offsets in the text as it is now, or the nearest place in it."""

    section: Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00]*$")] | None = None
    """Id of a heading."""
    cursor: Annotated[int, Meta(ge=0)] | None = None
    selection: Selection | None = None
    name: Annotated[str, Meta(max_length=80, pattern=r"^[^\x00]*$")] | None = None
    """How to be called; who one is comes from the credentials."""
    ttl_ms: Annotated[int, Meta(ge=0)] = 30_000
    """How long that holds; 0 takes it back."""


class CanvasInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a canvas without its text."""

    ref: str
    title: str
    version: str
    size_bytes: int
    created_unix_ms: int
    updated_unix_ms: int


class CanvasState(CanvasInfo, frozen=True, kw_only=True):
    """A canvas with its text."""

    checkpoint_version: str
    """The newest version that is on disk."""
    unit: Unit
    length: int
    """Of the whole text, in `unit`."""
    content: str


class SectionState(msgspec.Struct, frozen=True, kw_only=True):
    """One section of a canvas."""

    ref: str
    version: str
    unit: Unit
    heading_id: str
    path: Sequence[str]
    start: int
    end: int
    content: str


class CanvasList(msgspec.Struct, frozen=True):
    """A page of canvases, newest first."""

    canvases: Sequence[CanvasInfo]
    next_cursor: str | None
    """For `?cursor=`; null on the last page."""


class OutlineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A heading and the section under it."""

    id: str
    title: str
    level: int
    path: Sequence[str]
    start: int
    """Where its heading begins."""
    end: int
    """Where the section ends: at the next heading of the same or a higher level."""
    line: int
    """Of the heading, from 1."""
    version: str
    """At which the section, its sub-sections included, last changed."""


class OutlineBody(msgspec.Struct, frozen=True):
    """The headings of a canvas, in order."""

    ref: str
    version: str
    unit: Unit
    headings: Sequence[OutlineEntry]


class PreviewBody(msgspec.Struct, frozen=True):
    """A canvas as HTML that can be shown: nothing in it runs, and nothing is fetched to show it."""

    ref: str
    version: str
    html: str


class HistoryBody(msgspec.Struct, frozen=True):
    """A stretch of the history, oldest first."""

    ref: str
    server_version: str
    events: Sequence[Ack]
    next_after: int | None
    """For `?after=`, where there is more."""


class ClosedBody(msgspec.Struct, frozen=True):
    """The version of a closed canvas, which is on disk."""

    ref: str
    version: str
