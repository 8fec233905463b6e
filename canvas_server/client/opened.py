"""What the parts of a session share: the copy of the canvas, who is to be told, and how it stands with the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from canvas_server.client.bodies import CanvasState, History
from canvas_server.client.changeset import ChangeSet
from canvas_server.client.connection import Connection
from canvas_server.client.errors import ClientError, Problem
from canvas_server.client.events import EventStream
from canvas_server.client.outcomes import Outcomes
from canvas_server.client.replica import Replica
from canvas_server.core.event import Ack, Event, Outcome
from canvas_server.core.limits import Limits

log = logging.getLogger(__name__)

State: TypeAlias = Literal["offline", "catching-up", "live", "ended"]
Origin: TypeAlias = Literal["local", "remote", "rebase"]
Unit: Final = ("unit", "codepoint")
HISTORY_PAGE: Final = 1_000


class Writer(Protocol):
    """Who sends lines of its own, beside the replica."""

    def hear(self, event: Outcome) -> None:
        """Take what became of an operation, whoever sent it."""
        ...

    async def stop(self) -> None:
        """End it at once."""
        ...

    def adopt(self) -> None:
        """Lines that were acked and forgotten became edits: nothing may be sent under their names again."""
        ...


class View(NamedTuple):
    """How the text changed.

    Attributes:
        changes: in coordinates of the text before.
        origin: `local` for one's own edits, `remote` for what the server applied, `rebase` where both had to be fitted.
        ack: what was applied, if it was one operation.
    """

    changes: ChangeSet
    origin: Origin
    ack: Ack | None


class OpenCanvas:
    """A canvas that is open.

    Args:
        connection: to its server.
        state: as it was read.
    """

    def __init__(self, connection: Connection, state: CanvasState) -> None:
        self.connection = connection
        self.ref = state.ref
        self.path = f"/api/v2/canvas/{state.ref}"
        self.title = state.title
        self.replica = Replica(state.text, state.version)
        self.replica.save(state.checkpoint_version)
        self.limits = Limits()
        self.outcomes = Outcomes()
        self.is_connected = False
        """Whether what happens is heard."""
        self.problem: Problem | None = None
        self.ended: ClientError | None = None
        self.heal: Literal["history", "text", ""] = ""
        """What is to be done before anything is taken from the stream again."""
        self.was_recreated = False
        self.held: list[Event] = []
        """What was heard while it was healed."""
        self.wake = asyncio.Event()
        """There may be something to do."""
        self.viewers: list[Callable[[View], None]] = []
        self.readers: list[EventStream] = []
        self.writers: list[Writer] = []
        self.renew: Callable[[], None] = lambda: None
        """Listens anew, when there is reason to doubt that the server is the one that was listened to."""
        self._moved = asyncio.Event()

    @property
    def state(self) -> State:
        """How it stands with the server."""
        if self.ended is not None:
            return "ended"
        if not self.is_connected:
            return "offline"
        return "catching-up" if self.heal else "live"

    def show(self, changes: ChangeSet, origin: Origin, ack: Ack | None = None) -> None:
        """Tell who looks at the text that it changed."""
        if not changes.is_empty:
            for viewer in tuple(self.viewers):
                try:
                    viewer(View(changes, origin, ack))
                except Exception:
                    # Of the program around: what is heard must go on, for all canvases of the stream.
                    log.exception("who looks at a text failed", extra={"canvas": self.ref})

    def tell(self, event: Event) -> None:
        """Tell who reads events."""
        self.readers = [reader for reader in self.readers if not reader.is_over]
        for reader in self.readers:
            reader.put(event)

    def pulse(self) -> None:
        """Something is not as it was: whoever waits looks again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        self.wake.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so.

        Raises:
            ClientError: the session ended first.
        """
        while not condition():
            if self.ended is not None:
                raise self.ended
            moved = self._moved
            await moved.wait()

    async def read(self, version: str | None = None) -> CanvasState:
        """Read the canvas at the server, as it is or as it was at a version."""
        query = [Unit] if version is None else [Unit, ("at", version)]
        return await self.connection.read(self.path, CanvasState, query=query)

    async def history(self, after: str | int) -> AsyncIterator[History]:
        """Read the history page by page.

        Raises:
            NotFoundError: it does not have that version, or there is no canvas.
        """
        following: str | int | None = after
        while following is not None:
            query = [Unit, ("after", str(following)), ("limit", str(HISTORY_PAGE))]
            page = await self.connection.read(f"{self.path}/ops", History, query=query)
            yield page
            following = page.next_after
