"""Bounds on any stream of a provider: how long it may be silent, how much it may say, how long it may take to close.

What it says comes through in whole characters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeAlias

from msgspec.structs import replace

from canvas_server.generation.providers.failures import OutputTooLargeError, ProviderTimeoutError
from canvas_server.generation.providers.generator import Delta
from canvas_server.generation.providers.whole_text import WholeText

log = logging.getLogger(__name__)

CLOSE_S: Final = 2.0
"""How long a stream may take to close before it is left to itself."""
_AHEAD_MAX: Final = 16
"""How many steps are taken from the provider before the reader wants them."""

_Steps: TypeAlias = asyncio.Queue[Delta | Exception | None]
"""What came: steps, then an error or, at the end, None."""


async def paced(
    stream: AsyncGenerator[Delta, None], *, first_s: float, gap_s: float, bytes_max: int
) -> AsyncGenerator[Delta, None]:
    """Yield what a stream yields, and close it however that ends.

    Text that ends within a character is held back, and comes with the next step; without a step that has `finish` it
    does not come at all, since the provider tells it again or the answer is lost.

    The stream is read by a task of its own, so that one that ignores to be cancelled holds up neither a deadline nor
    the reader's own end: it is left to itself `CLOSE_S` later. Close what this returns (`aclosing`).

    Args:
        stream: of a generator.
        first_s: silence that is allowed before the first text. Steps without text begin it anew: the model thinks.
        gap_s: silence that is allowed after it.
        bytes_max: of text in UTF-8, all steps together.

    Raises:
        ProviderTimeoutError: it was silent for too long.
        OutputTooLargeError: it said too much.
    """
    steps: _Steps = asyncio.Queue(_AHEAD_MAX)
    reading = asyncio.ensure_future(_read(stream, steps))
    size_bytes, silence_s, texts = 0, first_s, WholeText()
    try:
        while (step := await _next(steps, silence_s)) is not None:
            if step.text:
                silence_s = gap_s
            step = _in_whole_characters(step, texts)
            size_bytes += len(step.text.encode())
            if size_bytes + texts.held_chars > bytes_max:
                raise OutputTooLargeError(
                    f"the answer is longer than {bytes_max} bytes", hint="Ask for a shorter answer."
                )
            yield step
    finally:
        await _end(reading, steps)


def _in_whole_characters(step: Delta, texts: WholeText) -> Delta:
    text = texts.take(step.text, last=step.finish is not None)
    if text == step.text:
        return step
    # After this step's cursor the provider would not tell again what is held back here.
    return replace(step, text="", cursor=None) if text is None else replace(step, text=text)


async def _read(stream: AsyncGenerator[Delta, None], steps: _Steps) -> None:
    outcome: Exception | None = None
    try:
        # Closed here, by the task that reads: a generator cannot be closed while another task waits in it.
        async with aclosing(stream):
            async for step in stream:
                await steps.put(step)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised to the reader
        outcome = error
    await steps.put(outcome)


async def _next(steps: _Steps, silence_s: float) -> Delta | None:
    try:
        async with asyncio.timeout(silence_s):
            step = await steps.get()
    except TimeoutError:
        raise ProviderTimeoutError(
            f"the provider was silent for {silence_s:g} s", hint="Try again later, or ask for less at once."
        ) from None
    if isinstance(step, Exception):
        raise step
    return step


async def _end(reading: asyncio.Task[None], steps: _Steps) -> None:
    # Nobody reads any more: a stream that fails while it closes must find room to say so.
    while not steps.empty():
        steps.get_nowait()
    reading.cancel()
    done, _ = await asyncio.wait({reading}, timeout=CLOSE_S)
    if not done:
        log.warning("a provider's stream does not close", extra={"waited_s": CLOSE_S})
