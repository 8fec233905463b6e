"""A splice is one resolved change: the text from `start` to `end` gives way to `insert`.

Several splices in a row are told as a list of changes, each in the coordinates left by the one before. Offsets
count code points inside the server. To carry a place over a splice only its `Span` is needed, and spans come in
either unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec


class Splice(msgspec.Struct, frozen=True, gc=False):
    """One resolved change, as it is told on the wire (`from`, `to`, `insert`)."""

    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    insert: str


class Span(msgspec.Struct, frozen=True, gc=False):
    """Where a splice acts, in one unit or the other: what was from `start` to `end` is then `growth` longer."""

    start: int
    end: int
    growth: int
    """Negative when the text gets shorter."""

    @property
    def stop(self) -> int:
        """Where what the splice put there ends, in the text after it."""
        return self.end + self.growth


def splice_span(splice: Splice) -> Span:
    """Return where a splice acts, in code points."""
    start, end = splice.start, splice.end
    return Span(start, end, start - end + len(splice.insert))


Changes: TypeAlias = tuple[Splice, ...]
"""Splices to apply one after the other."""


def apply_changes(text: str, changes: Sequence[Splice]) -> str:
    """Return `text` after `changes`.

    Raises:
        ValueError: a splice lies outside the text.
    """
    for splice in changes:
        if not 0 <= splice.start <= splice.end <= len(text):
            raise ValueError(f"splice {splice.start}..{splice.end} lies outside a text of {len(text)}")
        text = text[: splice.start] + splice.insert + text[splice.end :]
    return text


def utf16_length(text: str) -> int:
    """Return how many UTF-16 code units `text` takes."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le")) >> 1


def map_point(point: int, span: Span) -> int:
    """Carry a place in the text over a splice; what is inserted exactly there comes to stand before it."""
    if point < span.start:
        return point
    return max(point, span.end) + span.growth


def map_range(start: int, end: int, span: Span) -> tuple[int, int] | None:
    """Carry a stretch of text over a splice, or return None when nothing of it is left.

    Text inserted inside the stretch becomes part of it, text inserted at its borders does not. A stretch that was
    empty to begin with stays the place it is, behind what is inserted there.
    """
    if start == end:
        point = map_point(start, span)
        return point, point
    if span.end <= start:
        return start + span.growth, end + span.growth
    if span.start >= end:
        return start, end
    if span.start <= start and span.end >= end:
        return None
    new_start = start if span.start > start else span.stop
    new_end = end + span.growth if span.end < end else span.start
    return new_start, new_end


def touches(start: int, end: int, span: Span) -> bool:
    """Tell whether a splice changed text inside a stretch, or at its borders.

    Two insertions at one point do not touch each other.
    """
    if start == end and span.start == span.end:
        return False
    return span.start <= end and span.end >= start


def reaches_into(start: int, end: int, span: Span) -> bool:
    """Tell whether a splice changed text inside a stretch or, of a point, the text right before it."""
    if start == end:
        return span.start < start <= span.end
    return span.start < end and span.end > start


def unmap_untouched(start: int, end: int, span: Span) -> tuple[int, int] | None:
    """Carry a stretch of the text after a splice back to the text before; None where the splice touched it."""
    both_insert = start == end and span.start == span.end
    if end < span.start or (both_insert and end == span.start):
        return start, end
    if start > span.stop or (both_insert and start == span.stop):
        return start - span.growth, end - span.growth
    return None


def map_whole(start: int, end: int, span: Span) -> tuple[int, int] | None:
    """Carry a stretch over a later splice; None where the splice changed text inside it.

    Unlike with `touches`, a change that only abuts on the stretch leaves it whole.
    """
    if start == end:
        if span.start < start < span.end:
            return None
        moved = map_point(start, span)
        return moved, moved
    if span.end <= start:
        return start + span.growth, end + span.growth
    if span.start >= end:
        return start, end
    return None
