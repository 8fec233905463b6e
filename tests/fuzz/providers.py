"""What a hostile provider may send: any bytes in place of its stream, by the real SDKs."""

from __future__ import annotations

from contextlib import aclosing
from functools import cache
from typing import Final

import httpx2
import msgspec

from canvas_server.generation.providers import local, mistral, openai
from canvas_server.generation.providers.connections import Patience, _stream
from canvas_server.generation.providers.deadlines import paced
from canvas_server.generation.providers.failures import ProviderError
from canvas_server.generation.providers.generator import IGenerator, Options
from canvas_server.generation.providers.local import LocalGenerator
from canvas_server.generation.providers.mistral import MistralGenerator
from canvas_server.generation.providers.openai import OpenaiGenerator
from tests.fuzz.law import Target
from tests.fuzz.rooms import rooms

_PATIENCE: Final = Patience(silence_s=2.0)
_STATUSES: Final = (200, 200, 200, 200, 200, 201, 204, 400, 401, 404, 408, 429, 500, 503)
_TYPES: Final = ("text/event-stream", "text/event-stream; charset=utf-16", "application/json", "text/html", "")
_BYTES_MAX: Final = 1 << 20


class Hostile:
    """Answers whatever it is told."""

    def __init__(self) -> None:
        self.data = b""

    def answer(self, _request: httpx2.Request) -> httpx2.Response:
        """Return the bytes, with a status and a type that their first two choose."""
        first, second = (self.data + b"\0\0")[:2]
        status, kind = _STATUSES[first % len(_STATUSES)], _TYPES[second % len(_TYPES)]
        return httpx2.Response(status, headers={"Content-Type": kind, "Retry-After": "1"}, content=self.data[2:])


@cache
def _asked(provider: str) -> tuple[IGenerator, Hostile]:
    hostile = Hostile()
    connections = httpx2.AsyncClient(transport=httpx2.MockTransport(hostile.answer), trust_env=False)
    given = {"base_url": "http://provider.test/v1", "api_key": "sk-canary", "patience": _PATIENCE}
    made: IGenerator
    match provider:
        case "openai":
            made = OpenaiGenerator("m", background=False, **given)  # type: ignore[arg-type]
            made._client = made._through(connections)
        case "mistral":
            made = MistralGenerator("m", **given)  # type: ignore[arg-type]
            made._client, made._connections = made._through(connections), connections
        case _:
            made = LocalGenerator("m", **given)  # type: ignore[arg-type]
            made._client = made._through(connections)
    return made, hostile


def _ask(provider: str, data: bytes) -> None:
    """Whatever comes, there are steps of text that can be written as UTF-8, and an end or an error of ours."""
    generator, hostile = _asked(provider)
    hostile.data = data
    rooms().run(_collect(generator))


async def _collect(generator: IGenerator) -> None:
    stream = generator.stream_generate("?", Options(max_output_tokens=9, prefix="ab" if generator.continues else ""))
    ended = False
    try:
        async with aclosing(paced(stream, first_s=5.0, gap_s=5.0, bytes_max=_BYTES_MAX)) as steps:
            async for step in steps:
                assert not ended, "a step after the last one"
                step.text.encode()
                ended = step.finish is not None
                assert step.usage is None or min(msgspec.structs.astuple(step.usage)) >= 0
    except ProviderError as error:
        failure = f"{error} {error.hint}"
    else:
        failure = ""
    assert "canary" not in failure
    assert ended or failure, "neither an end nor an error"


def openai_stream(data: bytes) -> None:
    """See `_ask`."""
    _ask("openai", data)


def mistral_stream(data: bytes) -> None:
    """See `_ask`."""
    _ask("mistral", data)


def local_stream(data: bytes) -> None:
    """See `_ask`."""
    _ask("local", data)


_WORDS: Final = (
    *(
        b"data: ",
        b"event: error\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r",
        b"id: 1\n",
        b"retry: x\n",
        b": ping\n\n",
        b"data: [DONE]",
    ),
    *(
        b"null",
        b"[]",
        b"{}",
        b"\\ud83d",
        b"\\ude00",
        b"-1",
        b"1e400",
        b'"finish_reason":"length"',
        b'"error":{"code":5}',
    ),
    *(b"\xef\xbb\xbf", b"\x00", b"\xff\xfe", b'"delta":', b'"usage":', b'"type":"response.failed"', b'"choices":[]'),
)


def _seeds(*acts: tuple[object, ...]) -> tuple[bytes, ...]:
    streams = [b"\0\0" + _stream(act) for act in acts]  # type: ignore[arg-type]
    refusals = [b"\7\2" + b'{"error":{"code":"rate_limit_exceeded","message":"no"}}', b"\x0b\2[]", b"\0\2{}", b"\6\0"]
    return (*streams, *refusals)


_TOLD: Final = {
    "type": "response.output_text.delta",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
    "delta": "é\ud83d",
    "logprobs": [],
    "sequence_number": 2,
}
_ERROR: Final = {"type": "error", "code": "x", "message": "m", "param": None, "sequence_number": 3}
TARGETS: Final = {
    "openai-stream": Target(openai_stream, _seeds(openai._ACT, (openai._ACT[0], _ERROR)), _WORDS),
    "mistral-stream": Target(mistral_stream, _seeds(mistral._ACT, ({"error": {"code": 1}},)), _WORDS),
    "local-stream": Target(local_stream, _seeds(local._ACT), _WORDS),
}
