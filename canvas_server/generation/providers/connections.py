"""How providers are connected: bounded waits, checked addresses, no retries by others, SDKs loaded only when needed."""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import msgspec

from canvas_server.core.job import JsonObject
from canvas_server.generation.providers.destination import Destination

if TYPE_CHECKING:
    import httpx2

Event = TypeVar("Event")

Rehearsal: TypeAlias = Callable[[], Awaitable[None]]
"""Goes through the calls of an SDK with a `client_to_nobody`."""

log = logging.getLogger(__name__)

_REHEARSAL_S: Final = 10.0
_GUARDED: Final = "canvas_server.generation.providers.guarded"
"""Imports httpx2, which takes a while."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a provider is waited for, in seconds."""

    connect_s: float = 5.0
    silence_s: float = 60.0
    """Between two bytes, and before the first."""


async def load(*modules: str, rehearse: Rehearsal) -> None:
    """Import modules of an SDK and rehearse it, once and in a thread: it takes up to three seconds.

    SDKs build most of their types when they first need them, which would hold up everybody else in the loop.

    Args:
        modules: the same ones are loaded once, whoever wants them.
        rehearse: runs in a loop of its own; if it fails, the first real call is slow, and nothing else.
    """
    sdk = _sdk(modules)
    if not sdk.ready:
        await asyncio.to_thread(sdk.load, rehearse)


def async_client(patience: Patience, destination: Destination) -> httpx2.AsyncClient:
    """Return a client that keeps to `patience` and `destination`, whatever an SDK tells it; call it after `load`.

    Args:
        patience: for every request.
        destination: the only one that it connects to.

    Raises:
        AddressError: that cannot be one.
    """
    import httpx2  # noqa: PLC0415 - comes with the SDKs, and as late as they do

    from canvas_server.generation.providers.guarded import GuardedTransport  # noqa: PLC0415 - as above

    waits = httpx2.Timeout(patience.silence_s, connect=patience.connect_s)

    async def keep_waits(request: httpx2.Request) -> None:
        # mistralai knows one time-out for everything, and would take as long to connect as to wait for an answer.
        request.extensions["timeout"] = waits.as_dict()

    return httpx2.AsyncClient(
        timeout=waits,
        follow_redirects=False,
        trust_env=False,
        transport=GuardedTransport(destination, _certificates()),
        event_hooks={"request": [keep_waits], "response": [_read_failure]},
    )


def client_to_nobody(*answers: JsonObject | Sequence[JsonObject]) -> httpx2.AsyncClient:
    """Return a client without a network: its first request gets the first answer, and so on; call it in a rehearsal.

    Args:
        answers: an object comes as JSON, a sequence as a stream of events.
    """
    import httpx2  # noqa: PLC0415 - as above

    left = iter(answers)

    def answer(_request: httpx2.Request) -> httpx2.Response:
        told = next(left)
        if isinstance(told, Mapping):
            return httpx2.Response(200, json=told)
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, content=_stream(told))

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer), trust_env=False)


def _stream(events: Sequence[JsonObject]) -> bytes:
    data = (*map(msgspec.json.encode, events), b"[DONE]")
    return b"".join(b"data: %b\n\n" % part for part in data)


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


class _Sdk:
    """Modules of an SDK.

    Attributes:
        ready: whether they are loaded.
    """

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.ready = False
        self._modules: Final = modules
        self._lock: Final = threading.Lock()

    def load(self, rehearse: Rehearsal) -> None:
        # Two calls may come here at once: the second waits for what the first does.
        with self._lock:
            if self.ready:
                return
            for name in (_GUARDED, *self._modules):
                importlib.import_module(name)
            _certificates()
            _rehearsed(rehearse)
            self.ready = True


@cache
def _sdk(modules: tuple[str, ...]) -> _Sdk:
    return _Sdk(modules)


def _rehearsed(rehearse: Rehearsal) -> None:
    try:
        asyncio.run(_bounded(rehearse))
    except Exception as error:  # noqa: BLE001 - the real call goes the same way, and tells
        log.debug("an SDK cannot be rehearsed", extra={"error": type(error).__name__})


async def _bounded(rehearse: Rehearsal) -> None:
    import anyio.lowlevel  # noqa: PLC0415 - comes with httpx2, and as late as it does

    async with asyncio.timeout(_REHEARSAL_S):
        # Without a network httpx2 does not need anyio: this has it imported what its first connection would.
        await anyio.lowlevel.checkpoint()
        await rehearse()


@cache
def _certificates() -> ssl.SSLContext:
    """Return the authorities that are trusted; reading them takes long enough to do it once."""
    import httpx2  # noqa: PLC0415 - as above

    return httpx2.create_ssl_context()
