"""What only Mistral does: it goes on after the beginning of an answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.usage import Usage
from canvas_server.generation.providers.failures import RejectedError
from canvas_server.generation.providers.mistral import Echo
from tests.double.running import Double
from tests.generation.providers.asking import PROMPT, answered, asked, text_of


@pytest.mark.parametrize("echo_prefix", [True, False])
async def test_an_answer_goes_on_after_its_beginning_which_is_not_told_again(double: Double, echo_prefix: bool) -> None:
    double.script(words=5, echo_prefix=echo_prefix)
    async with asked(double, "mistral") as generator:
        steps = await answered(generator, prefix="mot-1 mot-2 mo")
    assert text_of(steps) == "t-3 mot-4 mot-5"
    assert steps[-1].usage == Usage(input_tokens=9, output_tokens=3)


async def test_the_beginning_is_sent_as_the_beginning_of_the_answer(double: Double) -> None:
    async with asked(double, "mistral") as generator:
        assert generator.continues
        await answered(generator, prefix="mot-1")
    (call,) = double.calls
    assert (call.prompt, call.prefix) == (PROMPT, "mot-1")
    assert double.ledger[0].continuation


async def test_a_beginning_that_is_the_whole_answer_is_followed_by_nothing(double: Double) -> None:
    double.script(words=2)
    async with asked(double, "mistral") as generator:
        steps = await answered(generator, prefix="mot-1 mot-2")
    assert (text_of(steps), steps[-1].finish) == ("", "stop")


async def test_an_answer_that_ends_within_the_words_of_its_beginning_is_told(double: Double) -> None:
    double.script(text="mot", echo_prefix=False)
    async with asked(double, "mistral") as generator:
        assert text_of(await answered(generator, prefix="mot-1 mot-2")) == "mot"


async def test_a_model_that_cannot_go_on_says_so(double: Double) -> None:
    double.script(fault="refuse_prefix")
    async with asked(double, "mistral") as generator:
        with pytest.raises(RejectedError):
            await answered(generator, prefix="mot-1")


_WORDS = st.text("ab", max_size=12)


@given(prefix=_WORDS, rest=_WORDS, cuts=st.lists(st.integers(0, 24)))
def test_an_echo_is_taken_off_however_it_is_cut(prefix: str, rest: str, cuts: list[int]) -> None:
    assert _through(Echo(prefix), prefix + rest, cuts) == rest


@given(prefix=_WORDS.filter(bool), rest=_WORDS, cuts=st.lists(st.integers(0, 24)))
def test_what_is_no_echo_passes(prefix: str, rest: str, cuts: list[int]) -> None:
    text = f"c{rest}"
    assert _through(Echo(prefix), text, cuts) == text


@given(prefix=_WORDS.filter(bool), data=st.data())
def test_an_answer_that_ends_like_the_beginning_began_is_told(prefix: str, data: st.DataObject) -> None:
    text = prefix[: data.draw(st.integers(0, len(prefix) - 1))]
    assert _through(Echo(prefix), text, []) == text


def _through(echo: Echo, text: str, cuts: list[int]) -> str:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]
    return "".join(map(echo.without, pieces)) + echo.rest()
