"""The built-in writer: no network, no key, no cost, and the same answer to the same prompt.

It says in every answer that it is a demonstration.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

import msgspec

from canvas_server.core.usage import Usage
from canvas_server.generation.providers.demo_text import written
from canvas_server.generation.providers.failures import UnknownModelError
from canvas_server.generation.providers.generator import Delta, IGenerator, Options
from canvas_server.generation.providers.instance import instance
from canvas_server.generation.providers.structured import fitting

MODELS: Final[Mapping[str, int]] = {"demo": 80, "demo-long": 1_000}
"""The models, and how many words each writes at least."""

_PIECE: Final = re.compile(r"\s*\S+")


class DemoGenerator(IGenerator):
    """Writes one of a few texts, or the smallest object that fits a schema.

    Args:
        model: one of `MODELS`.
        delay_ms: pause before each word.
        count: counts the tokens of a text.

    Raises:
        UnknownModelError: there is no such model.
    """

    provider = "demo"
    free = True

    def __init__(self, model: str, *, delay_ms: int, count: Callable[[str], int]) -> None:
        if model not in MODELS:
            raise UnknownModelError(f"demo has no model {model!r}", hint=f"Choose one of {', '.join(MODELS)}.")
        self.model = model
        self._delay_s: Final = delay_ms / 1000
        self._count: Final = count

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        """Yield the answer word by word.

        Raises:
            OutputInvalidError: the schema is beyond it.
        """
        text = self._answer(prompt, options)
        output_tokens = 0
        for piece in _PIECE.findall(text):
            tokens = self._count(piece)
            if output_tokens + tokens > options.max_output_tokens:
                break
            output_tokens += tokens
            await asyncio.sleep(self._delay_s)
            yield Delta(text=piece)
        else:
            yield Delta(finish="stop", usage=self._usage(prompt, output_tokens))
            return
        yield Delta(finish="length", usage=self._usage(prompt, output_tokens))

    def _answer(self, prompt: str, options: Options) -> str:
        if options.schema is None:
            return written(prompt, MODELS[self.model])
        text = msgspec.json.format(msgspec.json.encode(instance(options.schema))).decode()
        fitting(text, options.schema)
        return text

    def _usage(self, prompt: str, output_tokens: int) -> Usage:
        return Usage(input_tokens=self._count(prompt), output_tokens=output_tokens)
