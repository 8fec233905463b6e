"""`IGenerator`, the one interface to every provider, and `LLMFactory`, which makes one for a model.

Whoever answers: the text comes as `Delta`s, errors are those of `failures`, and nothing is retried here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec.structs import astuple, replace

from canvas_server.core.job import FinishReason, JsonObject
from canvas_server.core.usage import Usage
from canvas_server.generation.providers.failures import StreamLostError, UnknownModelError
from canvas_server.generation.providers.structured import check_schema, fitting, misfit, repair_prompt
from canvas_server.generation.providers.whole_text import mended


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What besides the prompt shapes an answer."""

    max_output_tokens: int
    schema: dict[str, object] | None = None
    """JSON Schema that the answer, a JSON object, has to fit."""
    prefix: str = ""
    """The answer so far: go on after it. Only where `IGenerator.continues`."""


class Delta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One step of a streamed answer; any of its parts may be missing."""

    text: str = ""
    response_id: str | None = None
    """The provider's name of the answer, told once, before any text."""
    cursor: int | None = None
    """Where the provider's own stream goes on after this step."""
    finish: FinishReason | None = None
    """On the last step: why the answer ended."""
    usage: Usage | None = None
    """On the last step, where the provider tells; also before an error that it bills."""

    def __post_init__(self) -> None:
        # The SDKs hand on what a provider sent, whatever their annotations say.
        texts: tuple[object, ...] = (self.text, self.response_id or "")
        numbers: tuple[object, ...] = (self.cursor or 0, *(() if self.usage is None else astuple(self.usage)))
        if not (all(isinstance(text, str) for text in texts) and all(map(_is_count, numbers))):
            raise TypeError("a step of an answer is not made of what it should be")


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    text: str
    finish: FinishReason
    usage: Usage | None
    """None where the provider does not tell."""


class Structured(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer that fits a schema."""

    value: dict[str, object]
    usage: Usage | None
    """Of all calls together; None where the provider does not tell."""


class IGenerator(ABC):
    """A model that answers.

    Every method raises the errors of `failures`. An iterator must be closed (`aclosing`): that closes the connection
    to the provider, whether or not the answer ended.

    Attributes:
        provider: its name in the settings.
        model: the model's name, as the provider knows it.
        reattaches: whether `reattach` works: a lost stream is taken up again without paying twice.
        continues: whether `Options.prefix` works: an answer that broke off is gone on with, paying the input again.
        free: whether nothing is ever paid.
    """

    provider: str
    model: str
    reattaches: bool = False
    continues: bool = False
    free: bool = False

    @abstractmethod
    def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        """Ask, and yield the answer as it comes; the last step has `finish`."""

    async def generate(self, prompt: str, options: Options) -> Generated:
        """Ask, and return the whole answer."""
        parts: list[str] = []
        finish: FinishReason | None = None
        usage: Usage | None = None
        async with aclosing(self.stream_generate(prompt, options)) as steps:
            async for step in steps:
                parts.append(step.text)
                finish, usage = step.finish or finish, step.usage or usage
        if finish is None:
            raise StreamLostError(f"{self.provider} ended its answer without saying why", hint="Try again.")
        return Generated(text=mended("".join(parts)), finish=finish, usage=usage)

    async def generate_structured(self, prompt: str, schema: JsonObject, options: Options) -> Structured:
        """Ask, and return a JSON object that fits the schema; a misfit is repaired by one more call.

        Raises:
            InvalidFieldError: the schema cannot be used; nothing was asked.
            OutputInvalidError: it does not fit, also after the repair.
        """
        check_schema(schema)
        options = replace(options, schema=dict(schema))
        first = await self.generate(prompt, options)
        wrong = misfit(first.text, schema)
        if wrong is None:
            return Structured(value=fitting(first.text, schema), usage=first.usage)
        second = await self.generate(repair_prompt(prompt, schema, first.text, wrong), options)
        return Structured(value=fitting(second.text, schema), usage=_together(first.usage, second.usage))

    def reattach(self, response_id: str, after: int | None) -> AsyncGenerator[Delta, None]:
        """Take up a stream again after the step whose `cursor` was `after`, from the start if None.

        Raises:
            StreamLostError: the provider does not have it any more.
        """
        raise StreamLostError(f"{self.provider} cannot be asked for an answer again", hint="Start again.")

    async def stop(self, response_id: str) -> Usage | None:
        """Tell the provider that an answer is wanted no more, so that it is bought no further.

        Returns:
            what it used, if the provider tells; None as well where an answer stops when nobody reads.

        Raises:
            ProviderError: it has not heard.
        """
        return None

    async def aclose(self) -> None:  # noqa: B027 - whoever has no connections has none to close
        """Close all connections."""


Maker = Callable[[str], IGenerator]
"""Makes the generator of a model; raises `NotConfiguredError` where its provider has no key."""


class LLMFactory:
    """Makes generators.

    Args:
        makers: by provider; each imports its SDK only when it is asked.
    """

    def __init__(self, makers: Mapping[str, Maker]) -> None:
        self._makers: Final = dict(makers)

    @property
    def providers(self) -> tuple[str, ...]:
        """The names there are."""
        return tuple(self._makers)

    def create(self, provider: str, model: str) -> IGenerator:
        """Return the generator of a model; the caller closes it.

        Raises:
            UnknownModelError: there is no such provider.
            NotConfiguredError: it has no key.
        """
        maker = self._makers.get(provider)
        if maker is None:
            raise UnknownModelError(
                f"there is no provider {provider!r}", hint=f"Choose one of {', '.join(self._makers)}."
            )
        return maker(model)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and number >= 0


def _together(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        estimated=one.estimated or other.estimated,
    )
