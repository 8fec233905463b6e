"""The heart: operation x document x recent changes -> decision. The only rules about what may happen.

Nothing is changed here. The order of the rules is PROTOCOL section 3's: known already? version fits the scope?
target resolves? Only then there are changes to apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

import msgspec

from canvas_server.core.content import fit, newlines_lacking_after
from canvas_server.core.document import Document
from canvas_server.core.edit import Edit, blank_lines, edit_section, make_edit
from canvas_server.core.event import ConflictReason
from canvas_server.core.history import Applied, History
from canvas_server.core.limits import EVENT_TEXT_BYTES_MIN, Limits
from canvas_server.core.operation import (
    EndMode,
    HeadingTarget,
    OffsetMode,
    Operation,
    OpTarget,
    PositionTarget,
    RangeMode,
    Scope,
    StartMode,
    Unit,
    payload_digest,
)
from canvas_server.core.splice import Changes, Span, Splice, map_point, reaches_into, touches
from canvas_server.core.target import Miss, Place, locate, unknown_op
from canvas_server.core.text import utf8_length
from canvas_server.core.version import parse_etag


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The operation may be applied, and comes to these changes."""

    changes: Changes
    base_seq: int
    reverts: str | None = None


class Repeated(NamedTuple):
    """The operation was applied already."""

    applied: Applied


class Conflicted(NamedTuple):
    """The text is not the one the author saw."""

    reason: ConflictReason
    missed: int | None = None


class Carried(msgspec.Struct, frozen=True, gc=False):
    """Offsets in code points of the text as it is now."""

    start: int
    end: int


Decision: TypeAlias = Accepted | Repeated | Conflicted | Miss

HINTS: Final[dict[ConflictReason, str]] = {
    "etag_mismatch": "Read the events since your version, then send the operation again with the current version.",
    "section_changed": "Read the section again, then send the operation with the current version.",
    "range_changed": "Read the text around your range again, then send the operation with the current version.",
    "unknown_version": "Read the canvas again: the version you name is not in its history.",
    "version_too_old": "Read the canvas again: too much has changed since your version to carry the operation over.",
    "overlap": "Read the canvas again and edit it as it is now: the text of that operation was changed since.",
    "not_executed": "Mend the operation of this request that failed first, then send this one again.",
}


def decide(
    document: Document, history: History, operation: Operation, base: str, unit: Unit, limits: Limits
) -> Decision:
    """Say what becomes of an operation.

    Args:
        document: as it is now.
        history: the operations that led to it; the newest made `document.version`.
        operation: checked by `check_operation`.
        base: the ETag that the operation stands on.
        unit: how the author counts offsets.
        limits: the bounds in force.
    """
    earlier = history.find_known(operation.op_id)
    if earlier is not None:
        return _repeat(earlier, operation)
    current = document.version
    if base == current.etag:
        base_seq = current.seq
    else:
        known = _stale(history, current.seq, operation, base)
        if isinstance(known, Conflicted):
            return known
        base_seq = known
    if operation.action == "revert":
        return _revert(document, history, operation, base_seq, limits)
    target = operation.target
    if isinstance(target, PositionTarget):
        place = _carry(document, history, operation, base_seq, unit)
        if isinstance(place, Conflicted):
            return place
    else:
        place = locate(document, history, target, operation.options.subsections)
    edit = _edit(document, operation, place)
    if isinstance(edit, Miss):
        return edit
    if base_seq != current.seq and not _fits_scope(document, history, operation, edit, base_seq):
        return _changed(operation.scope, current.seq - base_seq)
    changes = _changes(document, operation, edit.splice)
    return _bounded(document, changes, limits) or Accepted(changes, base_seq)


def _repeat(earlier: Applied, operation: Operation) -> Repeated | Miss:
    if earlier.digest() == payload_digest(operation):
        return Repeated(earlier)
    return Miss(
        "OP_ID_REUSED",
        f"operation {operation.op_id!r} was applied already, and was another one",
        "Choose a new op_id for a new operation.",
    )


def _stale(history: History, current_seq: int, operation: Operation, base: str) -> int | Conflicted:
    """Return the count of operations that an older version stands for, or why the operation cannot stand on it."""
    version = parse_etag(base)
    if version is None or version.seq > current_seq:
        return Conflicted("unknown_version")
    missed = current_seq - version.seq
    if version.seq < history.floor.seq:
        return Conflicted("etag_mismatch" if operation.scope == "canvas" else "version_too_old", missed)
    if history.etag_at(version.seq) != version.etag:
        return Conflicted("unknown_version")
    if version.seq == current_seq:
        return current_seq
    return Conflicted("etag_mismatch", missed) if operation.scope == "canvas" else version.seq


def _carry(
    document: Document, history: History, operation: Operation, base_seq: int, unit: Unit
) -> Place | Miss | Conflicted:
    """Return the place that a position names, in the text as it is now."""
    assert isinstance(operation.target, PositionTarget)
    mode = operation.target.position
    if isinstance(mode, StartMode):
        return Place("point", 0, 0)
    if isinstance(mode, EndMode):
        length = len(document.text)
        return Place("point", length, length)
    start, end = (mode.start, mode.end) if isinstance(mode, RangeMode) else (mode.offset, mode.offset)
    carried = _carry_offsets(document, history, operation.scope, base_seq, unit, start, end)
    if isinstance(carried, Carried):
        return Place("range" if isinstance(mode, RangeMode) else "point", carried.start, carried.end)
    return carried


def _carry_offsets(
    document: Document, history: History, scope: Scope, base_seq: int, unit: Unit, start: int, end: int
) -> Carried | Miss | Conflicted:
    """Carry offsets from the version they were read in to code points of the text as it is now."""
    text = document.text
    if start > end:
        return _out_of_range(start, end, _length_at(document, history, base_seq, unit))
    first, last = start, end
    if base_seq != document.version.seq:
        moved = _move(history.spans_since(base_seq, unit), scope, start, end)
        if moved is None:
            if end > (length := _length_at(document, history, base_seq, unit)):
                return _out_of_range(start, end, length)
            return _changed(scope, document.version.seq - base_seq)
        first, last = moved
    # What lay outside the text of that version still does.
    if last > (text.utf16_length if unit == "utf16" else len(text)):
        return _out_of_range(start, end, _length_at(document, history, base_seq, unit))
    if unit == "codepoint":
        return Carried(first, last)
    begin, stop = text.from_utf16(first), text.from_utf16(last)
    if begin is None or stop is None:
        return Miss(
            "OFFSET_IN_SURROGATE",
            f"offset {start if begin is None else end} falls inside a surrogate pair",
            "Move the offset before or after the character, or count with unit=codepoint.",
        )
    return Carried(begin, stop)


def _move(spans: Iterable[tuple[int, int, int]], scope: Scope, first: int, last: int) -> tuple[int, int] | None:
    """Carry a stretch over changes in order; None if one changed what the scope protects there.

    Of the sections that it was in, one may be gone since: what is left of the stretch does not show that.
    """
    changes = reaches_into if scope == "section" else touches
    for start, end, growth in spans:
        if end < first:
            # Nearly all of what many authors do lies wholly before or wholly behind.
            first += growth
            last += growth
        elif start <= last:
            span = Span(start, end, growth)
            if changes(first, last, span):
                return None
            first, last = map_point(first, span), map_point(last, span)
    return first, last


def _changed(scope: Scope, missed: int) -> Conflicted:
    return Conflicted("section_changed" if scope == "section" else "range_changed", missed)


def _length_at(document: Document, history: History, seq: int, unit: Unit) -> int:
    """Return the length of the text at version `seq`."""
    length = document.text.utf16_length if unit == "utf16" else len(document.text)
    return length - sum(growth for _start, _end, growth in history.spans_since(seq, unit))


def _out_of_range(start: int, end: int, length: int) -> Miss:
    told = f"offset {start}" if start == end else f"range {start} to {end}"
    return Miss(
        "OFFSET_OUT_OF_RANGE",
        f"{told} does not lie within the {length} characters of that version",
        "Count offsets in the version you name, in the unit you name, from before the text to after it.",
    )


def _edit(document: Document, operation: Operation, place: Place | Miss) -> Edit | Miss:
    if isinstance(operation.target, HeadingTarget):
        return edit_section(document, operation, operation.target.heading, place)
    if isinstance(place, Miss):
        return place
    content = operation.content or ""
    if operation.options.dedent or operation.options.relative_headings or "\r" in content:
        segment = document.outline.segment_at(place.start)
        level = document.outline.heading(segment - 1).level if segment else 0
        content = fit(content, operation.options, level)
    return make_edit(document, operation, place, content)


def _fits_scope(document: Document, history: History, operation: Operation, edit: Edit, base_seq: int) -> bool:
    """Tell whether nothing that the scope protects has changed since the version the operation stands on."""
    splice = edit.splice
    if operation.scope == "section":
        outline = document.outline
        touched = set(outline.touched(splice.start, splice.end - splice.start, splice.insert))
        if edit.section >= 0:
            touched.add(edit.section + 1)
        return all(outline.changed[segment].seq <= base_seq for segment in touched)
    if isinstance(operation.target, PositionTarget) and isinstance(operation.target.position, OffsetMode | RangeMode):
        return True
    return history.untouched_since(base_seq, min(edit.found_start, splice.start), max(edit.found_end, splice.end))


def _changes(document: Document, operation: Operation, splice: Splice) -> Changes:
    """Tell the newlines that set content apart from what follows as a change of their own, and before it.

    So what continues the text of the operation goes between the two, and the two are still undone as they were.
    """
    lines = blank_lines(operation, "section" if isinstance(operation.target, HeadingTarget) else "range")
    tail = newlines_lacking_after(document.text, splice.end, lines) if lines and operation.action != "delete" else 0
    if not tail:
        return (splice,)
    end = splice.end
    return Splice(end, end, "\n" * tail), Splice(splice.start, end, splice.insert[:-tail])


def _bounded(document: Document, changes: Changes, limits: Limits) -> Miss | None:
    """Refuse changes that make the text too large, or that no event can carry; they come last place first."""
    inserted = 0
    for splice in changes:
        inserted += len(splice.insert)
    # JSON may escape a character in six; what was checked when it came may have grown by being fitted.
    if inserted * 6 > EVENT_TEXT_BYTES_MIN and _json_bytes(changes) > limits.event_text_bytes_max:
        return Miss(
            "INVALID_OPERATION",
            "the text to insert is larger than one event can carry",
            "Insert it in several operations; what a revert would put back stands in the version before.",
        )
    size = document.text.size_bytes + inserted * 4
    if size <= limits.canvas_bytes_max:
        return None
    size = document.text.size_bytes
    for splice in changes:
        size += utf8_length(splice.insert) - utf8_length(document.text.slice(splice.start, splice.end))
    if size <= limits.canvas_bytes_max or size <= document.text.size_bytes:
        return None
    return Miss(
        "CANVAS_TOO_LARGE",
        f"the canvas would take {size} bytes, and {limits.canvas_bytes_max} are allowed",
        "Delete text first, or go on in another canvas.",
    )


def _json_bytes(changes: Changes) -> int:
    return sum(len(msgspec.json.encode(splice.insert)) for splice in changes)


def _revert(document: Document, history: History, operation: Operation, base_seq: int, limits: Limits) -> Decision:
    if not isinstance(operation.target, OpTarget):
        return Miss("INVALID_OPERATION", "revert needs an op target", "Name the operation to undo in target.op.op_id.")
    undone_id = operation.target.op.op_id
    applied = history.find(undone_id)
    if applied is None:
        return unknown_op(undone_id)
    missed = document.version.seq - base_seq
    undone = None if history.reverted_by(undone_id) else history.whole_now(applied)
    if undone is None:
        return Conflicted("overlap", missed)
    # Changes come last place first, so where two are at one place now, they stay in the order they have.
    undone.sort(key=lambda stretch: stretch[0], reverse=True)
    changes = tuple(Splice(start, end, gone) for start, end, gone in undone)
    if operation.scope == "section" and missed:
        for splice in changes:
            edit = Edit(splice, -1, splice.start, splice.end)
            if not _fits_scope(document, history, operation, edit, base_seq):
                return Conflicted("section_changed", missed)
    return _bounded(document, changes, limits) or Accepted(changes, base_seq, undone_id)
