"""Any server that speaks OpenAI's chat API: one on this machine or network, at no cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from canvas_server.core.job import FinishReason, JsonObject
from canvas_server.core.usage import Usage
from canvas_server.generation.providers.connections import Patience, async_client, client_to_nobody, events_of, load
from canvas_server.generation.providers.destination import Destination
from canvas_server.generation.providers.generator import Delta, IGenerator, Options
from canvas_server.generation.providers.openai_errors import lost, translating
from canvas_server.generation.providers.statuses import refused

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from openai import AsyncOpenAI, AsyncStream, Omit
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import Choice
    from openai.types.chat.completion_create_params import ResponseFormat

_NO_KEY: Final = "none"
"""The SDK wants one; a server without keys reads over it."""

_CHUNK: Final[JsonObject] = {"id": "answer", "object": "chat.completion.chunk", "created": 0, "model": ""}
_ACT: Final[tuple[JsonObject, ...]] = (
    {**_CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]},
    {**_CHUNK, "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
)
"""An answer for the rehearsal, with all that a real one is made of."""


class LocalGenerator(IGenerator):
    """A model of such a server.

    Args:
        model: its name there.
        base_url: of the API, with its version.
        api_key: empty where the server wants none; never told again.
        patience: of every request.
    """

    provider = "local"
    free = True

    def __init__(self, model: str, *, base_url: str, api_key: str, patience: Patience) -> None:
        self.model = model
        self._destination: Final = Destination(provider=self.provider, base_url=base_url, proxied=False)
        self._api_key: Final = api_key or _NO_KEY
        self._patience: Final = patience
        self._client: AsyncOpenAI | None = None

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        """Ask, and yield the answer as it comes."""
        client = await self._opened()
        with translating(self.provider, self.model):
            chunks = await self._asked(client, prompt, options)
        async with aclosing(self._steps(chunks)) as steps:
            async for step in steps:
                yield step

    async def rehearse(self) -> None:
        """Ask without a network; see `load`."""
        async with self._through(client_to_nobody(_ACT)) as client:
            async for _ in await self._asked(client, "", Options(max_output_tokens=1, schema={})):
                pass

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> AsyncOpenAI:
        await load("openai", "openai.resources.chat", rehearse=self.rehearse)
        if self._client is None:
            self._client = self._through(async_client(self._patience, self._destination))
        return self._client

    def _through(self, connections: AsyncClient) -> AsyncOpenAI:
        from openai import AsyncOpenAI  # noqa: PLC0415 - see `load`

        return AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._destination.base_url,
            # Empty, not None: those that the environment names are for OpenAI alone.
            organization="",
            project="",
            max_retries=0,
            http_client=connections,
        )

    async def _asked(self, client: AsyncOpenAI, prompt: str, options: Options) -> AsyncStream[ChatCompletionChunk]:
        return await client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            # Its successor is not known to all servers.
            max_tokens=options.max_output_tokens,
            response_format=_format(options),
            stream=True,
            stream_options={"include_usage": True},
        )

    async def _steps(self, chunks: AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[Delta, None]:
        finish: FinishReason | None = None
        usage: Usage | None = None
        with translating(self.provider, self.model, streaming=True):
            async with aclosing(events_of(chunks, chunks.close)) as told:
                # Usage comes after the finish reason, in a chunk of its own, or never: read to the end.
                async for chunk in told:
                    usage = _usage(chunk.usage) or usage
                    for choice in chunk.choices[:1]:
                        finish = self._finish(choice) or finish
                        if choice.delta.content:
                            yield Delta(text=choice.delta.content)
            if finish is None:
                raise lost(self.provider)
            yield Delta(finish=finish, usage=usage)

    def _finish(self, choice: Choice) -> FinishReason | None:
        if choice.delta.refusal or choice.finish_reason == "content_filter":
            raise refused(self.provider)
        if choice.finish_reason is None:
            return None
        return "length" if choice.finish_reason == "length" else "stop"


def _usage(told: CompletionUsage | None) -> Usage | None:
    if told is None:
        return None
    details = told.prompt_tokens_details
    return Usage(
        input_tokens=told.prompt_tokens,
        output_tokens=told.completion_tokens,
        cached_tokens=(details and details.cached_tokens) or 0,
    )


def _format(options: Options) -> ResponseFormat | Omit:
    from openai import omit  # noqa: PLC0415 - see `load`

    if options.schema is None:
        return omit
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": options.schema}}
