"""Answers that no server should give: they are never our own mistake, and nothing of them is told on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

import pytest

from canvas_server.generation.providers.connections import Patience
from canvas_server.generation.providers.failures import ProviderError, RejectedError, StreamLostError, UnavailableError
from canvas_server.generation.providers.generator import Options
from canvas_server.generation.providers.registry import Access, ProviderSettings, make_factory
from tests.generation.providers.asking import NETWORKED, steps_of

_SECRET: Final = "Combray"
_CHUNK: Final = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "toy"}
_DONE: Final = {"index": 0, "delta": {}, "finish_reason": "stop"}
_USAGES: Final = (
    "many",
    {"prompt_tokens": "seven", "completion_tokens": 1},
    {"prompt_tokens": -7, "completion_tokens": 1},
)


def _chat(**fields: object) -> dict[str, object]:
    return {**_CHUNK, **fields}


_CHATS: Final[list[object]] = [
    5,
    [_SECRET],
    _chat(choices=None),
    _chat(choices=[_SECRET]),
    _chat(choices=[{"index": 0, "delta": None, "finish_reason": None}]),
    _chat(choices=[{"index": 0, "delta": {"content": 5}, "finish_reason": None}]),
    _chat(choices=[{"index": 0, "delta": {"content": {"text": _SECRET}}, "finish_reason": None}]),
    *(_chat(choices=[_DONE], usage=usage) for usage in _USAGES),
]
_RESPONSES: Final[list[object]] = [
    5,
    {"type": "response.created"},
    {"type": "response.created", "sequence_number": 0, "response": {"id": 5}},
    {"type": "response.output_text.delta", "sequence_number": 0, "delta": None},
    {"type": "response.output_text.delta", "sequence_number": _SECRET, "delta": "a"},
    {"type": "response.completed", "sequence_number": 0, "response": {"usage": {"input_tokens": _SECRET}}},
    {"type": "response.failed", "sequence_number": 0, "response": {"error": {"code": 5}}},
]
_ODD: Final = [
    *(("openai", event) for event in _RESPONSES),
    *((provider, event) for provider in ("mistral", "local") for event in _CHATS),
]


@asynccontextmanager
async def _answering(status: str, content_type: str, body: bytes) -> AsyncIterator[str]:
    """Give the address of a server that answers everything with the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        fields = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{fields}".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _fails(provider: str, url: str) -> ProviderError:
    access = Access(base_url=url, model="toy", api_key="sk-key")
    settings = ProviderSettings(
        openai=access, openai_background=False, mistral=access, local=access, demo_delay_ms=0, patience=Patience()
    )
    generator = make_factory(settings, len).create(provider, "toy")
    try:
        async with aclosing(generator.stream_generate("?", Options(max_output_tokens=9))) as stream:
            with pytest.raises(ProviderError) as failed:
                await steps_of(stream)
    finally:
        await generator.aclose()
    return failed.value


@pytest.mark.parametrize(("provider", "event"), _ODD)
async def test_an_event_that_cannot_be_understood_is_an_answer_that_broke_off(
    provider: str, event: object, caplog: pytest.LogCaptureFixture
) -> None:
    body = f"data: {json.dumps(event)}\n\n".encode()
    with caplog.at_level(logging.INFO):
        async with _answering("200 OK", "text/event-stream", body) as url:
            error = await _fails(provider, url)
    assert isinstance(error, StreamLostError)
    assert error.__suppress_context__ or error.__context__ is None
    assert _SECRET not in str(error) + caplog.text


@pytest.mark.parametrize("provider", NETWORKED)
@pytest.mark.parametrize("code", [400, {"a": _SECRET}, [_SECRET], None])
async def test_a_refusal_whose_word_is_none_is_known_by_its_status(provider: str, code: object) -> None:
    body = json.dumps({"error": {"message": _SECRET, "code": code}}).encode()
    async with _answering("400 Bad Request", "application/json", body) as url:
        assert type(await _fails(provider, url)) is RejectedError


@pytest.mark.parametrize("provider", NETWORKED)
@pytest.mark.parametrize("body", [b"[]", b'{"detail": "Combray"}', b"Combray"])
async def test_a_request_that_cannot_be_done_is_refused_however_that_is_put(provider: str, body: bytes) -> None:
    async with _answering("422 Odd", "application/json", body) as url:
        assert type(await _fails(provider, url)) is RejectedError


@pytest.mark.parametrize("provider", NETWORKED)
@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"5", b'{"error": 5}'])
async def test_a_failure_that_says_nothing_is_known_by_its_status(provider: str, body: bytes) -> None:
    async with _answering("500 Oops", "application/json", body) as url:
        assert type(await _fails(provider, url)) is UnavailableError
