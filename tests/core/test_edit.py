"""Each action does with each kind of place what the tables of PROTOCOL section 6 say, or says why not."""

from __future__ import annotations

import pytest

from tests.core.test_decide import END, Desk, at, between, match, reason, section, text_by

TEXT = "# A\n\none two\n\n## A1\n\ndeep\n\n# B\n\nend\n"
SECTION_A = section("A")


@pytest.mark.parametrize("where", ["at", "before", "after", "inside_start", "inside_end"])
@pytest.mark.parametrize("action", ["replace", "delete"])
def test_only_an_insert_may_say_where(action: str, where: str) -> None:
    content = None if action == "delete" else "x"
    for target in (SECTION_A, match("one"), between(0, 3)):
        assert reason(Desk(TEXT).run(action, target, content, where=where)) == "INVALID_OPERATION"


def test_an_insert_replaces_nothing() -> None:
    for target in (SECTION_A, match("one"), between(0, 3), END):
        assert reason(Desk(TEXT).run("insert", target, "x", where="replace_match")) == "INVALID_OPERATION"


@pytest.mark.parametrize("target", [END, at(3), {"type": "anchor", "anchor": {"name": "doc_end"}}])
def test_a_point_has_nothing_to_replace_or_delete(target: dict[str, object]) -> None:
    assert reason(Desk(TEXT).run("replace", target, "x")) == "INVALID_OPERATION"
    assert reason(Desk(TEXT).run("delete", target)) == "INVALID_OPERATION"


@pytest.mark.parametrize("target", [END, match("one"), between(0, 3)])
def test_only_a_heading_names_a_section_to_upsert(target: dict[str, object]) -> None:
    assert reason(Desk(TEXT).run("upsert_section", target, "x")) == "INVALID_OPERATION"


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("at", "a-one-b"),
        ("before", "a-Xone-b"),
        ("after", "a-oneX-b"),
        ("inside_start", "a-Xone-b"),
        ("inside_end", "a-oneX-b"),
    ],
)
def test_an_insert_acts_at_either_end_of_a_match_or_an_operation(where: str, text: str) -> None:
    expected = "a-Xone-b" if where == "at" else text
    desk = Desk("a-one-b")
    desk.run("insert", match("one"), "X", where=where)
    assert desk.text == expected
    desk = Desk("a--b")
    desk.run("insert", at(2), "one", op_id="mine")
    desk.run("insert", text_by("mine"), "X", where=where)
    assert desk.text == expected


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("before", "X\n\n# A\n\none\n\n# B\n"),
        ("inside_start", "# A\n\nX\n\none\n\n# B\n"),
        ("at", "# A\n\none\n\nX\n\n# B\n"),
        ("inside_end", "# A\n\none\n\nX\n\n# B\n"),
        ("after", "# A\n\none\n\nX\n\n# B\n"),
    ],
)
def test_an_insert_into_a_section_stands_apart_by_a_blank_line(where: str, text: str) -> None:
    desk = Desk("# A\n\none\n\n# B\n")
    desk.run("insert", SECTION_A, "X\n", where=where)
    assert desk.text == text


def test_an_operation_writes_behind_the_text_of_another_unless_it_says_where() -> None:
    desk = Desk("ab")
    desk.run("insert", at(1), "one", op_id="mine")
    desk.run("insert", text_by("mine"), "X")
    desk.run("replace", text_by("mine"), "1")
    assert desk.text == "a1Xb"
    desk.run("delete", text_by("mine"))
    assert reason(desk.run("insert", text_by("mine"), "X")) == "TARGET_NOT_FOUND"
    assert reason(desk.run("insert", text_by("never"), "X")) == "UNKNOWN_OP"


@pytest.mark.parametrize(
    ("before", "path", "level", "after"),
    [
        ("", ["N"], None, "# N\n\nx"),
        ("text", ["N"], None, "text\n\n# N\n\nx"),
        ("# T\n\n## A\n", ["N"], None, "# T\n\n## A\n\n## N\n\nx"),
        ("## A\n\n### B\n", ["N"], None, "## A\n\n### B\n\n## N\n\nx"),
        ("# A\n\n# B\n", ["N"], None, "# A\n\n# B\n\n# N\n\nx"),
        ("# A\n\n# B\n", ["A", "N"], None, "# A\n\n## N\n\nx\n\n# B\n"),
        ("# A\n", ["A", "N"], 4, "# A\n\n#### N\n\nx"),
    ],
)
def test_a_new_section_stands_at_the_end_of_its_parent_on_its_level(
    before: str, path: list[str], level: int | None, after: str
) -> None:
    desk = Desk(before)
    assert (
        reason(desk.run("upsert_section", {"type": "heading", "heading": {"path": path, "level": level}}, "x")) == "ack"
    )
    assert desk.text.rstrip("\n") == after.rstrip("\n")


@pytest.mark.parametrize(("before", "level"), [("###### A\n", None), ("## A\n", 2), ("## A\n", 1)])
def test_a_section_is_not_created_on_a_level_that_cannot_stand_under_its_parent(before: str, level: int | None) -> None:
    """Its path would never find it again, so that every further upsert created one more."""
    desk = Desk(before)
    target: dict[str, object] = {"type": "heading", "heading": {"path": ["A", "N"], "level": level}}
    assert reason(desk.run("upsert_section", target, "x")) == "INVALID_OPERATION"
    assert desk.text == before


def test_a_section_is_not_created_under_a_parent_that_is_missing_or_unclear() -> None:
    target: dict[str, object] = {"type": "heading", "heading": {"path": ["P", "N"]}}
    assert reason(Desk(TEXT).run("upsert_section", target, "x")) == "TARGET_NOT_FOUND"
    assert reason(Desk("# P\n\n# P\n").run("upsert_section", target, "x")) == "TARGET_AMBIGUOUS"


@pytest.mark.parametrize("title", ["A", "A #", "A # #", "A#", "#", "", "A\\#", "## A", "A\nB", "A\u00a0B"])
def test_a_section_that_was_created_is_found_under_the_title_it_was_asked_for(title: str) -> None:
    """`A # #` was written as `# A #`, which is a heading `A`: asking again made another one each time."""
    desk = Desk("text")
    target: dict[str, object] = {"type": "heading", "heading": {"path": [title]}}
    desk.run("upsert_section", target, "one")
    desk.run("upsert_section", target, "two")
    assert len(desk.canvas.document.outline) == 1
    assert desk.text.endswith("\n\ntwo")
