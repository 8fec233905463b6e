"""What only OpenAI does: answers with a name, kept in the background, taken up again, stopped."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

import pytest

from canvas_server.core.usage import Usage
from canvas_server.generation.providers.failures import ProviderError, ProviderTimeoutError, StreamLostError
from canvas_server.generation.providers.generator import Delta, IGenerator, Options
from tests.double.running import Double
from tests.generation.providers.asking import PROMPT, answered, asked, steps_of, text_of, told_before

_OPTIONS: Final = Options(max_output_tokens=1_000)


async def _until(generator: IGenerator, words: int) -> list[Delta]:
    """Ask, and hang up after so many words."""
    steps: list[Delta] = []
    async with aclosing(generator.stream_generate(PROMPT, _OPTIONS)) as stream:
        async for step in stream:
            steps.append(step)
            if sum(bool(step.text) for step in steps) == words:
                break
    return steps


async def test_the_answer_is_named_before_any_text(double: Double) -> None:
    async with asked(double, "openai") as generator:
        first, *others = await answered(generator)
    assert (first.response_id, first.text) == (double.ledger[0].response_id, "")
    assert all(step.response_id is None for step in others)


async def test_every_step_has_a_cursor_and_they_grow(double: Double) -> None:
    async with asked(double, "openai") as generator:
        cursors = [step.cursor for step in await answered(generator)]
    numbers = [cursor for cursor in cursors if cursor is not None]
    assert len(numbers) == len(cursors)
    assert numbers == sorted(set(numbers))


async def test_what_was_thought_is_part_of_the_output_once(double: Double) -> None:
    double.script(words=2, reasoning_tokens=40)
    async with asked(double, "openai") as generator:
        answer = await generator.generate(PROMPT, _OPTIONS)
    assert answer.usage == Usage(input_tokens=6, output_tokens=42)


@pytest.mark.parametrize("background", [True, False])
async def test_an_answer_is_stored_only_where_it_may_be_asked_for_again(double: Double, background: bool) -> None:
    async with asked(double, "openai", background=background) as generator:
        await answered(generator)
    assert [(call.background, call.store) for call in double.calls] == [(background, background)]


@pytest.mark.parametrize("words", [1, 5, 9, 10])
async def test_a_lost_answer_is_taken_up_after_the_last_step_and_paid_once(double: Double, words: int) -> None:
    double.script(words=10, pace_ms=1)
    async with asked(double, "openai", background=True) as generator:
        before = await _until(generator, words)
        after = await steps_of(generator.reattach(str(before[0].response_id), before[-1].cursor))
    assert text_of(before) + text_of(after) == " ".join(f"mot-{number}" for number in range(1, 11))
    assert sum(bool(step.text) for step in after) == 10 - words
    assert after[-1].finish == "stop"
    assert [line.output_tokens for line in double.ledger] == [10]


async def test_an_answer_is_taken_up_from_its_start(double: Double) -> None:
    double.script(words=4)
    async with asked(double, "openai", background=True) as generator:
        before = await _until(generator, 2)
        after = await steps_of(generator.reattach(str(before[0].response_id), None))
    assert text_of(after) == "mot-1 mot-2 mot-3 mot-4"
    assert len(double.ledger) == 1


async def test_another_generator_takes_up_what_was_cut(double: Double) -> None:
    double.script(words=6, fault="cut", after_words=3)
    async with asked(double, "openai", background=True) as generator:
        steps, _ = await told_before(generator.stream_generate(PROMPT, _OPTIONS), StreamLostError)
    async with asked(double, "openai", background=True) as another:
        after = await steps_of(another.reattach(str(steps[0].response_id), steps[-1].cursor))
    assert text_of(after) == " mot-4 mot-5 mot-6"


async def test_an_answer_that_is_not_kept_any_more_is_lost(double: Double) -> None:
    double.script(words=3, fault="forgotten")
    async with asked(double, "openai", background=True) as generator:
        before = await answered(generator)
        with pytest.raises(StreamLostError):
            await steps_of(generator.reattach(str(before[0].response_id), 0))


async def test_a_stopped_answer_is_bought_no_further(double: Double) -> None:
    double.script(words=1_000, pace_ms=5)
    async with asked(double, "openai", background=True) as generator:
        before = await _until(generator, 3)
        await generator.stop(str(before[0].response_id))
    (line,) = double.ledger
    assert line.cancelled
    assert not line.finished


async def test_what_a_stopped_answer_used_is_told(double: Double) -> None:
    double.script(words=1_000, pace_ms=5)
    async with asked(double, "openai", background=True) as generator:
        before = await _until(generator, 3)
        used = await generator.stop(str(before[0].response_id))
    (line,) = double.ledger
    assert used is not None
    assert (used.input_tokens, used.output_tokens) == (line.input_tokens, line.output_tokens)


async def test_an_answer_that_cannot_be_stopped_is_an_error(double: Double) -> None:
    async with asked(double, "openai", background=True) as generator:
        with pytest.raises(ProviderError):
            await generator.stop("resp_none")


async def test_a_provider_that_does_not_answer_when_it_is_to_stop_is_not_waited_for(double: Double) -> None:
    double.script(words=1_000, pace_ms=5, fault="hang_cancel")
    async with asked(double, "openai", background=True, silence_s=2.0) as generator:
        before = await _until(generator, 1)
        with pytest.raises(ProviderTimeoutError):
            await generator.stop(str(before[0].response_id))
    assert not double.ledger[0].cancelled


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}}, False),
    ],
)
async def test_a_model_is_held_to_a_schema_only_where_that_works(
    double: Double, schema: dict[str, object], strict: bool
) -> None:
    double.script(text='{"a": 1}')
    async with asked(double, "openai") as generator:
        await generator.generate_structured(PROMPT, schema, _OPTIONS)
    assert double.calls[0].strict is strict
