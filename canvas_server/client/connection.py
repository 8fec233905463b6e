"""HTTP to one server: credentials go with each request, and whatever is no success is a typed error."""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from canvas_server.client.errors import BusyError, ClientError, UnauthorizedError, UnreachableError, refusal

log = logging.getLogger(__name__)

T = TypeVar("T")
Token: TypeAlias = str | Callable[[], Awaitable[str | None] | str | None] | None
"""What says who asks: a token, or what returns one; it is called anew when the server does not know the last."""
Query: TypeAlias = Sequence[tuple[str, str]]

CONNECT_S: Final = 10.0
_TRIES: Final = 4
_PAUSE_S: Final = 0.25
_PAUSE_S_MAX: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Connection:
    """To a server; close it with `aclose`.

    Args:
        url: of the server.
        token: says who asks.
        client_id: tells this client from others of the same actor.
        timeout_s: how long an answer may take.
        transport: what to send requests with in place of sockets.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        client_id: str,
        timeout_s: float,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ClientError(f"{url!r} is no address of a server", hint="Write http://host:port or https://host.")
        self.url = url.rstrip("/")
        self.client_id = client_id
        self.timeout_s = timeout_s
        self._token = token
        self._known: str | None = token if isinstance(token, str) else None
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers={"X-Client-Id": client_id},
            timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
            # A proxy is no way to this very machine.
            trust_env=parts.hostname not in _LOOPBACK,
            # Reading all certificates of the system takes long, and plain HTTP has no use for them.
            verify=True if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close all sockets."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: object = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send one request.

        Args:
            method: of HTTP.
            path: on the server.
            query: parameters.
            body: sent as JSON, if not None.
            content: sent as it is, if there is no body.
            headers: in addition.

        Raises:
            UnreachableError: there was no answer.
            RefusedError: it was refused.
        """
        given = dict(headers or {})
        if body is not None:
            content = msgspec.json.encode(body)
            given["Content-Type"] = "application/json"
        # A stream cannot be sent twice.
        can_renew = callable(self._token) and (content is None or isinstance(content, bytes))
        try:
            return await self._ask_once(method, path, query, content, given)
        except UnauthorizedError:
            self._known = None
            if not can_renew:
                raise
        return await self._ask_once(method, path, query, content, given)

    async def read(self, path: str, kind: type[T], *, query: Query = (), headers: Mapping[str, str] | None = None) -> T:
        """Read something as JSON; asked again a few times where that may help."""
        answer = await self.insist("GET", path, query=query, headers=headers)
        return decoded(answer.content, kind)

    async def insist(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send a request that may be sent again, a few times if it must be; raises as `ask` does."""
        for number in range(_TRIES):
            try:
                return await self.ask(method, path, query=query, body=body, headers=headers)
            except (BusyError, UnreachableError) as error:
                if number == _TRIES - 1:
                    raise
                pause_s = error.retry_after_s if isinstance(error, BusyError) else _PAUSE_S * 2**number
                await asyncio.sleep(min(pause_s, _PAUSE_S_MAX))
        raise AssertionError

    @asynccontextmanager
    async def stream(self, path: str, query: Query, silence_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer that is read as it comes; raises as `ask` does, also while it is read.

        Args:
            path: on the server.
            query: parameters.
            silence_s: after which it is lost.
        """
        timeout = httpx2.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_S), read=silence_s)
        credentials = await self._credentials()
        try:
            async with self._http.stream(
                "GET", path, params=list(query), headers=credentials, timeout=timeout
            ) as answer:
                if not answer.is_success:
                    body = await answer.aread()
                    self._check(answer, body)
                yield answer.aiter_bytes()
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise _unreachable(self.url, error) from error

    async def _ask_once(
        self,
        method: str,
        path: str,
        query: Query,
        content: bytes | AsyncIterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> httpx2.Response:
        # Of a streamed request the answer comes when its sender is done: no matter how long that takes.
        is_streamed = content is not None and not isinstance(content, bytes)
        timeout = httpx2.Timeout(None, connect=CONNECT_S) if is_streamed else httpx2.USE_CLIENT_DEFAULT
        try:
            answer = await self._http.request(
                method,
                path,
                params=list(query),
                content=content,
                headers={**headers, **await self._credentials()},
                timeout=timeout,
            )
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise _unreachable(self.url, error) from error
        self._check(answer, answer.content)
        return answer

    def _check(self, answer: httpx2.Response, body: bytes) -> None:
        if answer.status_code >= 300 and answer.status_code != 304:
            if answer.status_code == 401:
                self._known = None if callable(self._token) else self._known
            raise refusal(answer.status_code, body, answer.headers.get("retry-after"))

    async def _credentials(self) -> dict[str, str]:
        if self._known is None and callable(self._token):
            try:
                given = self._token()
                self._known = await given if inspect.isawaitable(given) else given
            except Exception as error:
                log.warning("no token was given", extra={"reason": type(error).__name__}, exc_info=True)
                raise UnreachableError("no token could be had", hint="Look at what gives the token.") from error
        return {"Authorization": f"Bearer {self._known}"} if self._known else {}


def decoded(content: bytes, kind: type[T]) -> T:
    """Read what a server answered.

    Raises:
        ClientError: it is not what it should be.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise ClientError(
            "the server answered what this client cannot read", code="PROTOCOL", hint="Is it a canvas-server?"
        ) from error


def _unreachable(url: str, error: Exception) -> UnreachableError:
    return UnreachableError(f"{url} does not answer ({type(error).__name__})")
