"""Many listeners in one thread: they keep the bytes that they are told, and are asked afterwards what these were."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.crash.clients import Worker
from tests.listener import PATIENCE_S, Event, Frames

_SNAPSHOT = b'"type":"snapshot"'


class Told(NamedTuple):
    """What one listener was told.

    Attributes:
        ref: of the canvas that it listened to.
        frames: one for each event, as they came.
        in_order: whether the server ended the stream, or cut it off.
    """

    ref: str
    frames: list[bytes]
    in_order: bool

    def events(self) -> list[Event]:
        """Return the events."""
        return list(Frames().feed(b"".join(frame + b"\n\n" for frame in self.frames)))


class Crowd(Worker):
    """Listens on connections of its own until all are closed.

    Args:
        port: of the server.
        refs: a listener to the canvas for each.
    """

    def __init__(self, port: int, refs: Sequence[str]) -> None:
        super().__init__("crowd")
        self._refs = refs
        self._heard = [bytearray() for _ in refs]
        self._sockets = [_listen(port, ref) for ref in refs]

    def begin(self) -> None:
        """Start; return when all have heard the text as it is."""
        self.start()
        until_s = time.monotonic() + PATIENCE_S
        while not all(_SNAPSHOT in heard for heard in self._heard):
            assert time.monotonic() < until_s, "not all can listen"
            time.sleep(0.005)

    def told(self) -> list[Told]:
        """Wait until all connections are closed, and return what was told on each."""
        self.finish()
        return [_told(ref, bytes(heard)) for ref, heard in zip(self._refs, self._heard, strict=True)]

    def work(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, sock in enumerate(self._sockets):
                selector.register(sock, selectors.EVENT_READ, index)
            while selector.get_map():
                ready = selector.select(PATIENCE_S)
                assert ready, "nothing more comes, and nobody hangs up"
                for key, _ in ready:
                    sock = self._sockets[key.data]
                    if not _read(sock, self._heard[key.data]):
                        selector.unregister(sock)
                        sock.close()


def _listen(port: int, ref: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        f"GET /api/v2/canvas/{ref}/ops:listen?unit=codepoint HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    )
    return sock


def _read(sock: socket.socket, heard: bytearray) -> bool:
    """Read what has come; return whether the connection is open."""
    try:
        piece = sock.recv(1 << 18)
    except ConnectionError:
        return False
    heard += piece
    return bool(piece)


def _told(ref: str, heard: bytes) -> Told:
    chunks, rest = [], heard.partition(b"\r\n\r\n")[2]
    # A stream that was cut off may end within a chunk, or within its size.
    while b"\r\n" in rest:
        size_hex, _, rest = rest.partition(b"\r\n")
        size = int(size_hex, 16)
        chunks.append(rest[:size])
        rest = rest[size + 2 :]
    *frames, last = b"".join(chunks).split(b"\n\n")
    return Told(ref, frames, in_order=heard.endswith(b"\r\n0\r\n\r\n") and not last)
