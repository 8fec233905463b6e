"""What is the same whoever answers: text, usage, ends, and connections that are let go."""

from __future__ import annotations

import logging
import time
from contextlib import aclosing
from typing import Final

import pytest

from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.usage import Usage
from canvas_server.generation.providers.failures import OutputInvalidError, StreamLostError
from canvas_server.generation.providers.generator import Options
from tests.double.running import Double
from tests.generation.providers.asking import KEY, NETWORKED, PROMPT, answered, asked, text_of

_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
_OPTIONS: Final = Options(max_output_tokens=100)

pytestmark = pytest.mark.parametrize("provider", NETWORKED)


async def test_the_text_comes_word_by_word_and_the_last_step_says_why_it_ended(double: Double, provider: str) -> None:
    double.script(words=3)
    async with asked(double, provider) as generator:
        steps = await answered(generator)
    assert [step.text for step in steps if step.text] == ["mot-1", " mot-2", " mot-3"]
    assert [step.finish for step in steps if step.finish] == ["stop"]
    assert steps[-1].usage == Usage(input_tokens=6, output_tokens=3)


async def test_the_prompt_the_bound_and_the_key_are_sent(double: Double, provider: str) -> None:
    async with asked(double, provider) as generator:
        await answered(generator, max_output_tokens=7)
    (call,) = double.calls
    assert (call.api, call.model, call.prompt, call.max_output_tokens) == (provider, "model-1", PROMPT, 7)
    assert call.authorization == f"Bearer {KEY}"


async def test_an_answer_that_is_as_long_as_it_may_be_ends_by_its_length(double: Double, provider: str) -> None:
    double.script(words=50)
    async with asked(double, provider) as generator:
        answer = await generator.generate(PROMPT, Options(max_output_tokens=2))
    assert (answer.text, answer.finish, answer.usage) == (
        "mot-1 mot-2",
        "length",
        Usage(input_tokens=6, output_tokens=2),
    )


async def test_cached_tokens_are_told(double: Double, provider: str) -> None:
    double.script(words=1, cached_tokens=4)
    async with asked(double, provider) as generator:
        answer = await generator.generate(PROMPT, _OPTIONS)
    assert answer.usage == Usage(input_tokens=6, output_tokens=1, cached_tokens=4)


async def test_usage_is_missing_where_the_provider_does_not_tell(double: Double, provider: str) -> None:
    double.script(words=1, usage=False)
    async with asked(double, provider) as generator:
        answer = await generator.generate(PROMPT, _OPTIONS)
    assert (answer.text, answer.usage) == ("mot-1", None)


async def test_closing_a_stream_closes_its_connection_and_buys_no_more(double: Double, provider: str) -> None:
    double.script(words=100_000, pace_ms=1)
    async with asked(double, provider) as generator:
        options = Options(max_output_tokens=100_000)
        async with aclosing(generator.stream_generate(PROMPT, options)) as steps:
            async for step in steps:
                if step.text:
                    break
        start = time.perf_counter()
        line = double.closed()
    assert time.perf_counter() - start < 1
    assert line.disconnected
    assert not line.finished
    assert line.output_tokens < 1_000


async def test_an_answer_without_schema_is_asked_for_without_one(double: Double, provider: str) -> None:
    async with asked(double, provider) as generator:
        await answered(generator)
    assert double.calls[0].schema is None


async def test_an_answer_that_fits_the_schema_is_one_call(double: Double, provider: str) -> None:
    double.script(text='{"title": "Combray"}')
    async with asked(double, provider) as generator:
        answer = await generator.generate_structured(PROMPT, _SCHEMA, _OPTIONS)
    assert answer.value == {"title": "Combray"}
    assert [call.schema for call in double.calls] == [_SCHEMA]


async def test_an_answer_that_does_not_fit_is_repaired_by_a_second_call(double: Double, provider: str) -> None:
    double.script(text='{"title": 3}')
    double.script(text='{"title": "Combray"}')
    async with asked(double, provider) as generator:
        answer = await generator.generate_structured(PROMPT, _SCHEMA, _OPTIONS)
    first, second = double.ledger
    assert answer.value == {"title": "Combray"}
    assert answer.usage == Usage(
        input_tokens=first.input_tokens + second.input_tokens,
        output_tokens=first.output_tokens + second.output_tokens,
    )
    repair = double.calls[1].prompt
    assert repair.startswith(PROMPT)
    assert '{"title": 3}' in repair
    assert "at /title" in repair


async def test_an_answer_that_does_not_fit_twice_is_given_up(double: Double, provider: str) -> None:
    double.script(text="Il pleut.", times=3)
    async with asked(double, provider) as generator:
        with pytest.raises(OutputInvalidError):
            await generator.generate_structured(PROMPT, _SCHEMA, _OPTIONS)
    assert len(double.ledger) == 2


async def test_a_schema_that_is_none_is_refused_before_anything_is_asked(double: Double, provider: str) -> None:
    async with asked(double, provider) as generator:
        with pytest.raises(InvalidFieldError) as refused:
            await generator.generate_structured(PROMPT, {"type": "object", "properties": 3}, _OPTIONS)
    assert refused.value.pointer == "/schema"
    assert double.ledger == []


async def test_an_answer_can_be_asked_for_again_only_where_the_provider_keeps_it(double: Double, provider: str) -> None:
    async with asked(double, provider, background=True) as generator:
        assert generator.reattaches == (provider == "openai")
        with pytest.raises(StreamLostError):
            async with aclosing(generator.reattach("resp_none", None)) as steps:
                await anext(steps)


async def test_what_does_not_run_in_the_background_is_stopped_by_closing_it(
    double: Double, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with asked(double, provider) as generator:
        await generator.stop("resp_1")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_generator_answers_again_and_again(double: Double, provider: str) -> None:
    double.script(words=2, times=2)
    async with asked(double, provider) as generator:
        texts = [text_of(await answered(generator)) for _ in range(2)]
    assert texts == ["mot-1 mot-2"] * 2
