"""Strategies: what authors may ask for, whatever they have seen and however they count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from hypothesis import strategies as st

from canvas_server.core.operation import (
    Action,
    AnchorPlace,
    AnchorTarget,
    EndMode,
    HeadingPlace,
    HeadingTarget,
    OffsetMode,
    Operation,
    OpPlace,
    OpTarget,
    Options,
    PositionTarget,
    RangeMode,
    RegexPlace,
    RegexTarget,
    Scope,
    StartMode,
    Target,
    TextPlace,
    TextTarget,
    Unit,
    Where,
)
from canvas_server.core.splice import utf16_length

_AnchorName: TypeAlias = Literal["doc_start", "doc_end", "after_toc", "before_first_heading"]
_Mode: TypeAlias = StartMode | EndMode | OffsetMode | RangeMode

STARTS: Final = [
    "",
    "# A\n\none 😀 two\n\n## B\n\nthree\n\n# C\n\nfour\n",
    "---\ntitle: x\n---\n\n# A\n\n[TOC]\n\nwords\n\nB\n---\n\nmore 😀\n",
    "plain text\nwithout headings\n",
]
CONTENTS: Final = [
    "", "x", "😀", "\n", "words 😀\n", "# A\n", "\n## B\n\nbody\n", "# C 😀\n\ntext", "- item\n", "```\n", "===\n",
    "  indented\n", "one\r\ntwo\r",
]  # fmt: skip
TITLES: Final = ["A", "B", "C", "C 😀", "nobody"]

units: st.SearchStrategy[Unit] = st.sampled_from(["utf16", "codepoint"])
scopes: st.SearchStrategy[Scope] = st.sampled_from(["canvas", "section", "range"])
contents = st.sampled_from(CONTENTS)
_actions: st.SearchStrategy[Action] = st.sampled_from(
    ["insert", "insert", "insert", "replace", "replace", "delete", "upsert_section", "revert"]
)
_wheres: st.SearchStrategy[Where | None] = st.sampled_from(
    [None, None, None, None, "at", "before", "after", "inside_start", "inside_end", "replace_match"]
)
_nth = st.sampled_from([None, None, 1, 2, -1])
_options = st.one_of(
    st.just(Options()),
    st.builds(
        Options,
        surround_with_blank_lines=st.sampled_from([None, 0, 1, 2]),
        ensure_heading=st.booleans(),
        dedent=st.booleans(),
        subsections=st.booleans(),
        relative_headings=st.booleans(),
    ),
)


def in_unit(text: str, offset: int, unit: Unit) -> int:
    """Return an offset in code points as an author counts it."""
    return utf16_length(text[:offset]) if unit == "utf16" else offset


def positions(text: str, unit: Unit) -> st.SearchStrategy[Target]:
    """Places that an author sees in a text."""
    offsets = st.integers(0, len(text))
    one: st.SearchStrategy[_Mode] = offsets.map(lambda at: OffsetMode(offset=in_unit(text, at, unit)))
    two: st.SearchStrategy[_Mode] = st.tuples(offsets, offsets).map(
        lambda pair: RangeMode(start=in_unit(text, min(pair), unit), end=in_unit(text, max(pair), unit))
    )
    ends: st.SearchStrategy[_Mode] = st.sampled_from([StartMode(), EndMode()])
    beyond: st.SearchStrategy[_Mode] = st.just(OffsetMode(offset=len(text) * 2 + 1))
    return st.one_of(one, two, two, ends, beyond).map(lambda mode: PositionTarget(position=mode))


def _headings() -> st.SearchStrategy[Target]:
    paths = st.lists(st.sampled_from(TITLES), min_size=1, max_size=2).map(tuple)
    by_path = st.builds(HeadingPlace, path=paths, level=st.sampled_from([None, None, 1, 2]), nth=_nth)
    by_id = st.builds(HeadingPlace, heading_id=st.sampled_from(["a", "b", "c", "a-1", "c-"]))
    return st.one_of(by_path, by_path, by_id).map(lambda heading: HeadingTarget(heading=heading))


def targets(text: str, unit: Unit, op_ids: Sequence[str]) -> st.SearchStrategy[Target]:
    """Whatever an author may point at, having seen `text` and acks of `op_ids`."""
    matches = st.sampled_from(["o", "😀", "words", "\n\n", "# ", "missing"])
    texts = st.builds(TextPlace, match=matches, nth=_nth).map(lambda place: TextTarget(text=place))
    patterns = st.sampled_from(["[a-z]+", "^#+ .*$", r"\s+", "😀|x", "", "(?=x)", "("])
    regexes = st.builds(
        RegexPlace, pattern=patterns.filter(bool), flags=st.sampled_from(["", "m", "ims"]), nth=_nth
    ).map(lambda place: RegexTarget(regex=place))
    names: st.SearchStrategy[_AnchorName] = st.sampled_from(
        ["doc_start", "doc_end", "after_toc", "before_first_heading"]
    )
    anchors = names.map(lambda name: AnchorTarget(anchor=AnchorPlace(name=name)))
    named = st.sampled_from([*op_ids[-6:], "unknown"]).map(lambda op_id: OpTarget(op=OpPlace(op_id=op_id)))
    return st.one_of(positions(text, unit), positions(text, unit), _headings(), texts, regexes, anchors, named)


@st.composite
def operations(
    draw: st.DrawFn, op_id: str, base: str | None, seen: str, unit: Unit, op_ids: Sequence[str]
) -> Operation:
    """An operation of an author who saw the text `seen` at version `base`."""
    action = draw(_actions)
    if action == "revert":
        target: Target = OpTarget(op=OpPlace(op_id=draw(st.sampled_from([*op_ids[-6:], "unknown"]))))
    else:
        target = draw(targets(seen, unit, op_ids))
    return Operation(
        op_id=op_id,
        action=action,
        target=target,
        client_version=base,
        scope=draw(scopes),
        where=draw(_wheres),
        content=None if action in ("delete", "revert") else draw(contents),
        options=draw(_options),
    )
