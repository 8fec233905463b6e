"""A way to a server that breaks: it passes bytes on, and cuts connections when it is told to, or by chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_PIECE = 4096


class FaultProxy:
    """Listens on a port that stays, and leads to a server that may change.

    Attributes:
        upstream_port: of the server; 0: nobody is there.
        budget: says how many bytes of a direction of a new connection pass before it is cut; None: all.
        cuts: how many connections were cut.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.budget: Callable[[], int | None] = lambda: None
        self.cuts = 0
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut all that there is."""
        for writer in tuple(self._writers):
            self.cuts += 1
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port or 1)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, up_writer, self.budget()))
                group.create_task(self._pass_on(up_reader, writer, self.budget()))
        except* OSError:
            pass
        finally:
            self._writers -= {writer, up_writer}
            writer.transport.abort()
            up_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
        while piece := await reader.read(_PIECE):
            if budget is not None:
                piece = piece[:budget]
                budget -= len(piece)
            writer.write(piece)
            await writer.drain()
            if budget == 0:
                self.cuts += 1
                raise ConnectionAbortedError
        with suppress(OSError):
            writer.close()
        raise ConnectionResetError
