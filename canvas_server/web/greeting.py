"""The door that speaks TLS: who comes is counted when accepted, not only after the handshake.

A loop that is asked for a TLS server tells of a connection only once it has shaken hands; until then nothing would
bound how many there are. So connections are accepted here, one in each turn of the loop, and the loop gets those that
have a place.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from canvas_server.web.connection import TOO_MANY_CONNECTIONS, Connection, Stage
from canvas_server.web.strangers import Client

log = logging.getLogger(__name__)

_NO_FILES_PAUSE_S: Final = 0.5
"""After which it is tried again, when nothing can be accepted."""
_NEVER_S: Final = 3600.0
"""The watch ends those who are slow; the deadline of the loop itself must not come first."""


class TlsDoor:
    """Greets all who come to one socket, and is closed like a server of the event loop.

    Args:
        sock: listens already.
        context: what TLS is spoken with.
        make: returns the protocol of a new connection.
        kind: its class, with the limits of the server.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, make: Callable[[], Connection], kind: type[Connection]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.context = context
        self.make = make
        self.kind = kind
        self._loop = asyncio.get_running_loop()
        self._greetings: dict[asyncio.Task[None], _Greeting] = {}
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        """Take nobody in any more, and end the handshakes that are under way."""
        self._accepting.cancel()
        for greeting in tuple(self._greetings.values()):
            greeting.end()

    async def wait_closed(self) -> None:
        """Wait for all that `close` ends."""
        await asyncio.wait({self._accepting, *self._greetings})

    async def _accept(self) -> None:
        with self._sock:
            while True:
                try:
                    sock, address = await self._loop.sock_accept(self._sock)
                except OSError as error:
                    log.warning("cannot accept a connection", extra={"error": str(error)})
                    await asyncio.sleep(_NO_FILES_PAUSE_S)
                    continue
                self._greet(sock, tuple(address[:2]))
                # Else a crowd at this door would keep the loop from everything else.
                await asyncio.sleep(0)

    def _greet(self, sock: socket.socket, peer: Client) -> None:
        greeting = _Greeting(self, sock, peer)
        if not self.kind.watch.has_room_for(greeting):
            # Nothing can be told to somebody with whom no TLS is spoken yet.
            self.kind.counts.refuse("connection", TOO_MANY_CONNECTIONS.code)
            sock.close()
            return
        greeting.task = self._loop.create_task(greeting.shake_hands())
        self._greetings[greeting.task] = greeting
        greeting.task.add_done_callback(self._forget)
        self.kind.watch.add(greeting, self._loop)
        self.kind.strangers.add(peer, greeting.end)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._greetings.pop(task).let_go()


class _Greeting:
    """A connection from being accepted until it has shaken hands; holds a place for it meanwhile."""

    received_bytes = 0
    task: asyncio.Task[None]

    def __init__(self, door: TlsDoor, sock: socket.socket, peer: Client) -> None:
        self.peer = peer
        self._door = door
        self._sock = sock
        self._is_of_the_loop = False
        self._has_place = True

    def stage(self) -> tuple[Stage, object]:
        return Stage.HANDSHAKE, None

    def expire(self, _stage: Stage) -> None:
        self.end()

    async def shake_hands(self) -> None:
        """Speak TLS; the loop then tells the protocol of the connection."""
        # Who breaks off a handshake, or does not speak TLS, is no news.
        with suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection, self._sock, ssl=self._door.context, ssl_handshake_timeout=_NEVER_S
            )

    def end(self) -> None:
        """Break the handshake off."""
        # A loop that has not begun the handshake would leave the socket open; told of its end, it closes it.
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self.let_go()
        self.task.cancel()

    def let_go(self) -> None:
        """Give the place back, unless the connection has it now."""
        if not self._is_of_the_loop:
            self._sock.close()
        if self._has_place:
            self._has_place = False
            self._door.kind.watch.discard(self)
            self._door.kind.strangers.forget(self.peer)

    def _connection(self) -> Connection:
        self._is_of_the_loop = True
        connection = self._door.make()
        connection.take_place = self._hand_over
        return connection

    def _hand_over(self) -> None:
        # Among strangers it stays as old as it is: the connection takes over what is noted under its peer.
        self._has_place = False
        self._door.kind.watch.discard(self)
