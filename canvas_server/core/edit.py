"""From a place and an action to one splice (PROTOCOL section 6, the table of actions)."""

from __future__ import annotations

from typing import Final

import msgspec

from canvas_server.core.content import content_end, fit, surround
from canvas_server.core.document import Document
from canvas_server.core.operation import HeadingPlace, Operation, OpTarget, RegexTarget, TextTarget, Where
from canvas_server.core.splice import Splice
from canvas_server.core.target import Miss, Place, as_title, find_sections, locate_heading

_MATCHED: Final = (TextTarget, RegexTarget)

_LEVEL_MAX: Final = 6


class Edit(msgspec.Struct, frozen=True, gc=False):
    """What an operation comes to, before it is known whether it may be applied."""

    splice: Splice
    section: int
    """Index of the section that the target names; -1 when it names none."""
    found_start: int
    """Where what the target named starts, if that must not have changed; else where the splice starts."""
    found_end: int


def make_edit(document: Document, operation: Operation, place: Place, content: str) -> Edit | Miss:
    """Return the splice of an operation on a place.

    Args:
        document: as it is now.
        operation: any but `revert` and `upsert_section`, which have their own way.
        place: where its target is.
        content: its content, fitted.
    """
    match operation.action:
        case "insert":
            where = operation.where or ("after" if isinstance(operation.target, OpTarget) else "at")
            return _insert(document, operation, place, where, content)
        case "replace":
            return _replace(document, operation, place, content)
        case "delete":
            return _delete(document, operation, place)
        case "upsert_section":
            return _invalid("upsert_section needs a heading target", "Name the section by path.")
        case "revert":
            raise AssertionError("revert is decided elsewhere")


def edit_section(document: Document, operation: Operation, heading: HeadingPlace, place: Place | Miss) -> Edit | Miss:
    """Return the splice of an operation whose target is a section, which it may create."""
    creates = operation.action == "upsert_section" or (
        operation.action == "insert" and operation.options.ensure_heading
    )
    if isinstance(place, Miss):
        if (
            creates
            and place.code == "TARGET_NOT_FOUND"
            and heading.path is not None
            and not find_sections(document, heading)
        ):
            return _create_section(document, operation, heading, heading.path)
        return place
    content = fit(operation.content or "", operation.options, document.outline.heading(place.section).level)
    if operation.action != "upsert_section":
        return make_edit(document, operation, place, content)
    if operation.where not in (None, "replace_match"):
        return _invalid("upsert_section takes no where", "Leave where out.")
    return _replace_section(document, operation, place, content, whole=False)


def blank_lines(operation: Operation, place_kind: str) -> int:
    """Return how many blank lines the content is set apart by."""
    wanted = operation.options.surround_with_blank_lines
    if wanted is not None:
        return wanted
    return 1 if place_kind == "section" else 0


def _insert(document: Document, operation: Operation, place: Place, where: Where, content: str) -> Edit | Miss:
    if where == "replace_match":
        return _invalid("insert replaces nothing", "Use replace, or another where.")
    wanted = blank_lines(operation, place.kind)
    if place.kind == "section":
        point = _section_point(place, where, wanted)
    else:
        point = place.end if where in ("after", "inside_end") else place.start
    splice = Splice(point, point, surround(document.text, point, point, content, wanted))
    if isinstance(operation.target, _MATCHED):
        return Edit(splice, place.section, place.start, place.end)
    return Edit(splice, place.section, point, point)


def _section_point(place: Place, where: Where, wanted: int) -> int:
    if where == "before":
        return place.start
    if where == "inside_start":
        return place.body_start
    # Spliced as it is, content may not run on into the heading of an empty section.
    return place.content_end if wanted else max(place.content_end, place.body_start)


def _replace(document: Document, operation: Operation, place: Place, content: str) -> Edit | Miss:
    if operation.where not in (None, "replace_match"):
        return _invalid(f"replace cannot act {operation.where}", "Leave where out, or use insert.")
    if place.kind == "point":
        return _invalid("replace needs a range, and this target is a point", "Use insert, or name a range.")
    if place.kind == "section":
        return _replace_section(document, operation, place, content, whole=operation.where == "replace_match")
    insert = surround(document.text, place.start, place.end, content, blank_lines(operation, place.kind))
    return Edit(Splice(place.start, place.end, insert), -1, place.start, place.end)


def _replace_section(document: Document, operation: Operation, place: Place, content: str, *, whole: bool) -> Edit:
    wanted = blank_lines(operation, "section")
    start = place.start if whole else place.body_start
    end = place.content_end
    if end < start:
        start = end = place.content_end if wanted else place.body_start
    insert = surround(document.text, start, end, content, wanted)
    return Edit(Splice(start, end, insert), place.section, start, end)


def _delete(document: Document, operation: Operation, place: Place) -> Edit | Miss:
    if operation.where not in (None, "replace_match"):
        return _invalid(f"delete cannot act {operation.where}", "Leave where out.")
    if place.kind == "point":
        return _invalid("delete needs a range, and this target is a point", "Name a range, a match or a section.")
    start, end = place.start, place.end
    if place.kind == "section" and end == len(document.text):
        kept = content_end(document.text, 0, start)
        start = min(kept + 1, start) if kept else 0
    return Edit(Splice(start, end, ""), place.section, start, end)


def _create_section(
    document: Document, operation: Operation, heading: HeadingPlace, path: tuple[str, ...]
) -> Edit | Miss:
    """Return the splice that adds a section at the end of its parent, or of the document."""
    outline, text = document.outline, document.text
    if len(path) > 1:
        parent = locate_heading(document, HeadingPlace(path=path[:-1]), subsections=True)
        if isinstance(parent, Miss):
            return parent
        point, section_index = parent.content_end, parent.section
        above = outline.heading(parent.section).level
        level = heading.level or above + 1
        if not above < level <= _LEVEL_MAX:
            message = f"no section of level {level} can stand under one of level {above}"
            return _invalid(message, "Choose another level, or another parent.")
    else:
        point, section_index = content_end(text, 0, len(text)), -1
        level = heading.level or _level_of_new(document)
    wanted_lines = blank_lines(operation, "section")
    title = as_title(path[-1])
    content = fit(operation.content or "", operation.options, level)
    body = content.strip("\n") if wanted_lines else content
    closing = "" if as_title(title) == title else " #"  # it ends in what would be read as a closing sequence
    section = f"{'#' * level} {title}{closing}" + ("\n" * (wanted_lines + 1) + body if body else "")
    insert = surround(text, point, point, section, wanted_lines)
    if wanted_lines == 0 and point > 0 and not insert.startswith("\n"):
        insert = "\n" + insert
    return Edit(Splice(point, point, insert), section_index, point, point)


def _level_of_new(document: Document) -> int:
    """Return the level of a section that is added at the top of a document."""
    outline = document.outline
    levels = [outline.heading(index).level for index in range(len(outline))]
    if not levels:
        return 1
    if levels[0] == 1 and levels.count(1) == 1:
        return 2
    return min(levels)


def _invalid(message: str, hint: str) -> Miss:
    return Miss("INVALID_OPERATION", message, hint)
