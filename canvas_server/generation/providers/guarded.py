"""The only way to a provider: to its own origin, at an address that was checked, and nowhere else from there.

Rule: a name is looked up once for each connection, every address it leads to is checked, and the connection goes to
one of exactly these. Whoever looked it up again to connect could be sent elsewhere. The certificate is still checked
against the name.

It is imported with the first SDK, and in a thread as well; see `connections.load`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from canvas_server.core.barred import Address
from canvas_server.generation.providers.destination import Destination
from canvas_server.generation.providers.failures import AddressError
from canvas_server.generation.providers.resolver import BarredError, resolved

STAGGER_S: Final = 0.25
"""How long an address is tried alone before the next one is tried beside it (RFC 8305)."""
_CONNECTIONS_MAX: Final = 100
_KEPT_MAX: Final = 20
_KEPT_S: Final = 5.0
"""As httpx2 has them."""
_PORTS: Final = {"http": 80, "https": 443}

_ERRORS: Final[Mapping[type[Exception], type[httpx2.TransportError]]] = {
    httpcore2.ConnectTimeout: httpx2.ConnectTimeout,
    httpcore2.ReadTimeout: httpx2.ReadTimeout,
    httpcore2.WriteTimeout: httpx2.WriteTimeout,
    httpcore2.PoolTimeout: httpx2.PoolTimeout,
    httpcore2.ConnectError: httpx2.ConnectError,
    httpcore2.ReadError: httpx2.ReadError,
    httpcore2.WriteError: httpx2.WriteError,
    httpcore2.ProxyError: httpx2.ProxyError,
    httpcore2.UnsupportedProtocol: httpx2.UnsupportedProtocol,
    httpcore2.LocalProtocolError: httpx2.LocalProtocolError,
    httpcore2.RemoteProtocolError: httpx2.RemoteProtocolError,
}
"""What connections raise, and what the SDKs know."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to one provider.

    Args:
        destination: where it is.
        certificates: the authorities that are trusted.

    Raises:
        AddressError: the address is none, or is of another scheme than http and https, or tells a name or a password.
    """

    def __init__(self, destination: Destination, certificates: ssl.SSLContext) -> None:
        self._destination: Final = destination
        url = _own_url(destination)
        self._origin: Final = _origin(url)
        self._pool: Final = httpcore2.AsyncConnectionPool(
            ssl_context=certificates,
            proxy=_proxy(url) if destination.proxied else None,
            max_connections=_CONNECTIONS_MAX,
            max_keepalive_connections=_KEPT_MAX,
            keepalive_expiry=_KEPT_S,
            network_backend=_CheckedNetwork(destination, url.raw_host.decode("ascii")),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return the answer as soon as its headers are there.

        Raises:
            AddressError: the request is for another origin, or its name leads to an address that is barred; it was not
                sent. Or the answer is a redirect; it was not followed.
            httpx2.TransportError: as any transport does.
        """
        if _origin(request.url) != self._origin or request.url.userinfo:
            raise self._destination.error("is another one than that of this request, which was not sent")
        with _translating():
            answer = await self._pool.handle_async_request(_plain(request))
        body = _Body(answer)
        if 300 <= answer.status < 400:
            await body.aclose()
            raise self._destination.error(f"answers with a redirect (status {answer.status}), which is not followed")
        return httpx2.Response(answer.status, headers=answer.headers, stream=body, extensions=dict(answer.extensions))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, never to names."""

    def __init__(self, destination: Destination, host: str) -> None:
        self._destination: Final = destination
        self._host: Final = host
        self._network: Final = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name and meaning are the pool's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Look a host up, check all it leads to, and return a connection to the first of them that answers."""

        async def connect(address: Address) -> httpcore2.AsyncNetworkStream:
            return await self._network.connect_tcp(str(address), port, None, local_address, socket_options)

        try:
            async with asyncio.timeout(timeout):
                return await _first(await resolved(host, port), connect)
        except BarredError as error:
            raise self._barred(host, error) from None
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"no connection within {timeout} s") from None
        except OSError as error:
            raise httpcore2.ConnectError("the name leads nowhere") from error

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)

    def _barred(self, host: str, error: BarredError) -> AddressError:
        if host == self._host:
            return self._destination.error(f"leads to a {error.kind} address")
        return AddressError(
            f"the proxy that the environment names leads to a {error.kind} address",
            hint=f"Set HTTPS_PROXY to another one, or NO_PROXY to the host of {self._destination.provider}.base_url.",
        )


class _Body(httpx2.AsyncByteStream):
    """What an answer holds, as it comes."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer: Final = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._answer.stream
        assert isinstance(stream, AsyncIterable)
        with _translating():
            # Not by `aiter_stream`, which can be gone through once only: openai drains it a second time.
            async for part in stream:
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


async def _first(
    addresses: Sequence[Address], connect: Callable[[Address], Coroutine[None, None, httpcore2.AsyncNetworkStream]]
) -> httpcore2.AsyncNetworkStream:
    """Return the first connection there is; addresses begin one after the other, a slow one has the next beside it."""
    waiting, running = list(addresses), set[asyncio.Task[httpcore2.AsyncNetworkStream]]()
    try:
        while True:
            if waiting:
                running.add(asyncio.create_task(connect(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                if attempt.exception() is None:
                    running.discard(attempt)
                    return attempt.result()
            running -= done
            if not (running or waiting):
                return done.pop().result()
    finally:
        await _give_up(running)


async def _give_up(attempts: Iterable[asyncio.Task[httpcore2.AsyncNetworkStream]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for late in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(late, httpcore2.AsyncNetworkStream):
            await late.aclose()


def _plain(request: httpx2.Request) -> httpcore2.Request:
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _own_url(destination: Destination) -> httpx2.URL:
    try:
        url = httpx2.URL(destination.base_url)
    except httpx2.InvalidURL:
        raise destination.error("cannot be read") from None
    if url.scheme not in _PORTS or not url.raw_host or url.userinfo:
        raise destination.error("is not of the form http(s)://host/path")
    return url


def _origin(url: httpx2.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host.lower(), url.port or _PORTS.get(url.scheme)


def _proxy(url: httpx2.URL) -> httpcore2.Proxy | None:
    """Return the proxy to reach an `https` address by; it only passes on what it cannot read, so it gets no key."""
    named = getproxies()
    told = named.get("https") or named.get("all")
    if url.scheme != "https" or not told or proxy_bypass(f"{url.host}:{url.port or _PORTS[url.scheme]}"):
        return None
    try:
        parts = urlsplit(told if "://" in told else f"http://{told}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _PORTS:
        raise AddressError(
            "the proxy that the environment names is not of the form http(s)://host:port",
            hint="Set HTTPS_PROXY to one that is, or NO_PROXY to the host of the provider.",
        )
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return httpcore2.Proxy(
        httpcore2.URL(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], target="/"), auth=auth
    )


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except tuple(_ERRORS) as error:
        raise _ERRORS[type(error)](str(error)) from error
