"""`cli/standard_input.py`: bytes become text, wherever they are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from canvas_server.cli.standard_input import Decoder, Joiner

CUTS = st.lists(st.integers(0, 60), max_size=8)


def cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, *(min(place, len(whole)) for place in cuts), len(whole)})
    return [whole[start:end] for start, end in pairwise(places)]


@given(st.text("a\r\n\N{SNOWMAN}\N{GRINNING FACE}", max_size=30), CUTS)
def test_text_is_the_same_however_it_was_cut(text: str, cuts: list[int]) -> None:
    decoder = Decoder()
    taken = "".join(map(decoder.take, cut(text.encode(), cuts))) + decoder.take(b"", is_last=True)
    assert taken == text.replace("\r\n", "\n").replace("\r", "\n")
    assert not decoder.is_damaged


@given(st.binary(max_size=30), CUTS)
def test_whatever_comes_is_text_that_a_canvas_can_hold(content: bytes, cuts: list[int]) -> None:
    decoder = Decoder()
    taken = "".join(map(decoder.take, cut(content, cuts))) + decoder.take(b"", is_last=True)
    assert "\0" not in taken
    assert "\r" not in taken
    assert decoder.is_damaged == ("\N{REPLACEMENT CHARACTER}" in taken)


@given(st.lists(st.text("a \n", max_size=5), max_size=8))
def test_a_text_loses_nothing_but_the_newlines_around_it(pieces: list[str]) -> None:
    joiner = Joiner()
    ready = [joiner.take(piece) for piece in pieces]
    assert "".join(ready) == "".join(pieces).strip("\n")
    assert not any(part.endswith("\n") for part in ready)
