from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.generation.providers.whole_text import WholeText, mended

FIRST, SECOND = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("é😀", "é😀"),
        (f"a{FIRST}{SECOND}b", "a😀b"),
        (f"a{FIRST}b", "a\ufffdb"),
        (f"{SECOND}{FIRST}", "\ufffd\ufffd"),
        (f"{FIRST}{FIRST}{SECOND}", "\ufffd😀"),
    ],
)
def test_halves_are_joined_and_those_without_another_are_replaced(text: str, whole: str) -> None:
    assert mended(text) == whole


def test_a_piece_that_ends_within_a_character_waits_for_the_next() -> None:
    texts = WholeText()
    assert texts.take(f"a{FIRST}", last=False) is None
    assert texts.held_chars == 2
    assert texts.take("", last=False) is None
    assert texts.take(f"{SECOND}b{FIRST}", last=False) is None
    assert texts.take(f"{SECOND}c", last=False) == "a😀b😀c"
    assert texts.held_chars == 0
    assert texts.take("d", last=False) == "d"


def test_the_last_piece_waits_for_nothing() -> None:
    texts = WholeText()
    assert texts.take(f"a{FIRST}", last=False) is None
    assert texts.take("", last=True) == "a\ufffd"


@given(st.text(), st.lists(st.integers(0, 60)))
def test_a_text_that_is_cut_anywhere_comes_out_as_it_was(text: str, cuts: list[int]) -> None:
    sent = text.encode("utf-16-le")
    units = [chr(int.from_bytes(sent[at : at + 2], "little")) for at in range(0, len(sent), 2)]
    ends = sorted({min(cut, len(units)) for cut in cuts} | {len(units)})
    pieces = ["".join(units[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    texts = WholeText()
    told = [texts.take(piece, last=False) for piece in pieces]
    assert "".join(piece or "" for piece in told) + (texts.take("", last=True) or "") == text
