"""`cli/merging.py`: three versions of a text become one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.cli.merging import apply_spots, difference, merge

LINES = st.lists(st.sampled_from(["", "# A", "one two", "one three", "two", "x"]), max_size=12)
TEXTS = st.tuples(LINES, st.sampled_from(["", "\n"])).map(lambda drawn: "\n".join(drawn[0]) + drawn[1])


def merged(base: str, mine: str, theirs: str) -> tuple[str, list[int]]:
    spots, both = merge(base, mine, theirs)
    return apply_spots(theirs, spots), both


def test_changes_of_different_lines_are_all_there() -> None:
    assert merged("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n") == ("A\nb\nC\n", [])


def test_changes_of_different_words_of_a_line_are_all_there() -> None:
    assert merged("The bridge is old.", "The bridge is very old.", "That bridge is old.") == (
        "That bridge is very old.",
        [],
    )


def test_a_word_beside_one_that_the_other_changed_is_no_trouble() -> None:
    assert merged("It is old.", "It is new.", "It is very old.") == ("It is very new.", [])
    assert merged("It is old.", "It is very old.", "It is new.") == ("It is very new.", [])


def test_where_both_changed_the_same_words_theirs_stays_and_mine_follows() -> None:
    assert merged("# T\n\nIt is old.\n\nEnd.\n", "# T\n\nIt is new.\n\nEnd.\n", "# T\n\nIt is odd.\n\nEnd.\n") == (
        "# T\n\nIt is odd.\nIt is new.\n\nEnd.\n",
        [4],
    )


def test_where_both_wrote_at_the_end_theirs_comes_first() -> None:
    assert merged("a\n", "a\nmine\n", "a\ntheirs\n") == ("a\ntheirs\nmine\n", [])


def test_where_both_wrote_at_the_end_of_a_text_without_a_last_newline_no_line_is_there_twice() -> None:
    assert merged("a", "a\nmine", "a\ntheirs") == ("a\ntheirs\nmine", [])


def test_what_both_did_is_done_once() -> None:
    assert merged("a\nb\n", "a\nB\n", "a\nB\n") == ("a\nB\n", [])


def test_what_they_changed_and_i_deleted_stays_and_is_told() -> None:
    assert merged("a\nb\nc\n", "a\nc\n", "a\nb!\nc\n") == ("a\nb!\nc\n", [2])


def test_what_i_changed_and_they_deleted_stays() -> None:
    assert merged("a\nb\nc\n", "a\nb!\nc\n", "a\nc\n") == ("a\nb!\nc\n", [2])


def test_a_last_line_without_an_end_is_not_run_into() -> None:
    assert merged("a\nold", "a\nnew", "a\nodd") == ("a\nodd\nnew", [3])


def test_a_change_all_over_is_made_of_few_spots_and_keeps_what_is_between_them() -> None:
    base = "".join(f"line {number} of old text\n" for number in range(1_500))
    mine, theirs = base.replace("old", "new"), base.replace("line 700 of", "line 700 of very")
    spots, both = merge(base, mine, theirs)
    assert len(spots) <= 600
    assert apply_spots(theirs, spots) == theirs.replace("old", "new")
    assert both == []


@given(TEXTS, TEXTS)
def test_a_difference_makes_the_one_text_of_the_other(before: str, after: str) -> None:
    spots = [spot for hunk in difference(before, after) for spot in hunk.spots]
    assert apply_spots(before, spots) == after
    assert apply_spots(before, [hunk.whole for hunk in difference(before, after)]) == after


@given(TEXTS, TEXTS)
def test_when_only_one_of_us_changed_anything_that_is_the_text(base: str, changed: str) -> None:
    assert merged(base, changed, base) == (changed, [])
    assert merged(base, base, changed) == (changed, [])


@given(TEXTS, st.integers(0, 12), st.integers(0, 12))
def test_a_line_that_anybody_wrote_is_in_the_merged_text(base: str, at: int, there: int) -> None:
    lines = base.split("\n")
    mine = "\n".join([*lines[:at], "this is mine", *lines[at + 1 :]])
    theirs = "\n".join([*lines[:there], "that is theirs", *lines[there + 1 :]])
    text, _both = merged(base, mine, theirs)
    assert "this is mine" in text.split("\n")
    assert "that is theirs" in text.split("\n")


WORDS = st.lists(st.sampled_from(["one", "two", "three\n", "\n", "four", "#", "a.\n"]), max_size=14)
EDITS = st.lists(st.tuples(st.integers(0, 14), st.sampled_from(["insert", "replace", "delete"])), max_size=4)


def edited(words: list[str], edits: list[tuple[int, str]], mark: str) -> tuple[str, list[str]]:
    """Return a text that somebody edited, and the words that are in it from then on."""
    words, written = list(words), []
    for number, (place, kind) in enumerate(edits):
        there = words[place : place + 1]
        if kind != "delete":
            written.append(f"{mark}{number}")
        if there and there[0].startswith(mark):
            written.remove(there[0]) if kind != "insert" else None
        words[place : place + (kind != "insert")] = [f"{mark}{number}"] if kind != "delete" else []
    return " ".join(words), written


@given(WORDS, EDITS, EDITS)
def test_no_word_that_anybody_wrote_is_lost(
    words: list[str], mine: list[tuple[int, str]], others: list[tuple[int, str]]
) -> None:
    base = " ".join(words)
    my_text, my_words = edited(words, mine, "mine")
    their_text, their_words = edited(words, others, "theirs")
    text, _both = merged(base, my_text, their_text)
    assert [word for word in (*my_words, *their_words) if word not in text] == []
