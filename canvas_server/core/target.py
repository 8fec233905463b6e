"""From a target to a place in the text, or why there is none (PROTOCOL section 6).

No guessing: nothing found, or several things found, is a `Miss` that teaches what is there.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple, TypeAlias, assert_never

import msgspec
import re2
from rapidfuzz import fuzz, process

from canvas_server.core.content import content_end
from canvas_server.core.document import Document
from canvas_server.core.event import Candidate, ErrorCode
from canvas_server.core.history import History
from canvas_server.core.operation import (
    AnchorPlace,
    AnchorTarget,
    HeadingPlace,
    HeadingTarget,
    OpPlace,
    OpTarget,
    RegexPlace,
    RegexTarget,
    TextPlace,
    TextTarget,
)

_CANDIDATES: Final = 3
_MATCHES_MAX: Final = 10_000
_LINES_LOOKED_AT: Final = 20_000
_LINE_TOLD: Final = 120
_REGEX_MEMORY_BYTES: Final = 8 * 1024 * 1024
_TOC_MARKERS: Final = (
    re.compile(r"<!--[ \t]*(?:tocstop|/toc)[ \t]*-->[^\n]*\n?"),
    re.compile(r"^[ \t]*(?:\[TOC\]|\[\[toc\]\]|\[\[_TOC_\]\])[ \t]*(?:\n|\Z)", re.MULTILINE),
)
_TOC_TITLES: Final = {"table of contents", "contents", "table des matières", "sommaire"}
_UNSUPPORTED_BY_RE2: Final = re.compile(r"invalid perl operator|invalid escape sequence: \\+[1-9k]|\(\?P=")

LocatedTarget: TypeAlias = HeadingTarget | TextTarget | RegexTarget | AnchorTarget | OpTarget


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an operation wants to act, in code points of the text as it is now."""

    kind: Literal["point", "range", "section"]
    start: int
    end: int
    body_start: int = 0
    """Of a section: after the newline that ends its heading."""
    content_end: int = 0
    """Of a section: after its last line that is not blank."""
    section: int = -1
    """Of a section: its index in the outline; else -1."""


class Miss(NamedTuple):
    """Why a target is not a place."""

    code: ErrorCode
    message: str
    hint: str
    candidates: tuple[Candidate, ...] = ()


def locate(document: Document, history: History, target: LocatedTarget, subsections: bool) -> Place | Miss:
    """Resolve a target in the text as it is now."""
    match target:
        case HeadingTarget(heading=heading):
            return locate_heading(document, heading, subsections)
        case TextTarget(text=text):
            return _locate_text(document, text)
        case RegexTarget(regex=regex):
            return _locate_regex(document, regex)
        case AnchorTarget(anchor=anchor):
            return _locate_anchor(document, anchor)
        case OpTarget(op=op):
            return _locate_op(history, op)
        case _:
            assert_never(target)


def section_place(document: Document, index: int, subsections: bool) -> Place:
    """Return the place of section `index` of the outline."""
    outline = document.outline
    heading = outline.heading(index)
    end = outline.section_end(index) if subsections else outline.own_end(index)
    stop = content_end(document.text, heading.start, end)
    return Place("section", heading.start, end, heading.body_start, stop, index)


def unknown_op(op_id: str) -> Miss:
    """Say that an operation is not among those held."""
    return Miss(
        "UNKNOWN_OP",
        f"no operation {op_id!r} was applied among those still held",
        "Name an operation whose ack you saw, or use another target.",
    )


def find_sections(document: Document, place: HeadingPlace) -> list[int]:
    """Return the indices of the sections that a heading target names, `nth` aside."""
    outline = document.outline
    if place.heading_id is not None:
        index = outline.index_of_id(place.heading_id)
        found = [] if index is None else [index]
    else:
        assert place.path is not None
        path = tuple(map(as_title, place.path))
        found = [index for index in outline.indices_of_title(path[-1]) if outline.path(index)[-len(path) :] == path]
    if place.level is not None:
        found = [index for index in found if outline.heading(index).level == place.level]
    return found


def as_title(text: str) -> str:
    """Return a title as titles compare: white space collapsed, closing `#`s stripped."""
    title = " ".join(text.split())
    shorter = title.rstrip("#")
    return shorter.rstrip() if not shorter or shorter.endswith(" ") else title


def locate_heading(document: Document, place: HeadingPlace, subsections: bool) -> Place | Miss:
    """Return the place of the section that a heading target names."""
    found = find_sections(document, place)
    chosen = _choose(found, place.nth)
    if chosen is not None:
        return section_place(document, chosen, subsections)
    wanted = place.heading_id or " > ".join(place.path or ())
    if not found:
        return Miss(
            "TARGET_NOT_FOUND",
            f"no section {wanted!r}",
            "Use one of the candidates, or read the outline; upsert_section creates a section.",
            _nearest_headings(document, (place.path or (wanted,))[-1]),
        )
    told = tuple(_heading_candidate(document, index) for index in found[:_CANDIDATES])
    return _several(len(found), f"sections {wanted!r}", place.nth, told)


def _locate_text(document: Document, place: TextPlace) -> Place | Miss:
    text = str(document.text)
    needle = place.match.replace("\r\n", "\n").replace("\r", "\n")
    if place.nth is not None:
        count = text.count(needle)
        wanted = place.nth if place.nth > 0 else count + place.nth + 1
        if 1 <= wanted <= count:
            # `count` takes matches from the left, none over another: the one wanted ends where it first counts so many.
            end = bisect_left(range(len(text)), wanted, key=lambda stop: text.count(needle, 0, stop))
            return Place("range", end - len(needle), end)
    found = [(start, start + len(needle)) for start in islice(_occurrences(text, needle), _MATCHES_MAX)]
    return _one_match(text, found, place.nth, needle)


def _locate_regex(document: Document, place: RegexPlace) -> Place | Miss:
    pattern = _compile(place)
    if isinstance(pattern, Miss):
        return pattern
    text = str(document.text)
    wanted = 2 if place.nth is None else place.nth if place.nth > 0 else _MATCHES_MAX
    found = [match.span() for match in islice(pattern.finditer(text), min(wanted, _MATCHES_MAX))]
    re2.purge()
    if len(found) == _MATCHES_MAX and place.nth is not None and place.nth != _MATCHES_MAX:
        told = tuple(_line_candidate(text, start) for start, _end in found[:_CANDIDATES])
        return _several(_MATCHES_MAX, f"or more matches of {_shortened(place.pattern)!r}", None, told)
    return _one_match(text, found, place.nth, place.pattern)


def _locate_anchor(document: Document, place: AnchorPlace) -> Place | Miss:
    outline = document.outline
    match place.name:
        case "doc_start":
            return _point(outline.front_matter_end)
        case "doc_end":
            return _point(len(document.text))
        case "before_first_heading":
            if len(outline):
                return _point(outline.heading(0).start)
            return Miss("TARGET_NOT_FOUND", "there is no heading", "Use doc_start or doc_end, or add a heading first.")
        case "after_toc":
            end = _toc_end(document)
            if end is not None:
                return _point(end)
            return Miss(
                "TARGET_NOT_FOUND",
                "there is no table of contents",
                "Use doc_start or before_first_heading, or add a line [TOC] first.",
            )
        case _:
            assert_never(place.name)


def _locate_op(history: History, place: OpPlace) -> Place | Miss:
    applied = history.find(place.op_id)
    if applied is None:
        return unknown_op(place.op_id)
    where = history.inserted_by(applied)
    if where is None:
        return Miss(
            "TARGET_NOT_FOUND",
            f"nothing is left of the text of operation {place.op_id!r}",
            "Read the canvas again and choose another target.",
        )
    return Place("range", *where)


def _toc_end(document: Document) -> int | None:
    text = str(document.text)
    for marker in _TOC_MARKERS:
        if match := marker.search(text):
            return match.end()
    outline = document.outline
    for index in range(len(outline)):
        if outline.heading(index).title.lower() in _TOC_TITLES:
            stop = section_place(document, index, subsections=True).content_end
            return min(stop + 1, len(text))
    return None


def _point(offset: int) -> Place:
    return Place("point", offset, offset)


def _choose(found: Sequence[int], nth: int | None) -> int | None:
    """Return the one that is meant, or None when that is not clear."""
    if nth is None:
        return found[0] if len(found) == 1 else None
    index = nth - 1 if nth > 0 else nth
    return found[index] if -len(found) <= index < len(found) else None


def _one_match(text: str, found: Sequence[tuple[int, int]], nth: int | None, needle: str) -> Place | Miss:
    chosen = _choose(range(len(found)), nth)
    if chosen is not None:
        return Place("range", *found[chosen])
    if not found:
        return Miss(
            "TARGET_NOT_FOUND",
            f"nothing matches {_shortened(needle)!r}",
            "Read the canvas again and match text that is there.",
            _nearest_lines(text, needle),
        )
    told = tuple(_line_candidate(text, start) for start, _end in found[:_CANDIDATES])
    return _several(len(found), f"matches of {_shortened(needle)!r}", nth, told)


def _several(count: int, what: str, nth: int | None, told: tuple[Candidate, ...]) -> Miss:
    if nth is None:
        more = "at least " if count == 2 else ""
        return Miss("TARGET_AMBIGUOUS", f"{more}{count} {what}", "Say which one with nth, or match more text.", told)
    return Miss("TARGET_NOT_FOUND", f"there are {count} {what}, not {abs(nth)}", "Use a smaller nth.", told)


def _occurrences(text: str, needle: str) -> Iterator[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + len(needle))


def _compile(place: RegexPlace) -> re2._Regexp | Miss:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _REGEX_MEMORY_BYTES
    pattern = f"(?{place.flags}){place.pattern}" if place.flags else place.pattern
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
    if _UNSUPPORTED_BY_RE2.search(reason):
        return Miss(
            "REGEX_UNSUPPORTED",
            f"the pattern uses what RE2 does not have: {reason}",
            "Write it without look-around and back-references, or use a text target.",
        )
    return Miss("REGEX_INVALID", f"the pattern cannot be read: {reason}", "Correct the pattern; the syntax is RE2's.")


def _heading_candidate(document: Document, index: int) -> Candidate:
    outline = document.outline
    heading = outline.heading(index)
    line = str(document.text).count("\n", 0, heading.start) + 1
    return Candidate(line=line, text=heading.title, heading_id=outline.id(index), path=outline.path(index))


def _line_candidate(text: str, offset: int) -> Candidate:
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    return Candidate(line=text.count("\n", 0, start) + 1, text=_shortened(text[start : end if end >= 0 else len(text)]))


def _nearest_headings(document: Document, wanted: str) -> tuple[Candidate, ...]:
    outline = document.outline
    titles = [outline.heading(index).title[:_LINE_TOLD].lower() for index in range(min(len(outline), _LINES_LOOKED_AT))]
    near = process.extract(wanted[:_LINE_TOLD].lower(), titles, scorer=fuzz.WRatio, limit=_CANDIDATES)
    return tuple(_heading_candidate(document, index) for _title, _score, index in near)


def _nearest_lines(text: str, needle: str) -> tuple[Candidate, ...]:
    wanted = next((line for line in needle.split("\n") if line.strip()), needle)[:_LINE_TOLD]
    lines = [line[:_LINE_TOLD] for line in text.split("\n", _LINES_LOOKED_AT)[:_LINES_LOOKED_AT]]
    near = process.extract(wanted, lines, scorer=fuzz.ratio, limit=_CANDIDATES, score_cutoff=40)
    return tuple(Candidate(line=index + 1, text=line) for line, _score, index in near)


def _shortened(text: str) -> str:
    return text if len(text) <= _LINE_TOLD else text[:_LINE_TOLD] + "…"
