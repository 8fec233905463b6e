"""Listening: one stream of server-sent events for many canvases, which comes back by itself (PROTOCOL section 5)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

import msgspec

from canvas_server.client.connection import Connection
from canvas_server.client.errors import BusyError, ClientError, ForbiddenError, NotFoundError, RefusedError
from canvas_server.core.event import (
    Ack,
    Bye,
    Checkpoint,
    CheckpointFailed,
    Closed,
    Conflict,
    Deleted,
    Event,
    Failure,
    Heartbeat,
    Presence,
    Reset,
    Saved,
    Snapshot,
    Start,
    TitleChanged,
)

log = logging.getLogger(__name__)

REFS_MAX: Final = 64
"""Canvases that one stream may tell of."""
TARGET_CHARS_MAX: Final = 6_000
"""Of a request that listens: proxies take 8 KiB."""
_CURSOR_CHARS: Final = 70
"""What a canvas takes there, with its version, besides its name twice."""
_BUFFER_MAX: Final = 8 * 1024 * 1024
_SILENCE_S: Final = 45.0
_BEATS_MISSED: Final = 3
_PAUSE_S: Final = (0.05, 0.25)
"""Between which bounds the first pause is after a stream that broke off."""
_PAUSE_S_MAX: Final = 8.0

_KINDS: Final[dict[str, Callable[[bytes], Event]]] = {
    "ack": msgspec.json.Decoder(Ack).decode,
    "conflict": msgspec.json.Decoder(Conflict).decode,
    "error": msgspec.json.Decoder(Failure).decode,
    "start": msgspec.json.Decoder(Start).decode,
    "snapshot": msgspec.json.Decoder(Snapshot).decode,
    "reset": msgspec.json.Decoder(Reset).decode,
    "checkpoint": msgspec.json.Decoder(Checkpoint).decode,
    "saved": msgspec.json.Decoder(Saved).decode,
    "presence": msgspec.json.Decoder(Presence).decode,
    "heartbeat": msgspec.json.Decoder(Heartbeat).decode,
    "title": msgspec.json.Decoder(TitleChanged).decode,
    "deleted": msgspec.json.Decoder(Deleted).decode,
    "closed": msgspec.json.Decoder(Closed).decode,
    "bye": msgspec.json.Decoder(Bye).decode,
}
_decode_failed: Final = msgspec.json.Decoder(CheckpointFailed).decode


class Frame(NamedTuple):
    """What stands between two blank lines of a stream."""

    id: str | None
    data: bytes
    retry_ms: int | None


class EventStreamParser:
    """Cuts a stream of server-sent events into frames, wherever it was cut on its way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that a piece completes.

        Raises:
            ClientError: a frame is larger than any can be.
        """
        self._buffer += piece.replace(b"\r", b"")
        *blocks, rest = self._buffer.split(b"\n\n")
        self._buffer = rest
        if len(rest) > _BUFFER_MAX:
            raise ClientError("a server-sent event does not end", code="PROTOCOL", hint="Is it a canvas-server?")
        for block in blocks:
            yield _frame(bytes(block))


def _frame(block: bytes) -> Frame:
    id_: str | None = None
    retry_ms: int | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"id":
                id_ = value.decode(errors="replace")
            case b"data":
                data.append(value)
            case b"retry" if value.isdigit():
                retry_ms = int(value)
            case _:
                pass
    return Frame(id_, b"\n".join(data), retry_ms)


class _Head(msgspec.Struct, frozen=True):
    type: str = ""
    failed: bool = False


_decode_head: Final = msgspec.json.Decoder(_Head).decode


def decode_event(data: bytes) -> Event | None:
    """Read the data of a frame; None if it is an event that this client does not know."""
    try:
        head = _decode_head(data)
        if head.failed:
            return _decode_failed(data)
        decode = _KINDS.get(head.type)
        return None if decode is None else decode(data)
    except msgspec.MsgspecError:
        log.warning("an event that cannot be read", extra={"size_bytes": len(data)})
        return None


class Follower(Protocol):
    """Who listens to a canvas."""

    @property
    def ref(self) -> str:
        """Of the canvas."""
        ...

    @property
    def cursor(self) -> str:
        """Of the last version that it knows: what came after it is to be told."""
        ...

    def hear(self, event: Event) -> None:
        """Take what is told."""
        ...

    def cut_off(self, problem: ClientError | None) -> None:
        """Hear nothing for now; why, if that is more than a connection that broke off."""
        ...

    def end(self, error: ClientError) -> None:
        """Hear nothing any more."""
        ...


class Stream:
    """One connection that tells its followers of their canvases, for as long as there is one.

    Args:
        connection: to the server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._followers: dict[str, Follower] = {}
        self._task: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._silence_s = _SILENCE_S
        self._retry_s = _PAUSE_S[1]
        self._broken = 0
        """How often in a row no stream came about."""
        self._farewell_s: float | None = None

    def has_room_for(self, ref: str) -> bool:
        """Whether one more canvas may be listened to."""
        chars = sum(2 * len(one) + _CURSOR_CHARS for one in (*self._followers, ref))
        return len(self._followers) < REFS_MAX and chars <= TARGET_CHARS_MAX

    def follows(self, ref: str) -> bool:
        """Whether it tells of a canvas."""
        return ref in self._followers

    def add(self, follower: Follower) -> None:
        """Tell of one more canvas: the connection is made anew, and goes on where it was."""
        self._followers[follower.ref] = follower
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="canvas-stream")
        self.renew()

    def remove(self, follower: Follower) -> None:
        """Tell of one canvas less."""
        if self._followers.pop(follower.ref, None) is not None:
            self.renew()

    async def aclose(self) -> None:
        """End it, and all that it runs."""
        self._followers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def renew(self) -> None:
        """Make the connection anew; it goes on where it was."""
        if self._listening is not None:
            self._listening.cancel()

    async def _run(self) -> None:
        """Listen again and again; each turn in a task of its own, which ends when other canvases are asked for."""
        while self._followers:
            self._listening = asyncio.get_running_loop().create_task(self._turn(), name="canvas-stream-turn")
            try:
                await asyncio.wait({self._listening})
            finally:
                self._listening.cancel()
                await asyncio.wait({self._listening})
                for follower in self._followers.values():
                    follower.cut_off(None)
            if not self._listening.cancelled() and (error := self._listening.exception()) is not None:
                raise error

    async def _turn(self) -> None:
        problem: ClientError | None = None
        try:
            await self._listen()
        except (ForbiddenError, NotFoundError):
            await self._examine()
        except BusyError as error:
            self._farewell_s = error.retry_after_s
        except RefusedError as error:
            problem = error
        except ClientError as error:
            log.debug("stream lost", extra={"reason": str(error)})
        except Exception as error:
            # Nobody awaits this task: what is wrong is told, and tried again.
            log.exception("a stream failed")
            problem = ClientError(f"the stream failed: {error}", code="INTERNAL", hint="Report this.")
        self._broken += 1
        for follower in self._followers.values():
            follower.cut_off(problem)
        await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        told, self._farewell_s = self._farewell_s, None
        if told is not None:
            return told
        if self._broken <= 1:
            return random.uniform(*_PAUSE_S)  # noqa: S311 - no secret
        return float(min(_PAUSE_S[1] * 2.0 ** min(self._broken, 10), _PAUSE_S_MAX)) * random.uniform(0.5, 1)  # noqa: S311

    async def _listen(self) -> None:
        query = [("unit", "codepoint"), ("snapshot", "false"), ("client_id", self._connection.client_id)]
        for ref, follower in self._followers.items():
            query += [("ref", ref), ("last_event_id", f"{ref}:{follower.cursor}")]
        parser = EventStreamParser()
        async with self._connection.stream("/api/v2/ops:listen", query, self._silence_s) as pieces:
            async for piece in pieces:
                for frame in parser.feed(piece):
                    if frame.data and not self._tell(frame.data):
                        return

    def _tell(self, data: bytes) -> bool:
        """Hand on an event; return whether there is more to come."""
        event = decode_event(data)
        if event is None:
            return True
        self._broken = 0
        if isinstance(event, Bye):
            self._farewell_s = event.retry_ms / 1000
            return False
        if isinstance(event, Start):
            self._silence_s = max(_SILENCE_S, _BEATS_MISSED * event.heartbeat_ms / 1000)
        is_over = isinstance(event, Deleted)
        follower = self._followers.pop(event.canvas, None) if is_over else self._followers.get(event.canvas)
        if follower is not None:
            follower.hear(event)
        # One that was closed is opened again by whoever listens anew.
        return not isinstance(event, Closed)

    async def _examine(self) -> None:
        """Find out which canvas it is that may not be listened to, and go on without it."""
        for follower in tuple(self._followers.values()):
            try:
                await self._connection.insist("HEAD", f"/api/v2/canvas/{follower.ref}")
            except (ForbiddenError, NotFoundError) as error:
                self._followers.pop(follower.ref, None)
                follower.end(error)
            except ClientError as error:
                log.debug("cannot be asked", extra={"reason": str(error)})
