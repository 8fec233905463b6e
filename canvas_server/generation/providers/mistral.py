"""Mistral, by its chat API.

An answer that broke off is continued: the text so far is sent along as the beginning of the answer, and the model goes
on after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

from canvas_server.core.job import FinishReason, JsonObject
from canvas_server.core.usage import Usage
from canvas_server.generation.providers.connections import (
    Patience,
    async_client,
    client_to_nobody,
    events_of,
    load,
    unused_client,
)
from canvas_server.generation.providers.destination import Destination
from canvas_server.generation.providers.failures import ProviderError
from canvas_server.generation.providers.generator import Delta, IGenerator, Options
from canvas_server.generation.providers.mistral_errors import lost, read_event, translating
from canvas_server.generation.providers.statuses import refused, unavailable

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from mistralai.client import Mistral
    from mistralai.client.models import (
        ChatCompletionStreamRequestMessageTypedDict,
        CompletionEvent,
        ContentChunk,
        ResponseFormatTypedDict,
        UsageInfo,
    )
    from mistralai.client.utils.eventstreaming import EventStreamAsync

_CHUNK: Final[JsonObject] = {"id": "answer", "object": "chat.completion.chunk", "created": 0, "model": ""}
_ACT: Final[tuple[JsonObject, ...]] = (
    {
        **_CHUNK,
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    },
)
"""An answer for the rehearsal, with all that a real one is made of."""


class MistralGenerator(IGenerator):
    """A model of Mistral.

    Args:
        model: its name.
        base_url: of the API, without its version.
        api_key: never told again.
        patience: of every request.
    """

    provider = "mistral"
    continues = True

    def __init__(self, model: str, *, base_url: str, api_key: str, patience: Patience) -> None:
        self.model = model
        self._destination: Final = Destination(provider=self.provider, base_url=base_url, proxied=True)
        self._api_key: Final = api_key
        self._patience: Final = patience
        self._client: Mistral | None = None
        self._connections: AsyncClient | None = None

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        """Ask, and yield the answer as it comes, without `options.prefix`."""
        client = await self._opened()
        with translating(self.model):
            events = await self._asked(client, prompt, options)
        echo = Echo(options.prefix)
        async with aclosing(self._steps(events, echo)) as steps:
            async for step in steps:
                yield step

    async def rehearse(self) -> None:
        """Ask without a network; see `load`."""
        async with client_to_nobody(_ACT) as connections:
            options = Options(max_output_tokens=1, schema={}, prefix="a")
            async for _ in await self._asked(self._through(connections), "", options):
                pass

    async def aclose(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            await self._connections.aclose()

    async def _opened(self) -> Mistral:
        await load("mistralai.client", "mistralai.client.chat", rehearse=self.rehearse)
        if self._client is None:
            self._connections = async_client(self._patience, self._destination)
            self._client = self._through(self._connections)
        return self._client

    def _through(self, connections: AsyncClient) -> Mistral:
        from mistralai.client import Mistral  # noqa: PLC0415 - see `load`

        return Mistral(
            api_key=self._api_key,
            server_url=self._destination.base_url,
            retry_config=None,
            timeout_ms=round(self._patience.silence_s * 1000),
            client=unused_client(),
            async_client=connections,
        )

    async def _asked(self, client: Mistral, prompt: str, options: Options) -> EventStreamAsync[CompletionEvent]:
        from mistralai.client.utils.eventstreaming import EventStreamAsync  # noqa: PLC0415 - see `load`

        events = await client.chat.stream_async(
            model=self.model,
            messages=_messages(prompt, options.prefix),
            max_tokens=options.max_output_tokens,
            response_format=_format(options),
        )
        # The SDK's own stream makes a class to read each event with, which takes ten times as long as to read it.
        return EventStreamAsync(events.response, partial(read_event, self.model), sentinel="[DONE]")

    async def _steps(self, events: EventStreamAsync[CompletionEvent], echo: Echo) -> AsyncGenerator[Delta, None]:
        with translating(self.model, streaming=True):
            async with aclosing(events_of(events.generator, events.response.aclose)) as told:
                async for event in told:
                    text = echo.without(_text(event))
                    finish, usage = _finish(event), _usage(event.data.usage)
                    failure = self._failure(event)
                    if finish is not None:
                        text += echo.rest()
                    if text or finish is not None or usage is not None:
                        yield Delta(text=text, finish=finish, usage=usage)
                    if failure is not None:
                        raise failure
                    if finish is not None:
                        return
        raise lost()

    def _failure(self, event: CompletionEvent) -> ProviderError | None:
        """Return the error that an event tells, None if it tells none."""
        match _reason(event):
            case "error":
                return unavailable(self.provider)
            case "content_filter":
                return refused(self.provider)
            case _:
                return None


class Echo:
    """Takes the text that an answer goes on after from the answer, where it is repeated at its start.

    Args:
        prefix: that text.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix: Final = prefix
        self._held = ""
        self._past = not prefix

    def without(self, text: str) -> str:
        """Return what of the next piece is new, together with what was held back before it."""
        if self._past:
            return text
        self._held += text
        if self._prefix.startswith(self._held) and self._held != self._prefix:
            return ""
        self._past = True
        return self._held.removeprefix(self._prefix)

    def rest(self) -> str:
        """Return what is still held back: the answer ended like the prefix began."""
        return "" if self._past else self._held


def _messages(prompt: str, prefix: str) -> list[ChatCompletionStreamRequestMessageTypedDict]:
    messages: list[ChatCompletionStreamRequestMessageTypedDict] = [{"role": "user", "content": prompt}]
    if prefix:
        messages.append({"role": "assistant", "content": prefix, "prefix": True})
    return messages


def _format(options: Options) -> ResponseFormatTypedDict | None:
    if options.schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema_definition": options.schema}}


def _reason(event: CompletionEvent) -> str | None:
    return next((choice.finish_reason for choice in event.data.choices), None)


def _finish(event: CompletionEvent) -> FinishReason | None:
    match _reason(event):
        case None | "error" | "content_filter":
            return None
        case "length" | "model_length":
            return "length"
        case _:
            return "stop"


def _text(event: CompletionEvent) -> str:
    content = next((choice.delta.content for choice in event.data.choices), None)
    if isinstance(content, list):
        return "".join(map(_chunk_text, content))
    return content if isinstance(content, str) else ""


def _chunk_text(chunk: ContentChunk) -> str:
    return chunk.text if chunk.type == "text" else ""


def _usage(told: UsageInfo | None) -> Usage | None:
    if told is None or told.prompt_tokens is None or told.completion_tokens is None:
        return None
    return Usage(input_tokens=told.prompt_tokens, output_tokens=told.completion_tokens, cached_tokens=_cached(told))


def _cached(told: UsageInfo) -> int:
    """Return the cached tokens; the SDK does not know the field yet and keeps it among the unknown ones."""
    details = told.additional_properties.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return cached if isinstance(cached, int) else 0
