"""What was asked, and what is billed for it: tokens are billed as they are produced."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

Api = str
"""openai, mistral or local."""


class Asked(msgspec.Struct, kw_only=True):
    """What one call asked for."""

    api: Api
    model: str
    prompt: str
    """All messages but the one to go on with, joined by line ends."""
    prefix: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    """Whether the model is to be held to the schema."""
    max_output_tokens: int | None = None
    background: bool = False
    store: bool | None = None
    usage: bool = True
    """Whether it is to be told what was used, where that has to be asked for."""
    authorization: str = ""
    headers: dict[str, str] = {}


class Line(msgspec.Struct, kw_only=True):
    """A line of the bill: one call."""

    id: int
    """From 1."""
    api: Api
    model: str
    input_tokens: int
    output_tokens: int = 0
    """Produced so far, whether or not anybody read it."""
    status: int = 200
    finished: bool = False
    """Produced to its end."""
    cancelled: bool = False
    """Stopped because we were told to."""
    disconnected: bool = False
    """A reader went away before it had everything."""
    continuation: bool = False
    background: bool = False
    response_id: str | None = None
    open_streams: int = 0
    """Connections that wait for it or read it."""


class Ledger:
    """All calls, in order; can be waited on."""

    def __init__(self) -> None:
        self.lines: Final[list[Line]] = []
        self.calls: Final[list[Asked]] = []
        self._changed = asyncio.Event()

    def open(self, asked: Asked) -> Line:
        """Begin a line."""
        tokens = len(asked.prompt.split()) + len(asked.prefix.split())
        line = Line(
            id=len(self.lines) + 1,
            api=asked.api,
            model=asked.model,
            input_tokens=tokens,
            continuation=bool(asked.prefix),
            background=asked.background,
        )
        self.calls.append(asked)
        self.lines.append(line)
        self.changed()
        return line

    def changed(self) -> None:
        """Wake whoever waits for something to happen."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, number: int, field: str, least: int) -> Line:
        """Wait until a field of a line is at least so much, or at most where `least` is 0; `id` waits for the call."""
        while True:
            if number <= len(self.lines):
                line = self.lines[number - 1]
                value = int(getattr(line, field))
                if value >= least if least else value == 0:
                    return line
            await self._changed.wait()
