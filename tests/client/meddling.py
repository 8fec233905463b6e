"""A transport with somebody in it who sees each request that writes, and may lose, double or delay it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx2

Pass = Callable[[], Awaitable[httpx2.Response]]
"""Hands a request on; each call is one more copy of it."""
Meddle = Callable[[int, Pass], Awaitable[httpx2.Response]]


class Meddling(httpx2.AsyncBaseTransport):
    """Passes everything on.

    Attributes:
        meddle: is given each request that submits operations, with its number from 1, in place of the server.
        posts: the operations of each such request, as they were sent.
        read: is given each request that reads the history, in place of the server.
    """

    def __init__(self) -> None:
        self._real = httpx2.AsyncHTTPTransport()
        self.meddle: Meddle | None = None
        self.posts: list[bytes] = []
        self.read: Callable[[Pass], Awaitable[httpx2.Response]] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.read is not None and request.method == "GET" and request.url.path.endswith("/ops"):
            return await self.read(lambda: self._real.handle_async_request(request))
        if self.meddle is None or request.method != "POST" or not request.url.path.endswith("ops:stream"):
            return await self._real.handle_async_request(request)
        content = await request.aread()
        self.posts.append(content)

        async def pass_on() -> httpx2.Response:
            copy = httpx2.Request(request.method, request.url, headers=request.headers, content=content)
            return await self._real.handle_async_request(copy)

        return await self.meddle(len(self.posts), pass_on)

    async def aclose(self) -> None:
        await self._real.aclose()


async def lost(pass_on: Pass) -> httpx2.Response:
    """Have the server take a request, and lose its answer."""
    await (await pass_on()).aread()
    raise httpx2.ReadError("the answer was lost")


def refused(status: int, code: str, retry_after_s: int | None = None) -> httpx2.Response:
    """Return what refuses a request."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = {"code": code, "title": code, "detail": code, "hint": "A test says so.", "status": status}
    return httpx2.Response(status, headers=headers, json=body)
