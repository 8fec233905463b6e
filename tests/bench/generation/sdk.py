"""The providers' own SDKs and nothing else: what a program pays that asks a model by itself.

Run as `python -m tests.bench.generation.sdk`; tells on stdout where it listens. Each connection brings one line, what
to read, and gets what was heard.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import monotonic_ns, perf_counter
from typing import Final

import httpx2
import msgspec
import uvloop

from tests.bench.listeners import PATIENCE_S
from tests.bench.servers import Server, started

_MODEL: Final = "gpt-5.2"
_WORDS_MAX: Final = 4096

Words = AsyncGenerator[str, None]
"""Pieces of an answer as they come."""


class Wanted(msgspec.Struct):
    """What to read."""

    provider: str
    url: str
    """Where the provider answers."""
    streams: int
    """At once."""


class Heard(msgspec.Struct):
    """What was heard."""

    took_s: float
    """From the first request to the last word."""
    delays_ms: list[list[float]]
    """How long each word took from the double, by stream."""


@contextmanager
def sdks() -> Iterator[Server]:
    """Run the process, on the servers' core."""
    with started([sys.executable, "-m", "tests.bench.generation.sdk"]) as server:
        yield server


async def heard(sdk: Server, wanted: Wanted) -> Heard:
    """Have the process read streams to their ends."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", sdk.port)
        writer.write(msgspec.json.encode(wanted) + b"\n")
        answer = await reader.read()
        writer.close()
    return msgspec.json.decode(answer, type=Heard)


# An SDK is imported where it is used: the load, which asks this process, needs none.


async def _openai(http: httpx2.AsyncClient, url: str) -> Words:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="sk-bench", base_url=url, max_retries=0, http_client=http)
    events = await client.responses.create(
        model=_MODEL, input="Write.", max_output_tokens=_WORDS_MAX, background=True, store=True, stream=True
    )
    async for event in events:
        if event.type == "response.output_text.delta":
            yield event.delta


async def _local(http: httpx2.AsyncClient, url: str) -> Words:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="sk-bench", base_url=url, max_retries=0, http_client=http)
    chunks = await client.chat.completions.create(
        model=_MODEL, messages=[{"role": "user", "content": "Write."}], max_tokens=_WORDS_MAX, stream=True
    )
    async for chunk in chunks:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


async def _mistral(http: httpx2.AsyncClient, url: str) -> Words:
    from mistralai.client import Mistral
    from mistralai.client.models import UserMessageTypedDict

    client = Mistral(api_key="sk-bench", server_url=url, async_client=http)
    message: UserMessageTypedDict = {"role": "user", "content": "Write."}
    events = await client.chat.stream_async(model=_MODEL, messages=[message], max_tokens=_WORDS_MAX)
    async for event in events:
        if event.data.choices and isinstance(text := event.data.choices[0].delta.content, str) and text:
            yield text


_ASK: Final[Mapping[str, Callable[[httpx2.AsyncClient, str], Words]]] = {
    "openai": _openai,
    "mistral": _mistral,
    "local": _local,
}


async def _delays_ms(words: Words) -> list[float]:
    return [(monotonic_ns() - int(word)) / 1e6 async for word in words]


async def _hear(wanted: Wanted) -> Heard:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(timeout=PATIENCE_S, limits=limits, trust_env=False) as http:
        ask = partial(_ASK[wanted.provider], http, wanted.url)
        began_s = perf_counter()
        delays_ms = await asyncio.gather(*(_delays_ms(ask()) for _ in range(wanted.streams)))
        return Heard(perf_counter() - began_s, delays_ms)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    wanted = msgspec.json.decode(await reader.readline(), type=Wanted)
    writer.write(msgspec.json.encode(await _hear(wanted)))
    await writer.drain()
    writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(f"listens on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
