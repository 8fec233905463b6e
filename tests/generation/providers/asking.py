"""Generators that ask the double, and what they answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from canvas_server.core.errors import CanvasError
from canvas_server.generation.providers.connections import Patience
from canvas_server.generation.providers.generator import Delta, IGenerator, LLMFactory, Options
from canvas_server.generation.providers.registry import Access, ProviderSettings, make_factory
from tests.double.running import Double

KEY: Final = "sk-very-secret-key"
PROMPT: Final = "Raconte l'orage de Combray en secret"
NETWORKED: Final = ("openai", "mistral", "local")


def settings(double: Double, *, background: bool = False, silence_s: float = 5.0) -> ProviderSettings:
    """Return settings that lead to the double."""
    return ProviderSettings(
        openai=Access(base_url=double.openai_url, model="gpt-5.2", api_key=KEY),
        openai_background=background,
        mistral=Access(base_url=double.mistral_url, model="small-creative", api_key=KEY),
        local=Access(base_url=double.local_url, model="llama3.2", api_key=KEY),
        demo_delay_ms=0,
        patience=Patience(silence_s=silence_s),
    )


def factory(double: Double, *, background: bool = False, silence_s: float = 5.0) -> LLMFactory:
    """Return a factory that leads to the double; a token is a word."""
    return make_factory(settings(double, background=background, silence_s=silence_s), lambda text: len(text.split()))


@asynccontextmanager
async def asked(
    double: Double, provider: str, *, background: bool = False, silence_s: float = 5.0
) -> AsyncIterator[IGenerator]:
    """Give a generator and close it."""
    generator = factory(double, background=background, silence_s=silence_s).create(provider, "model-1")
    try:
        yield generator
    finally:
        await generator.aclose()


async def steps_of(stream: AsyncGenerator[Delta, None]) -> list[Delta]:
    """Return all steps of a stream."""
    async with aclosing(stream):
        return [step async for step in stream]


async def told_before(stream: AsyncGenerator[Delta, None], error: type[CanvasError]) -> tuple[list[Delta], CanvasError]:
    """Return the steps that came before a stream failed, and how it failed."""
    steps: list[Delta] = []
    try:
        async with aclosing(stream):
            async for step in stream:
                steps.append(step)  # noqa: PERF401 - they are wanted although the loop raises
    except error as failure:
        return steps, failure
    raise AssertionError(f"the stream ended without {error.__name__}")


async def answered(
    generator: IGenerator, prompt: str = PROMPT, *, max_output_tokens: int = 100, prefix: str = ""
) -> list[Delta]:
    """Ask, and return all steps of the answer."""
    options = Options(max_output_tokens=max_output_tokens, prefix=prefix)
    return await steps_of(generator.stream_generate(prompt, options))


def text_of(steps: Sequence[Delta]) -> str:
    return "".join(step.text for step in steps)
