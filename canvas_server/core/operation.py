"""The operation language (PROTOCOL sections 3 and 6): what an author may ask for, as types that check themselves.

The types refuse what has the wrong shape while the JSON is read; `check_operation` refuses what depends on a limit
or on two fields at once. What depends on the text of the canvas is `core.decide`'s to say.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.ids import OP_ID_PATTERN
from canvas_server.core.limits import Limits

Unit: TypeAlias = Literal["utf16", "codepoint"]
Scope: TypeAlias = Literal["canvas", "section", "range"]
Action: TypeAlias = Literal["insert", "replace", "delete", "upsert_section", "revert"]
Where: TypeAlias = Literal["at", "before", "after", "inside_start", "inside_end", "replace_match"]
Offset: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Nth: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1, description="1 is the first; negative: from the end.")]
Level: TypeAlias = Annotated[int, Meta(ge=1, le=6)]
HeadingTitle: TypeAlias = Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00]*$")]
MetaText: TypeAlias = Annotated[str, Meta(pattern=r"^[^\x00]*$")]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A part of an operation: no field it does not know."""


class StartMode(_Strict, frozen=True, kw_only=True, tag_field="mode", tag="start"):
    """Offset 0."""


class EndMode(_Strict, frozen=True, kw_only=True, tag_field="mode", tag="end"):
    """The end of the text."""


class OffsetMode(_Strict, frozen=True, kw_only=True, tag_field="mode", tag="offset"):
    """A point, in the coordinates of `client_version`."""

    offset: Offset


class RangeMode(_Strict, frozen=True, kw_only=True, tag_field="mode", tag="range"):
    """The text from `from` to `to`, in the coordinates of `client_version`."""

    start: Offset = msgspec.field(name="from")
    end: Offset = msgspec.field(name="to")


class HeadingPlace(_Strict, frozen=True, kw_only=True):
    """A section, by its titles or by its id."""

    path: Annotated[tuple[HeadingTitle, ...], Meta(min_length=1, max_length=32)] | None = None
    """Titles, outermost first; any contiguous suffix of the real path is enough."""
    heading_id: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """The id that the outline gives the heading."""
    level: Level | None = None
    nth: Nth | None = None


class TextPlace(_Strict, frozen=True, kw_only=True):
    """An exact piece of text."""

    match: Annotated[str, Meta(min_length=1)]
    nth: Nth | None = None


class RegexPlace(_Strict, frozen=True, kw_only=True):
    """What a pattern in RE2 syntax matches."""

    pattern: Annotated[str, Meta(min_length=1)]
    flags: Annotated[str, Meta(pattern="^[ims]{0,3}$(?!\n)")] = ""
    nth: Nth | None = None


class AnchorPlace(_Strict, frozen=True, kw_only=True):
    """A point that has a name."""

    name: Literal["doc_start", "doc_end", "after_toc", "before_first_heading"]


class OpPlace(_Strict, frozen=True, kw_only=True):
    """The text that an earlier operation inserted, wherever it is now."""

    op_id: Annotated[str, Meta(min_length=1, max_length=80)]


class PositionTarget(_Strict, frozen=True, kw_only=True, tag_field="type", tag="position"):
    """A point or a range, by offsets."""

    position: StartMode | EndMode | OffsetMode | RangeMode


class HeadingTarget(_Strict, frozen=True, kw_only=True, tag_field="type", tag="heading"):
    """A section."""

    heading: HeadingPlace


class TextTarget(_Strict, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A match of exact text."""

    text: TextPlace


class RegexTarget(_Strict, frozen=True, kw_only=True, tag_field="type", tag="regex"):
    """A match of a pattern."""

    regex: RegexPlace


class AnchorTarget(_Strict, frozen=True, kw_only=True, tag_field="type", tag="anchor"):
    """A named point."""

    anchor: AnchorPlace


class OpTarget(_Strict, frozen=True, kw_only=True, tag_field="type", tag="op"):
    """The text of an earlier operation."""

    op: OpPlace


Target: TypeAlias = PositionTarget | HeadingTarget | TextTarget | RegexTarget | AnchorTarget | OpTarget


class Options(_Strict, frozen=True, kw_only=True):
    """How `content` is fitted to its place."""

    surround_with_blank_lines: Annotated[int, Meta(ge=0, le=3)] | None = None
    """Blank lines before and after; 1 for sections, else 0."""
    ensure_heading: bool = False
    """An insert into a section that does not exist creates it."""
    dedent: bool = False
    """Take common leading white space off `content` first."""
    subsections: bool = True
    """False: the section ends before its first sub-heading."""
    relative_headings: bool = False
    """Headings in `content` start one level below the target section."""


NO_OPTIONS: Final = Options()


class Operation(_Strict, frozen=True, kw_only=True):
    """A request to change a canvas; it may be refused (PROTOCOL section 3)."""

    op_id: Annotated[
        str, Meta(pattern=f"{OP_ID_PATTERN}(?!\n)", description="Chosen by the author, unique in the canvas.")
    ]
    action: Action
    target: Target
    client_version: str | None = None
    """The version the author has seen; required on the first operation of a request."""
    scope: Scope = "canvas"
    """What must not have changed since `client_version`."""
    where: Where | None = None
    content: str | None = None
    options: Options = NO_OPTIONS
    timestamp: Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)] | None = None
    """The author's clock, in ms."""
    meta: dict[MetaText, MetaText] | None = None
    """Kept in the history: model, job, prompt hash ..."""


class Continuation(_Strict, frozen=True, kw_only=True):
    """A line of a streamed request that goes on with the text of the line before it."""

    scope: ClassVar[Scope] = "range"
    content: str


def payload_digest(operation: Operation) -> str:
    """Return 16 hex digits that differ when an op id is used again for something else.

    Covers action, target, where, content and options, which is what must not differ.
    """
    told = msgspec.json.encode(
        (operation.action, operation.target, operation.where, operation.content, operation.options)
    )
    return sha256(told).hexdigest()[:16]


def continued_op_id(op_id: str, number: int) -> str:
    """Return the name of a continuation line: the `number`-th, from 1, after the line of operation `op_id`."""
    return f"{op_id}.{number}"


def continue_operation(op_id: str, after_op_id: str, content: str) -> Operation:
    """Return the operation that a continuation line stands for."""
    return Operation(
        op_id=op_id,
        action="insert",
        target=OpTarget(op=OpPlace(op_id=after_op_id)),
        scope=Continuation.scope,
        where="after",
        content=content,
    )


def check_operation(operation: Operation, limits: Limits, pointer: str) -> None:
    """Refuse an operation whose fields do not go together or pass a limit.

    Args:
        operation: as read.
        limits: the bounds in force.
        pointer: JSON Pointer of the operation in its request.

    Raises:
        InvalidFieldError: with the pointer of the field.
    """
    content = operation.content
    if content is None:
        if operation.action in {"insert", "replace", "upsert_section"}:
            raise InvalidFieldError(
                f"{operation.action} needs content",
                pointer=f"{pointer}/content",
                hint="Give the text in content; it may be empty.",
            )
    else:
        if operation.action in {"delete", "revert"} and content:
            raise InvalidFieldError(
                f"{operation.action} takes no content",
                pointer=f"{pointer}/content",
                hint="Leave content out, or use replace.",
            )
        check_content(content, limits, f"{pointer}/content")
    if not isinstance(operation.target, PositionTarget):
        _check_target(operation.target, limits, f"{pointer}/target")
    if operation.meta is not None:
        _check_meta(operation.meta, limits, f"{pointer}/meta")


def check_content(content: str, limits: Limits, pointer: str) -> None:
    """Refuse content that is too large, or that no canvas can hold.

    Raises:
        InvalidFieldError: NUL, or more bytes than `content_bytes_max`, or than an event can carry.
    """
    if "\0" in content:
        raise InvalidFieldError("content holds a NUL character", pointer=pointer, hint="Remove U+0000.")
    if len(content) * 6 <= limits.content_bytes_max:
        return
    if len(content.encode()) > limits.content_bytes_max:
        raise InvalidFieldError(
            f"content takes more than {limits.content_bytes_max} bytes",
            pointer=pointer,
            hint="Send it as several operations, or as a streamed request.",
        )
    if len(msgspec.json.encode(content)) > limits.event_text_bytes_max:
        raise InvalidFieldError(
            "content holds so many characters which JSON must escape that no event can carry it",
            pointer=pointer,
            hint="Send it as several operations.",
        )


def _check_target(target: Target, limits: Limits, pointer: str) -> None:
    match target:
        case HeadingTarget(heading=place):
            if (place.path is None) == (place.heading_id is None):
                raise InvalidFieldError(
                    "a heading target names either path or heading_id",
                    pointer=f"{pointer}/heading",
                    hint="Give the titles in path, or the id that the outline tells.",
                )
            _check_nth(place.nth, f"{pointer}/heading/nth")
        case TextTarget(text=text_place):
            check_content(text_place.match, limits, f"{pointer}/text/match")
            _check_nth(text_place.nth, f"{pointer}/text/nth")
        case RegexTarget(regex=regex_place):
            if len(regex_place.pattern) > limits.regex_chars_max:
                raise InvalidFieldError(
                    f"pattern is longer than {limits.regex_chars_max} characters",
                    pointer=f"{pointer}/regex/pattern",
                    hint="Use a shorter pattern, or a text target.",
                )
            _check_nth(regex_place.nth, f"{pointer}/regex/nth")
        case _:
            return


def _check_nth(nth: int | None, pointer: str) -> None:
    if nth == 0:
        raise InvalidFieldError(
            "nth counts from 1", pointer=pointer, hint="Use 1 for the first match, -1 for the last."
        )


def _check_meta(meta: dict[str, str], limits: Limits, pointer: str) -> None:
    if len(meta) > limits.meta_keys_max:
        raise InvalidFieldError(
            f"meta has more than {limits.meta_keys_max} keys", pointer=pointer, hint="Keep the keys that matter."
        )
    for key, value in meta.items():
        if max(len(key), len(value)) > limits.meta_chars_max:
            raise InvalidFieldError(
                f"a key or value of meta is longer than {limits.meta_chars_max} characters",
                pointer=pointer,
                hint="Keep a hash or an id instead of the text.",
            )
