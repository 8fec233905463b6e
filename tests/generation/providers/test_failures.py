"""Every fault of a provider becomes the one error that it means, and no error says what must not be said."""

from __future__ import annotations

import logging
import traceback
from typing import Final

import pytest

from canvas_server.core.usage import Usage
from canvas_server.generation.providers import failures
from canvas_server.generation.providers.failures import ProviderError
from canvas_server.generation.providers.generator import Options
from tests.double.running import Double
from tests.double.script import Fault
from tests.generation.providers.asking import KEY, NETWORKED, PROMPT, answered, asked, settings, steps_of, told_before

_FAULTS: Final[dict[Fault, type[ProviderError]]] = {
    "400": failures.RejectedError,
    "401": failures.CredentialsError,
    "404_model": failures.UnknownModelError,
    "429": failures.RateLimitError,
    "500": failures.UnavailableError,
    "503": failures.UnavailableError,
    "redirect": failures.AddressError,
    "hang_before_headers": failures.ProviderTimeoutError,
    "hang_before_text": failures.ProviderTimeoutError,
    "hang_during": failures.ProviderTimeoutError,
    "cut": failures.StreamLostError,
    "no_finish": failures.StreamLostError,
    "malformed": failures.StreamLostError,
    "error_event": failures.UnavailableError,
    "content_filter": failures.RefusedError,
}
_OWN: Final = {"openai": ("failed", "refusal"), "mistral": ("failed",), "local": ("refusal",)}
_OWN_ERRORS: Final[dict[str, type[ProviderError]]] = {
    "failed": failures.UnavailableError,
    "refusal": failures.RefusedError,
}
_IN_STREAM: Final = ("hang_during", "cut", "no_finish", "malformed", "error_event")


async def _fails(double: Double, provider: str, fault: str, retry_after: str | None = None) -> ProviderError:
    double.script(fault=fault, retry_after=retry_after)
    async with asked(double, provider, silence_s=0.2) as generator:
        with pytest.raises(ProviderError) as failed:
            await answered(generator)
    return failed.value


@pytest.mark.parametrize("provider", NETWORKED)
@pytest.mark.parametrize(("fault", "error"), _FAULTS.items())
async def test_a_fault_is_the_error_it_means(
    double: Double, provider: str, fault: Fault, error: type[ProviderError]
) -> None:
    assert type(await _fails(double, provider, fault)) is error
    double.closed()


@pytest.mark.parametrize(("provider", "fault"), [(provider, fault) for provider in _OWN for fault in _OWN[provider]])
async def test_what_a_provider_says_in_its_own_way_is_the_error_it_means(
    double: Double, provider: str, fault: str
) -> None:
    assert type(await _fails(double, provider, fault)) is _OWN_ERRORS[fault]


@pytest.mark.parametrize("provider", NETWORKED)
@pytest.mark.parametrize("fault", _IN_STREAM)
async def test_what_came_before_a_fault_was_told(double: Double, provider: str, fault: Fault) -> None:
    double.script(fault=fault, words=9, after_words=3)
    async with asked(double, provider, silence_s=0.2) as generator:
        stream = generator.stream_generate(PROMPT, Options(max_output_tokens=100))
        steps, _ = await told_before(stream, _FAULTS[fault])
    assert [step.text for step in steps if step.text] == ["mot-1", " mot-2", " mot-3"]
    assert double.closed().output_tokens == 3


@pytest.mark.parametrize("provider", NETWORKED)
async def test_nothing_is_tried_again_here(double: Double, provider: str) -> None:
    await _fails(double, provider, "500")
    assert len(double.ledger) == 1


@pytest.mark.parametrize("provider", NETWORKED)
async def test_no_error_tells_the_key_the_prompt_or_what_the_provider_made_of_them(
    double: Double, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for fault in ("400", "401", "404_model", "429", "500", "error_event", "malformed", "cut"):
        error = await _fails(double, provider, fault)
        shown = "".join([*traceback.format_exception(error), str(error), repr(error), error.hint])
        assert KEY not in shown
        assert PROMPT not in shown
        assert "Incorrect request" not in shown
        assert error.hint
    assert KEY not in caplog.text
    assert PROMPT not in caplog.text


def test_no_repr_tells_a_key(double: Double) -> None:
    assert KEY not in repr(settings(double))


@pytest.mark.parametrize("provider", NETWORKED)
async def test_no_repr_of_a_generator_tells_its_key(double: Double, provider: str) -> None:
    async with asked(double, provider) as generator:
        assert KEY not in repr(generator)


@pytest.mark.parametrize("provider", NETWORKED)
@pytest.mark.parametrize(("told", "delay_s"), [("7", 7.0), ("0.5", 0.5), ("9999", 120.0), ("soon", None), (None, None)])
async def test_the_wish_of_a_provider_is_kept_within_bounds(
    double: Double, provider: str, told: str | None, delay_s: float | None
) -> None:
    error = await _fails(double, provider, "429", told)
    assert error.delay_s == delay_s
    assert error.transient


@pytest.mark.parametrize("provider", ["openai", "mistral"])
async def test_what_a_refused_answer_used_is_told_before_the_error(double: Double, provider: str) -> None:
    double.script(fault="content_filter", words=2)
    async with asked(double, provider) as generator:
        stream = generator.stream_generate(PROMPT, Options(max_output_tokens=100))
        steps, _ = await told_before(stream, failures.RefusedError)
    assert steps[-1].usage == Usage(input_tokens=6, output_tokens=2)
    assert steps[-1].finish is None


@pytest.mark.parametrize("provider", NETWORKED)
async def test_a_provider_that_is_not_there_cannot_be_reached(double: Double, provider: str) -> None:
    async with asked(double, provider) as generator:
        await steps_of(generator.stream_generate(PROMPT, Options(max_output_tokens=5)))
    gone = Double.start()
    gone.close()
    async with asked(gone, provider) as generator:
        with pytest.raises(failures.UnavailableError):
            await answered(generator)
