"""A text in pieces is a string, whatever is done to it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core import text as text_module
from canvas_server.core.text import Text

pieces_of_text = st.text(alphabet="ab\n é😀𝒳", max_size=12)


def utf16(string: str) -> int:
    return len(string.encode("utf-16-le")) // 2


@given(
    st.text(alphabet="ab\n😀", max_size=60),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), pieces_of_text), max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_a_text_under_splices_is_the_same_as_a_string(start: str, edits: list[tuple[float, float, str]]) -> None:
    original, text_module._PIECE = text_module._PIECE, 4
    try:
        text, model = Text(start), start
        for low, high, insert in edits:
            first, last = sorted((round(low * len(model)), round(high * len(model))))
            removed = text.splice(first, last, insert)
            assert removed == model[first:last]
            model = model[:first] + insert + model[last:]
            agree(text, model)
    finally:
        text_module._PIECE = original


def agree(text: Text, model: str) -> None:
    assert len(text) == len(model)
    assert text.size_bytes == len(model.encode())
    assert text.utf16_length == utf16(model)
    half = len(model) // 2
    assert text.slice(half // 2, half) == model[half // 2 : half]
    assert text.find("a\n", 1, half) == model.find("a\n", 1, half)
    assert text.rfind("\n", 1, half) == model.rfind("\n", 1, half)
    for offset in {0, half, len(model)}:
        assert text.to_utf16(offset) == utf16(model[:offset])
        assert text.from_utf16(utf16(model[:offset])) == offset
    assert str(text) == model


def test_an_offset_inside_a_surrogate_pair_is_not_rounded() -> None:
    text = Text("a😀b")
    assert [text.from_utf16(offset) for offset in range(5)] == [0, 1, None, 2, 3]


def test_a_large_text_with_edits_everywhere_stays_right() -> None:
    rng = random.Random(7)
    model = "".join(rng.choice("abc \n😀") for _ in range(30_000))
    text = Text(model)
    for _ in range(300):
        first = rng.randrange(len(model))
        last = min(len(model), first + rng.choice([0, 0, 1, 5, 5000]))
        insert = rng.choice(["", "x", "😀", "y" * 3000])
        text.splice(first, last, insert)
        model = model[:first] + insert + model[last:]
        offset = rng.randrange(len(model))
        assert text.from_utf16(text.to_utf16(offset)) == offset
    assert str(text) == model
