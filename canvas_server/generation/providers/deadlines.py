"""Bounds on any stream of a provider: how long it may be silent, how much it may say, how long it may take to close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeAlias

from canvas_server.generation.providers.failures import OutputTooLargeError, ProviderTimeoutError
from canvas_server.generation.providers.generator import Delta

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
    size_bytes, silence_s = 0, first_s
    try:
        while (step := await _next(steps, silence_s)) is not None:
            if step.text:
                silence_s = gap_s
                size_bytes += len(step.text.encode())
            if size_bytes > bytes_max:
                raise OutputTooLargeError(
                    f"the answer is longer than {bytes_max} bytes", hint="Ask for a shorter answer."
                )
            yield step
    finally:
        await _end(reading, steps)


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
