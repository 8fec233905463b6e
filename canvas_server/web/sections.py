"""What is told of sections: the outline of a canvas, and one section alone.

Rule: nobody waits while a document of very many headings is worked through; that happens in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec

from canvas_server.core.document import Document
from canvas_server.core.errors import NotFoundError
from canvas_server.core.ids import CanvasRef
from canvas_server.core.operation import Unit
from canvas_server.core.text import Text
from canvas_server.core.version import Version
from canvas_server.web.canvas_bodies import OutlineBody, OutlineEntry, SectionState

_HEADINGS_AT_ONCE: Final = 500
"""So many are told within a few milliseconds."""

_encode: Final = msgspec.json.Encoder().encode


async def outline_of(ref: CanvasRef, document: Document, unit: Unit) -> bytes:
    """Return the outline of a document as JSON, as it is now."""
    if len(document.outline) <= _HEADINGS_AT_ONCE:
        return _encoded(ref, document, unit)
    return await asyncio.to_thread(_encoded, ref, document.copy(), unit)


async def past_section(ref: CanvasRef, content: str, version: Version, heading_id: str, unit: Unit) -> SectionState:
    """Return one section of a text that has to be parsed for it; raises as `section_of` does."""
    return await asyncio.to_thread(_parsed_section, ref, content, version, heading_id, unit)


def section_of(ref: CanvasRef, document: Document, heading_id: str, unit: Unit) -> SectionState:
    """Return one section.

    Raises:
        NotFoundError: no heading has that id.
    """
    outline, text = document.outline, document.text
    index = outline.index_of_id(heading_id)
    if index is None:
        raise NotFoundError(f"there is no section {heading_id!r}", hint="Read the outline for the ids there are.")
    start, end = outline.heading(index).start, outline.section_end(index)
    return SectionState(
        ref=ref,
        version=document.version.etag,
        unit=unit,
        heading_id=heading_id,
        path=outline.path(index),
        start=_offset(text, start, unit),
        end=_offset(text, end, unit),
        content=text.slice(start, end),
    )


def _parsed_section(ref: CanvasRef, content: str, version: Version, heading_id: str, unit: Unit) -> SectionState:
    return section_of(ref, Document(content, version), heading_id, unit)


def _encoded(ref: CanvasRef, document: Document, unit: Unit) -> bytes:
    """Encode entry by entry: the encoder lets no other thread run until it is done with what it was given."""
    empty = _encode(OutlineBody(ref, document.version.etag, unit, ()))
    return empty.removesuffix(b"]}") + b",".join(map(_encode, _entries(document, unit))) + b"]}"


def _entries(document: Document, unit: Unit) -> Iterator[OutlineEntry]:
    """Yield the headings of a document in order."""
    outline, text = document.outline, document.text
    whole = str(text)
    line, counted = 1, 0
    for index in range(len(outline)):
        heading = outline.heading(index)
        line, counted = line + whole.count("\n", counted, heading.start), heading.start
        end = outline.section_end(index)
        last = outline.segment_at(end - 1) if end else 0
        changed = max(outline.changed[index + 1 : last + 1], key=lambda version: version.seq)
        yield OutlineEntry(
            id=outline.id(index),
            title=heading.title,
            level=heading.level,
            path=outline.path(index),
            start=_offset(text, heading.start, unit),
            end=_offset(text, end, unit),
            line=line,
            version=changed.etag,
        )


def _offset(text: Text, offset: int, unit: Unit) -> int:
    return text.to_utf16(offset) if unit == "utf16" else offset
