"""A client of canvas-server for asyncio; `canvas_server.client.sync` is the same for programs without a loop.

    async with CanvasClient.local() as client:
        canvas = await client.open("notes", create=True)
        canvas.append("Hello.")
        await canvas.settled()

A canvas that is open is edited at once and agrees with everybody else's in the end, whatever happens to the connection
or to the server. See docs/python-client.md.
"""

from __future__ import annotations

from canvas_server.client.bodies import CanvasInfo, CanvasState, Heading, Section
from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.client.client import CanvasClient
from canvas_server.client.errors import (
    BusyError,
    ClientError,
    EndedError,
    ExistsError,
    ForbiddenError,
    NotFoundError,
    OperationError,
    Problem,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from canvas_server.client.events import EventStream
from canvas_server.client.opened import View
from canvas_server.client.session import CanvasSession
from canvas_server.client.undo import undo
from canvas_server.client.writing import StreamWriter
from canvas_server.core.event import Ack, Checkpoint, Conflict, Event, Failure, Outcome

__all__ = [
    "Ack",
    "BusyError",
    "CanvasClient",
    "CanvasInfo",
    "CanvasSession",
    "CanvasState",
    "Change",
    "ChangeSet",
    "Checkpoint",
    "ClientError",
    "Conflict",
    "EndedError",
    "Event",
    "EventStream",
    "ExistsError",
    "Failure",
    "ForbiddenError",
    "Heading",
    "NotFoundError",
    "OperationError",
    "Outcome",
    "Problem",
    "RefusedError",
    "Section",
    "StreamWriter",
    "UnauthorizedError",
    "UnreachableError",
    "View",
    "undo",
]
