from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from canvas_server.generation.providers import deadlines
from canvas_server.generation.providers.deadlines import paced
from canvas_server.generation.providers.failures import OutputTooLargeError, ProviderTimeoutError, RefusedError
from canvas_server.generation.providers.generator import Delta, Options
from tests.double.running import Double
from tests.generation.providers.asking import PROMPT, asked, steps_of, text_of, told_before

_LONG_S = 30.0


class Stream:
    """Words, and what happens after them.

    Args:
        words: told at once.
        then: raised after them; silence if None.
        stubborn: how often it goes on when it is cancelled.
    """

    def __init__(self, *words: str, then: Exception | None = None, silent: bool = False, stubborn: int = 0) -> None:
        self._words = words
        self._then = then
        self._silent = silent
        self._stubborn = stubborn
        self.closed = asyncio.Event()

    async def steps(self) -> AsyncGenerator[Delta, None]:
        try:
            for word in self._words:
                yield Delta(text=word)
            if self._then is not None:
                raise self._then
            while self._silent:
                await self._hang()
        finally:
            self.closed.set()

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._stubborn -= 1
            if self._stubborn < 0:
                raise


def _paced(
    stream: AsyncGenerator[Delta, None], *, first_s: float = _LONG_S, gap_s: float = _LONG_S, bytes_max: int = 1_000
) -> AsyncGenerator[Delta, None]:
    return paced(stream, first_s=first_s, gap_s=gap_s, bytes_max=bytes_max)


async def test_what_comes_in_time_passes_as_it_is() -> None:
    stream = Stream("a", "b", "c")
    assert text_of(await steps_of(_paced(stream.steps()))) == "abc"
    assert stream.closed.is_set()


async def test_silence_before_the_first_word_is_bounded() -> None:
    stream = Stream(silent=True)
    with pytest.raises(ProviderTimeoutError):
        await steps_of(_paced(stream.steps(), first_s=0.02))
    assert stream.closed.is_set()


async def test_silence_after_a_word_is_bounded_by_its_own_time() -> None:
    stream = Stream("a", silent=True)
    with pytest.raises(ProviderTimeoutError):
        await steps_of(_paced(stream.steps(), gap_s=0.02))


async def test_an_error_is_raised_after_what_came_before_it() -> None:
    stream = Stream("a", "b", then=RefusedError("no"))
    steps, _ = await told_before(_paced(stream.steps()), RefusedError)
    assert text_of(steps) == "ab"


@pytest.mark.parametrize(("words", "fits"), [(("éé", "é"), True), (("éé", "é", "a"), False)])
async def test_text_is_bounded_in_bytes_all_steps_together(words: tuple[str, ...], fits: bool) -> None:
    stream = _paced(Stream(*words).steps(), bytes_max=6)
    if fits:
        assert text_of(await steps_of(stream)) == "ééé"
    else:
        with pytest.raises(OutputTooLargeError):
            await steps_of(stream)


async def _told(*steps: Delta) -> AsyncGenerator[Delta, None]:
    for step in steps:
        yield step


async def test_a_character_that_is_cut_in_two_comes_whole_and_is_never_left_behind_by_a_cursor() -> None:
    """The halves ended the job: neither of them can be written as UTF-8."""
    stream = _told(
        Delta(text="a", cursor=1),
        Delta(text="b\ud83d", cursor=2),
        Delta(cursor=3),
        Delta(text="\ude00c", cursor=4),
        Delta(text="\ud83d", cursor=5),
        Delta(finish="stop", cursor=6),
    )
    steps = await steps_of(_paced(stream))
    assert [(step.text, step.cursor) for step in steps] == [
        ("a", 1),
        ("", None),
        ("", None),
        ("b😀c", 4),
        ("", None),
        ("\ufffd", 6),
    ]
    assert steps[-1].finish == "stop"


async def test_text_that_is_held_back_for_ever_is_bounded_too() -> None:
    with pytest.raises(OutputTooLargeError):
        await steps_of(_paced(_told(*[Delta(text="\ud83d")] * 2_000)))


async def test_a_slow_reader_is_not_the_providers_silence() -> None:
    async with aclosing(_paced(Stream("a", "b").steps(), first_s=0.05, gap_s=0.05)) as steps:
        first = await anext(steps)
        await asyncio.sleep(0.1)
        assert text_of([first, await anext(steps)]) == "ab"


async def test_a_reader_that_goes_closes_the_stream() -> None:
    stream = Stream("a", silent=True)
    async with aclosing(_paced(stream.steps())) as steps:
        await anext(steps)
    assert stream.closed.is_set()


async def test_a_reader_that_is_cancelled_closes_the_stream() -> None:
    stream = Stream(silent=True)
    reading = asyncio.ensure_future(steps_of(_paced(stream.steps())))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert stream.closed.is_set()


async def test_a_stream_that_fails_while_it_closes_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> AsyncGenerator[Delta, None]:
        try:
            while True:
                yield Delta(text="a")
        finally:
            raise RefusedError("no")

    async with aclosing(_paced(failing())) as steps:
        await anext(steps)
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert caplog.records == []


async def test_a_stream_that_does_not_close_is_left_to_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deadlines, "CLOSE_S", 0.02)
    stream = Stream(silent=True, stubborn=1)
    with pytest.raises(ProviderTimeoutError):
        await steps_of(_paced(stream.steps(), first_s=0.02))
    assert not stream.closed.is_set()
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "a provider's stream does not close"
    ]
    (left,) = asyncio.all_tasks() - {asyncio.current_task()}
    left.cancel()
    await asyncio.wait({left})
    assert stream.closed.is_set()


@pytest.mark.parametrize("provider", ["openai", "mistral", "local"])
async def test_a_provider_that_keeps_the_line_busy_and_says_nothing_is_silent(double: Double, provider: str) -> None:
    double.script(words=5, fault="drip", after_words=2)
    async with asked(double, provider) as generator:
        stream = generator.stream_generate(PROMPT, Options(max_output_tokens=10))
        with pytest.raises(ProviderTimeoutError):
            await steps_of(_paced(stream, gap_s=0.2))
        assert double.closed().disconnected


@pytest.mark.parametrize("provider", ["openai", "mistral", "local"])
async def test_a_provider_that_floods_is_cut_off(double: Double, provider: str) -> None:
    double.script(fault="flood")
    async with asked(double, provider) as generator:
        stream = generator.stream_generate(PROMPT, Options(max_output_tokens=10))
        with pytest.raises(OutputTooLargeError):
            await steps_of(_paced(stream, bytes_max=1 << 20))
        assert double.closed().output_tokens < 2_000
