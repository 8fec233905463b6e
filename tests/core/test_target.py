"""A target is a place, or teaches what is there: no guessing."""

from __future__ import annotations

import msgspec
import pytest

from canvas_server.core.document import Document
from canvas_server.core.history import History
from canvas_server.core.operation import AnchorTarget, HeadingTarget, RegexTarget, TextTarget
from canvas_server.core.target import LocatedTarget, Miss, Place, as_title, locate
from canvas_server.core.version import genesis

SECTIONS = "intro\n\n# Guide\n\none\n\n## Setup\n\ntwo\n\n# Other\n\n## Setup\n\nthree\n"
AnyTarget = HeadingTarget | TextTarget | RegexTarget | AnchorTarget


def find(content: str, /, **fields: object) -> Place | Miss:
    version = genesis("0123456789abcdef")
    subsections = fields.pop("subsections", True) is True
    kind = next(iter(fields))
    target: LocatedTarget = msgspec.convert({"type": kind, **fields}, AnyTarget)
    return locate(Document(content, version), History(version, 10), target, subsections)


def found(content: str, /, **fields: object) -> str:
    place = find(content, **fields)
    assert isinstance(place, Place), place
    return content[place.start : place.end]


def missed(content: str, /, **fields: object) -> Miss:
    miss = find(content, **fields)
    assert isinstance(miss, Miss), miss
    assert miss.message
    assert miss.hint.endswith(".")
    return miss


@pytest.mark.parametrize(
    ("heading", "body"),
    [
        ({"path": ["Guide"]}, "one\n\n## Setup\n\ntwo"),
        ({"path": ["Guide", "Setup"]}, "two"),
        ({"path": ["Other", " Setup ## "]}, "three"),
        ({"path": ["Setup"], "nth": 2}, "three"),
        ({"path": ["Setup"], "nth": -2}, "two"),
        ({"path": ["Other"], "level": 1}, "## Setup\n\nthree"),
        ({"heading_id": "setup-1"}, "three"),
    ],
)
def test_a_section_is_named_by_a_path_that_is_clear(heading: dict[str, object], body: str) -> None:
    place = find(SECTIONS, heading=heading)
    assert isinstance(place, Place)
    assert SECTIONS[place.body_start : place.content_end].strip("\n") == body


@pytest.mark.parametrize(
    ("heading", "code"),
    [
        ({"path": ["Setup"]}, "TARGET_AMBIGUOUS"),
        ({"path": ["Setup"], "nth": 3}, "TARGET_NOT_FOUND"),
        ({"path": ["guide"]}, "TARGET_NOT_FOUND"),
        ({"path": ["Guide"], "level": 2}, "TARGET_NOT_FOUND"),
        ({"path": ["Other", "Guide"]}, "TARGET_NOT_FOUND"),
        ({"heading_id": "none"}, "TARGET_NOT_FOUND"),
    ],
)
def test_a_section_that_is_not_clear_is_missed_with_candidates(heading: dict[str, object], code: str) -> None:
    miss = missed(SECTIONS, heading=heading)
    assert miss.code == code
    assert 0 < len(miss.candidates) <= 3
    lines = SECTIONS.split("\n")
    assert all(str(candidate.text) in lines[candidate.line - 1] for candidate in miss.candidates)


def test_a_missing_section_is_answered_with_the_nearest_first() -> None:
    candidate = missed(SECTIONS, heading={"path": ["Guides"]}).candidates[0]
    assert (candidate.line, candidate.text, candidate.heading_id, candidate.path) == (3, "Guide", "guide", ("Guide",))


def test_without_subsections_a_section_ends_before_the_first_of_them() -> None:
    place = find(SECTIONS, heading={"path": ["Guide"]}, subsections=False)
    assert isinstance(place, Place)
    assert SECTIONS[place.start : place.end] == "# Guide\n\none\n\n"


@pytest.mark.parametrize(("nth", "start"), [(1, 0), (2, 4), (3, 8), (-1, 8), (-3, 0)])
def test_matches_are_counted_from_either_end(nth: int, start: int) -> None:
    place = find("aba aba aba", text={"match": "aba", "nth": nth})
    assert place == Place("range", start, start + 3)
    assert find("aba aba aba", regex={"pattern": "ab?a", "nth": nth}) == place


@pytest.mark.parametrize("nth", [4, -4])
def test_a_match_beyond_the_last_is_not_found(nth: int) -> None:
    assert missed("a a a", text={"match": "a", "nth": nth}).code == "TARGET_NOT_FOUND"
    assert missed("a a a", regex={"pattern": "a", "nth": nth}).code == "TARGET_NOT_FOUND"


def test_several_matches_without_a_number_are_ambiguous_and_told_by_line() -> None:
    miss = missed("one\ntwo one\nthree\none\none\n", text={"match": "one"})
    assert miss.code == "TARGET_AMBIGUOUS"
    assert [(candidate.line, candidate.text) for candidate in miss.candidates] == [
        (1, "one"),
        (2, "two one"),
        (4, "one"),
    ]


def test_text_that_is_nearly_there_is_answered_with_its_line() -> None:
    miss = missed("first line\nthe quick brown fox\nlast\n", text={"match": "the quik brown fox"})
    assert [(candidate.line, candidate.text) for candidate in miss.candidates][:1] == [(2, "the quick brown fox")]


def test_a_match_is_sought_with_the_line_ends_of_the_canvas() -> None:
    assert found("one\ntwo\n", text={"match": "one\r\ntwo"}) == "one\ntwo"


@pytest.mark.parametrize(
    ("flags", "match"), [("i", "ABC"), ("m", "abc"), ("s", "abc\nx"), ("im", "ABC")], ids=["i", "m", "s", "im"]
)
def test_flags_of_a_pattern_count(flags: str, match: str) -> None:
    patterns = {"i": "^abc", "m": "^abc$", "s": "abc.x", "im": "^abc$"}
    texts = {"i": "ABC", "m": "one\nabc", "s": "abc\nx", "im": "one\nABC\ntwo"}
    assert found(texts[flags], regex={"pattern": patterns[flags], "flags": flags}) == match
    assert missed(texts[flags], regex={"pattern": patterns[flags]}).code == "TARGET_NOT_FOUND"


@pytest.mark.parametrize("pattern", ["(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"(a)\1", r"(?P<n>a)(?P=n)"])
def test_what_re2_does_not_have_is_unsupported(pattern: str) -> None:
    assert missed("aa", regex={"pattern": pattern}).code == "REGEX_UNSUPPORTED"


@pytest.mark.parametrize("pattern", ["(", "a**", "[z-a]", "a{2,1}"])
def test_a_broken_pattern_is_invalid(pattern: str) -> None:
    assert missed("aa", regex={"pattern": pattern}).code == "REGEX_INVALID"


def test_a_pattern_that_hangs_backtracking_engines_is_only_a_pattern() -> None:
    assert missed("a" * 20_000 + "b", regex={"pattern": "^(a+)+$"}).code == "TARGET_NOT_FOUND"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\n<!-- tocstop -->\n", "rest\n"),
        ("a\n<!-- /toc -->", ""),
        ("a\n[TOC]\n", "\nrest\n"),
        ("[[toc]]\n", "rest"),
        ("[[_TOC_]]\n", "rest"),
        ("# Contents\n\n- a\n", "\n# A\n"),
        ("# TABLE OF CONTENTS\n\n- a\n", "\n# A\n"),
        ("# Table des matières\n\n- a\n", "\n# A\n"),
        ("## sommaire\n\n- a\n", ""),
        ("# Contents\n\n[TOC]\n", "\nx\n\n<!-- not one -->\n"),
    ],
)
def test_each_kind_of_table_of_contents_is_found(before: str, after: str) -> None:
    assert find(before + after, anchor={"name": "after_toc"}) == Place("point", len(before), len(before))


@pytest.mark.parametrize("name", ["after_toc", "before_first_heading"])
def test_an_anchor_that_is_not_there_is_not_found(name: str) -> None:
    assert missed("plain\n", anchor={"name": name}).code == "TARGET_NOT_FOUND"


def test_the_start_of_a_document_is_behind_its_front_matter() -> None:
    text = "---\na: 1\n---\n# T\n"
    assert find(text, anchor={"name": "doc_start"}) == Place("point", 13, 13)
    assert find(text, anchor={"name": "doc_end"}) == Place("point", 17, 17)
    assert find(text, anchor={"name": "before_first_heading"}) == Place("point", 13, 13)


@pytest.mark.parametrize(
    ("written", "title"), [(" A  b ", "A b"), ("A ##", "A"), ("A#", "A#"), ("##", ""), ("A # b", "A # b"), ("C #", "C")]
)
def test_titles_compare_without_white_space_and_closing_hashes(written: str, title: str) -> None:
    assert as_title(written) == title


@pytest.mark.parametrize(("nth", "start"), [(-1, 20_004), (-20_005, 0), (10_001, 10_000), (20_005, 20_004)])
def test_of_very_many_matches_of_a_text_each_can_be_named(nth: int, start: int) -> None:
    """Only 10,000 were counted, and -1 named the last of those: an operation changed another place than it said."""
    place = find("e" * 20_005, text={"match": "e", "nth": nth})
    assert isinstance(place, Place)
    assert (place.start, place.end) == (start, start + 1)


@pytest.mark.parametrize("nth", [-1, 10_001])
def test_a_pattern_with_too_many_matches_to_count_is_not_guessed_at(nth: int) -> None:
    """-1 named the last of the first 10,000 matches, as if there were no more."""
    assert missed("e" * 10_005, regex={"pattern": "e", "nth": nth}).code == "TARGET_AMBIGUOUS"
    assert found("e" * 9_999, regex={"pattern": "e", "nth": -1}) == "e"
