"""How providers are connected: bounded waits, no redirects, no retries by others, SDKs loaded only when needed."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    import httpx2

Event = TypeVar("Event")

log = logging.getLogger(__name__)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a provider is waited for, in seconds."""

    connect_s: float = 5.0
    silence_s: float = 60.0
    """Between two bytes, and before the first."""


async def load(*modules: str) -> None:
    """Import modules of an SDK, in a thread: the first time takes up to a second."""
    await asyncio.to_thread(_load, modules)


def async_client(patience: Patience, *, trust_env: bool = True) -> httpx2.AsyncClient:
    """Return a client that keeps to `patience`, whatever an SDK tells it; call it after `load`.

    Args:
        patience: for every request.
        trust_env: whether the proxies that the environment names are used.
    """
    import httpx2  # noqa: PLC0415 - comes with the SDKs, and as late as they do

    waits = httpx2.Timeout(patience.silence_s, connect=patience.connect_s)

    async def keep_waits(request: httpx2.Request) -> None:
        # mistralai knows one time-out for everything, and would take as long to connect as to wait for an answer.
        request.extensions["timeout"] = waits.as_dict()

    return httpx2.AsyncClient(
        timeout=waits,
        follow_redirects=False,
        trust_env=trust_env,
        verify=_certificates(),
        event_hooks={"request": [keep_waits], "response": [_read_failure]},
    )


async def events_of(stream: AsyncIterator[Event], close: Callable[[], Awaitable[None]]) -> AsyncGenerator[Event, None]:
    """Yield the events of an SDK's stream, and end it wholly when this is closed.

    Args:
        stream: what the SDK calls a stream is a chain of generators around a connection.
        close: closes the connection only. The generators would be left to the garbage collector, which closes them
            some time, or too late.
    """
    try:
        while (event := await anext(stream, None)) is not None:
            yield event
    finally:
        await close()
        try:
            # Nothing more can arrive, so this goes through what is in memory and then ends every one of them.
            while await anext(stream, None) is not None:
                pass
        except Exception:  # noqa: BLE001 - it was closed on purpose, or its error is on its way already
            log.debug("a stream ended with an error after it was closed")


async def _read_failure(response: httpx2.Response) -> None:
    # mistralai asks twice for the text of an error without text, and fails over it unless it was read before.
    if not response.is_success:
        await response.aread()


@cache
def unused_client() -> httpx2.Client:
    """Return a client for an SDK that wants one besides and never uses it; call it after `load`.

    mistralai would make one each time and read all certificates for it.
    """
    import httpx2  # noqa: PLC0415 - as above

    return httpx2.Client(verify=_certificates())


def _load(modules: tuple[str, ...]) -> None:
    for name in ("httpx2", *modules):
        importlib.import_module(name)
    _certificates()


@cache
def _certificates() -> ssl.SSLContext:
    """Return the authorities that are trusted; reading them takes long enough to do it once."""
    import httpx2  # noqa: PLC0415 - as above

    return httpx2.create_ssl_context()
