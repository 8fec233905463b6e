"""The way in: a client of one server."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias

import httpx2

from canvas_server.client.bodies import CanvasInfo, CanvasList, CanvasState, Heading, History, Outline, Section
from canvas_server.client.connection import Connection, Token, decoded
from canvas_server.client.errors import ClientError, ExistsError, NotFoundError
from canvas_server.client.local import TOKEN_VARIABLE, find_local
from canvas_server.client.names import new_name
from canvas_server.client.opened import HISTORY_PAGE, OpenCanvas, Unit
from canvas_server.client.session import CanvasSession
from canvas_server.client.stream import Stream
from canvas_server.core.event import Ack
from canvas_server.core.ids import is_canvas_ref

log = logging.getLogger(__name__)

Infos: TypeAlias = list[CanvasInfo]
DEFAULT_URL: Final = "http://127.0.0.1:8642"
URL_VARIABLE: Final = "CANVAS_URL"
_LIST_PAGE: Final = 200


class CanvasClient:
    """Opens, reads and writes canvases; use it as an async context manager, or call `aclose`.

    It belongs to the event loop in which it is used first.

    Args:
        url: of the server; `CANVAS_URL`, or this machine's port 8642, if None.
        token: says who asks, or is called to say it; `CANVAS_TOKEN` if None.
        client_id: tells this client from others of the same actor; made up if None.
        timeout_s: how long an answer may take.
        settle_s: how long leaving the block waits for edits that the server does not have yet.
        transport: what to send requests with in place of sockets.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: Token = None,
        client_id: str | None = None,
        timeout_s: float = 30.0,
        settle_s: float = 5.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        token = token if token is not None else os.environ.get(TOKEN_VARIABLE)
        self._connection = Connection(url, token, client_id or new_name(), timeout_s, transport)
        self._settle_s = settle_s
        self._streams: list[Stream] = []
        self._sessions: list[CanvasSession] = []
        self._is_closed = False

    @classmethod
    def local(cls, data_dir: str | Path = "data", *, client_id: str | None = None) -> CanvasClient:
        """Return a client of the server that runs on a data folder of this machine.

        Raises:
            UnreachableError: nothing says where a server runs; see `find_local`.
        """
        url, token = find_local(data_dir)
        return cls(url, token=token, client_id=client_id)

    @property
    def url(self) -> str:
        """Of the server."""
        return self._connection.url

    @property
    def client_id(self) -> str:
        """By which events tell what came from here."""
        return self._connection.client_id

    async def open(self, ref: str, *, create: bool = False, title: str | None = None, text: str = "") -> CanvasSession:
        """Open a canvas: read it, and follow it from then on.

        Args:
            ref: its name.
            create: make it, if it is missing.
            title: of the one that is made.
            text: of the one that is made.

        Raises:
            NotFoundError: there is none.
            ClientError: it is open already in this client, or cannot be read.
        """
        self._check_may_open(ref)
        try:
            state = await self.read(ref)
        except NotFoundError:
            if not create:
                raise
            state = await self._create_or_read(ref, title, text)
        self._check_may_open(ref)
        self._sessions = [session for session in self._sessions if session.state != "ended"]
        session = CanvasSession(OpenCanvas(self._connection, state), self._stream_for(ref))
        self._sessions.append(session)
        try:
            await session.connected()
        except BaseException:
            await session.aclose()
            raise
        return session

    async def create(self, ref: str | None = None, *, title: str | None = None, text: str = "") -> CanvasState:
        """Make a canvas, under a name of the server's choice if None is given.

        Raises:
            ExistsError: the name is taken.
        """
        body = _body(title, text)
        if ref is None:
            answer = await self._connection.ask("POST", "/api/v2/canvas", query=[Unit], body=body)
        else:
            answer = await self._connection.ask("PUT", _path(ref), query=[Unit], body=body)
        return decoded(answer.content, CanvasState)

    async def read(self, ref: str, *, at: str | int | None = None) -> CanvasState:
        """Read a canvas, as it is or as it was at a version of its history."""
        query = [Unit] if at is None else [Unit, ("at", str(at))]
        return await self._connection.read(_path(ref), CanvasState, query=query)

    async def section(self, ref: str, heading_id: str) -> Section:
        """Read one section, by the id that the outline gives its heading."""
        return await self._connection.read(_path(ref), Section, query=[Unit, ("section", heading_id)])

    async def outline(self, ref: str) -> list[Heading]:
        """Read the headings, in order."""
        return (await self._connection.read(f"{_path(ref)}/outline", Outline, query=[Unit])).headings

    async def history(self, ref: str, after: str | int = 0, *, limit: int | None = None) -> list[Ack]:
        """Read the operations after a version, oldest first; at most `limit`, if that is given."""
        acks: list[Ack] = []
        following: str | int | None = after
        while following is not None and (limit is None or len(acks) < limit):
            count = HISTORY_PAGE if limit is None else min(HISTORY_PAGE, limit - len(acks))
            query = [Unit, ("after", str(following)), ("limit", str(count))]
            page = await self._connection.read(f"{_path(ref)}/ops", History, query=query)
            acks += page.events
            following = page.next_after
        return acks

    async def list(self, *, limit: int | None = None) -> Infos:
        """List one's canvases, newest first; at most `limit`, if that is given."""
        found: list[CanvasInfo] = []
        cursor: str | None = ""
        while cursor is not None and (limit is None or len(found) < limit):
            count = _LIST_PAGE if limit is None else min(_LIST_PAGE, limit - len(found))
            query = [("limit", str(count)), *([("cursor", cursor)] if cursor else [])]
            page = await self._connection.read("/api/v2/canvas", CanvasList, query=query)
            found += page.canvases
            cursor = page.next_cursor
        return found

    async def rename(self, ref: str, title: str) -> None:
        """Give a canvas another title."""
        await self._connection.ask("PATCH", _path(ref), body={"title": title})

    async def delete(self, ref: str) -> None:
        """Delete a canvas with its history."""
        await self._connection.ask("DELETE", _path(ref))

    async def aclose(self) -> None:
        """Close all sessions at once; what was not sent is lost: see `CanvasSession.settled`.

        One that is cancelled closes everything all the same.
        """
        self._is_closed = True
        closing = asyncio.get_running_loop().create_task(self._close(), name="canvas-client-close")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing})
            raise

    async def _close(self) -> None:
        for session in self._sessions:
            await session.aclose()
        for stream in self._streams:
            await stream.aclose()
        await self._connection.aclose()

    async def __aenter__(self) -> CanvasClient:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None:
                await self._settle()
        finally:
            await self.aclose()

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(self._settle_s):
                for session in self._sessions:
                    if session.state != "ended" and session.pending_count:
                        await session.settled()
        except (TimeoutError, ClientError):
            log.warning("closed with edits that the server does not have", extra={"url": self.url})

    async def _create_or_read(self, ref: str, title: str | None, text: str) -> CanvasState:
        body = _body(title, text)
        try:
            # Made twice it is there already, which is as good.
            answer = await self._connection.insist("PUT", _path(ref), query=[Unit], body=body)
        except ExistsError:
            return await self.read(ref)
        return decoded(answer.content, CanvasState)

    def _stream_for(self, ref: str) -> Stream:
        for stream in self._streams:
            if stream.has_room_for(ref) and not stream.follows(ref):
                return stream
        self._streams.append(Stream(self._connection))
        return self._streams[-1]

    def _check_may_open(self, ref: str) -> None:
        if self._is_closed:
            raise ClientError("the client is closed", code="CLOSED", hint="Make another.")
        if any(session.ref == ref and session.state != "ended" for session in self._sessions):
            raise ClientError(f"{ref} is open", code="OPEN_ALREADY", hint="Use the session that there is.")


def _body(title: str | None, text: str) -> dict[str, object]:
    return {"content": text} if title is None else {"content": text, "title": title}


def _path(ref: str) -> str:
    if not is_canvas_ref(ref):
        raise ValueError(f"{ref!r} cannot name a canvas")
    return f"/api/v2/canvas/{ref}"
