"""OpenAI, by its Responses API.

In background mode the provider goes on when the stream breaks and keeps the answer for some minutes: `reattach` takes
it up after any step, and `stop` is what ends it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from canvas_server.core.job import JsonObject
from canvas_server.core.usage import Usage
from canvas_server.generation.providers.connections import Patience, async_client, client_to_nobody, events_of, load
from canvas_server.generation.providers.destination import Destination
from canvas_server.generation.providers.failures import ProviderError, StreamLostError, UnknownModelError
from canvas_server.generation.providers.generator import Delta, IGenerator, Options
from canvas_server.generation.providers.openai_errors import lost, translating
from canvas_server.generation.providers.statuses import of_code, refused
from canvas_server.generation.providers.strict import is_strict

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from openai import AsyncOpenAI, AsyncStream, Omit
    from openai.types.responses import Response, ResponseStreamEvent, ResponseTextConfigParam

_THINKING: Final = frozenset(("response.output_item.added", "response.output_item.done"))
"""Events without text that show that the model goes on."""

_PLACE: Final[JsonObject] = {"item_id": "item", "output_index": 0, "content_index": 0}
_TEXT: Final[JsonObject] = {"type": "output_text", "text": "", "annotations": []}
_THOUGHT: Final[JsonObject] = {"type": "reasoning", "id": "item", "summary": []}
_MESSAGE: Final[JsonObject] = {
    "type": "message",
    "id": "item",
    "role": "assistant",
    "status": "completed",
    "content": [_TEXT],
}
_ANSWER: Final[JsonObject] = {
    "id": "answer",
    "object": "response",
    "created_at": 0,
    "model": "",
    "status": "completed",
    "output": [_THOUGHT, _MESSAGE],
    "usage": {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    },
    "error": None,
    "incomplete_details": None,
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}
_ACT: Final[tuple[JsonObject, ...]] = (
    {"type": "response.created", "response": _ANSWER, "sequence_number": 0},
    {"type": "response.output_item.done", "output_index": 0, "item": _THOUGHT, "sequence_number": 1},
    {"type": "response.output_text.delta", **_PLACE, "delta": "", "logprobs": [], "sequence_number": 2},
    {"type": "response.completed", "response": _ANSWER, "sequence_number": 3},
)
"""An answer for the rehearsal, with all that a real one is made of."""


class OpenaiGenerator(IGenerator):
    """A model of OpenAI.

    Args:
        model: its name.
        base_url: of the API, with its version.
        api_key: never told again.
        background: whether answers are produced, and kept for a while, apart from the connection.
        patience: of every request.
    """

    provider = "openai"

    def __init__(self, model: str, *, base_url: str, api_key: str, background: bool, patience: Patience) -> None:
        self.model = model
        self.reattaches = background
        self._destination: Final = Destination(provider=self.provider, base_url=base_url, proxied=True)
        self._api_key: Final = api_key
        self._patience: Final = patience
        self._client: AsyncOpenAI | None = None

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        """Ask, and yield the answer as it comes; the first step names it."""
        client = await self._opened()
        with translating(self.provider, self.model):
            events = await self._asked(client, prompt, options)
        async with aclosing(self._steps(events)) as steps:
            async for step in steps:
                yield step

    async def reattach(self, response_id: str, after: int | None) -> AsyncGenerator[Delta, None]:
        """Take up a stream again after the step whose `cursor` was `after`, from the start if None."""
        client = await self._opened()
        start: int | Omit = _omit() if after is None else after
        try:
            with translating(self.provider, self.model):
                events = await client.responses.retrieve(response_id, stream=True, starting_after=start)
        except UnknownModelError:
            raise StreamLostError("openai does not have the answer any more", hint="Start again.") from None
        async with aclosing(self._steps(events)) as steps:
            async for step in steps:
                yield step

    async def stop(self, response_id: str) -> Usage | None:
        """Cancel an answer that is produced in the background; return what it used, if that is told."""
        if not self.reattaches:
            return None
        client = await self._opened()
        with translating(self.provider, self.model):
            return _usage(await client.responses.cancel(response_id))

    async def rehearse(self) -> None:
        """Ask, take up and stop an answer without a network; see `load`."""
        async with self._through(client_to_nobody(_ACT, _ACT, _ANSWER)) as client:
            for events in (
                await self._asked(client, "", Options(max_output_tokens=1, schema={})),
                await client.responses.retrieve("answer", stream=True, starting_after=0),
            ):
                async for _ in events:
                    pass
            await client.responses.cancel("answer")

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> AsyncOpenAI:
        await load("openai", "openai.resources.responses", rehearse=self.rehearse)
        if self._client is None:
            self._client = self._through(async_client(self._patience, self._destination))
        return self._client

    def _through(self, connections: AsyncClient) -> AsyncOpenAI:
        from openai import AsyncOpenAI  # noqa: PLC0415 - see `load`

        return AsyncOpenAI(
            api_key=self._api_key,
            base_url=self._destination.base_url,
            max_retries=0,
            http_client=connections,
        )

    async def _asked(self, client: AsyncOpenAI, prompt: str, options: Options) -> AsyncStream[ResponseStreamEvent]:
        return await client.responses.create(
            model=self.model,
            input=prompt,
            max_output_tokens=options.max_output_tokens,
            text=_format(options),
            background=self.reattaches,
            # A background answer has to be stored to be asked for again; nothing else is to be.
            store=self.reattaches,
            stream=True,
        )

    async def _steps(self, events: AsyncStream[ResponseStreamEvent]) -> AsyncGenerator[Delta, None]:
        with translating(self.provider, self.model, streaming=True):
            async with aclosing(events_of(events, events.close)) as told:
                async for event in told:
                    step, failure = _step(event), self._failure(event)
                    if step is not None:
                        yield step
                    if failure is not None:
                        raise failure
                    if step is not None and step.finish is not None:
                        return
        raise lost(self.provider)

    def _failure(self, event: ResponseStreamEvent) -> ProviderError | None:
        """Return the error that an event tells, None if it tells none."""
        if event.type == "response.refusal.delta":
            return refused(self.provider)
        if event.type == "response.incomplete" and _filtered(event.response):
            return refused(self.provider)
        if event.type == "response.failed":
            error = event.response.error
            return of_code(self.provider, self.model, None if error is None else error.code)
        if event.type == "error":
            return of_code(self.provider, self.model, event.code)
        return None


def _step(event: ResponseStreamEvent) -> Delta | None:
    """Return what an event says, None if nothing that matters here."""
    cursor = event.sequence_number
    if event.type == "response.output_text.delta":
        return Delta(text=event.delta, cursor=cursor)
    if event.type == "response.created":
        return Delta(response_id=event.response.id, cursor=cursor)
    if event.type == "response.completed":
        return Delta(finish="stop", usage=_usage(event.response), cursor=cursor)
    if event.type == "response.incomplete" and not _filtered(event.response):
        return Delta(finish="length", usage=_usage(event.response), cursor=cursor)
    if event.type in ("response.incomplete", "response.failed"):
        return Delta(usage=_usage(event.response), cursor=cursor)
    return Delta(cursor=cursor) if event.type in _THINKING else None


def _filtered(response: Response) -> bool:
    details = response.incomplete_details
    return details is not None and details.reason == "content_filter"


def _usage(response: Response) -> Usage | None:
    told = response.usage
    if told is None:
        return None
    # What was thought is part of the output tokens already.
    return Usage(
        input_tokens=told.input_tokens,
        output_tokens=told.output_tokens,
        cached_tokens=told.input_tokens_details.cached_tokens,
    )


def _format(options: Options) -> ResponseTextConfigParam | Omit:
    if options.schema is None:
        return _omit()
    strict = is_strict(options.schema)
    return {"format": {"type": "json_schema", "name": "answer", "schema": options.schema, "strict": strict}}


def _omit() -> Omit:
    from openai import omit  # noqa: PLC0415 - see `load`

    return omit
