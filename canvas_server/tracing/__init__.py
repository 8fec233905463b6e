"""Traces over OTLP/HTTP, for whoever has a collector.

Rule: without an endpoint nothing of OpenTelemetry is imported and nothing is wrapped. Spans are sent by a thread of
their own out of a bounded queue: a collector that is slow or away costs spans, and never a request its time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from canvas_server.core.errors import ConfigError
from canvas_server.core.tracer import Tracer

FLUSH_S: Final = 2.0
"""How long the stopping server waits for its last spans to be taken."""


@asynccontextmanager
async def opened_tracer(endpoint: str, sample_ratio: float, version: str) -> AsyncIterator[Tracer | None]:
    """Send spans for as long as the block runs; at its end wait `FLUSH_S` for the last ones at most.

    Args:
        endpoint: of the collector, with or without `/v1/traces`; None is yielded, and nothing done, if it is empty.
        sample_ratio: how many of the traces that begin here are kept, from 0 to 1; a trace that began elsewhere is
            kept when it was there.
        version: of this server.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if not endpoint:
        yield None
        return
    try:
        from canvas_server.tracing.otel import OtelTracer, opened_provider  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            f"tracing.otlp_endpoint is set, but {error.name} is not installed",
            hint="Run `pip install 'canvas-server[otel]'`, or leave tracing.otlp_endpoint empty.",
        ) from error
    provider = opened_provider(endpoint, sample_ratio, version)
    try:
        yield OtelTracer(provider)
    finally:
        await _flush(provider.shutdown)


async def _flush(shut_down: Callable[[], None]) -> None:
    """Have the last spans sent, and wait for that `FLUSH_S` at most."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        shut_down()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    # Not a thread of the loop's pool: the loop would wait for it, however long it takes.
    threading.Thread(target=flush, name="last spans", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            await done.wait()
