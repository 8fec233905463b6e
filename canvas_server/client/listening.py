"""What a session does with what it hears, and the task that does what is to be done."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from canvas_server.client.courier import Courier
from canvas_server.client.errors import (
    BusyError,
    ClientError,
    EndedError,
    ForbiddenError,
    NotFoundError,
    problem_of,
)
from canvas_server.client.opened import OpenCanvas
from canvas_server.client.recovery import Recovery
from canvas_server.core.event import (
    Ack,
    Checkpoint,
    Conflict,
    Deleted,
    Event,
    Failure,
    Heartbeat,
    Reset,
    Snapshot,
    Start,
    TitleChanged,
)
from canvas_server.core.version import parse_etag

log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.5


class Listening:
    """Follows one canvas on a stream.

    Args:
        canvas: that is kept up to date.
        courier: sends what is edited.
    """

    def __init__(self, canvas: OpenCanvas, courier: Courier) -> None:
        self._canvas = canvas
        self._courier = courier
        self._recovery = Recovery(canvas, courier)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="canvas-session")

    @property
    def ref(self) -> str:
        """Of the canvas."""
        return self._canvas.ref

    @property
    def cursor(self) -> str:
        """Of the version that is known."""
        version = parse_etag(self._canvas.replica.version)
        return version.cursor if version is not None else ""

    def hear(self, event: Event) -> None:
        """Take what is told."""
        canvas = self._canvas
        if isinstance(event, Start):
            self._begin(event)
        elif isinstance(event, Deleted):
            canvas.tell(event)
            self.end(EndedError(f"the canvas {canvas.ref} was deleted", hint="Create it again."))
        elif isinstance(event, Reset):
            canvas.was_recreated = event.reason == "recreated"
        elif canvas.heal and isinstance(event, Ack | Conflict | Failure | Checkpoint):
            canvas.held.append(event)
            canvas.pulse()
            return
        else:
            self._take(event)
        if not isinstance(event, Ack):
            canvas.tell(event)
        canvas.pulse()

    def cut_off(self, problem: ClientError | None) -> None:
        """Hear nothing for now."""
        self._canvas.is_connected = False
        self._canvas.held.clear()
        if problem is not None:
            self._canvas.problem = problem_of(problem)
        self._canvas.pulse()

    def end(self, error: ClientError) -> None:
        """Hear nothing any more."""
        canvas = self._canvas
        if canvas.ended is None:
            canvas.ended = error
            canvas.is_connected = False
            canvas.problem = problem_of(error)
            canvas.outcomes.fail_all(error)
            for reader in canvas.readers:
                reader.end()
            canvas.pulse()

    async def aclose(self) -> None:
        """End it and its task."""
        self.end(EndedError("the session was closed", hint="Open the canvas again."))
        for writer in tuple(self._canvas.writers):
            await writer.stop()
        self._task.cancel()
        await asyncio.wait({self._task})

    def _begin(self, start: Start) -> None:
        canvas = self._canvas
        canvas.held.clear()
        canvas.is_connected = True
        canvas.limits = start.limits
        canvas.replica.save(start.checkpoint_version)
        if not start.resumed or self._recovery.has_rewound:
            canvas.heal = canvas.heal or "history"
        elif canvas.heal == "history" and not self._courier.has_doubts:
            canvas.heal = ""
        if not start.resumed:
            self._courier.tell_unheard()
        if canvas.problem is not None and not self._courier.is_blocked:
            canvas.problem = None
        self._courier.resend()

    def _take(self, event: Event) -> None:
        canvas = self._canvas
        match event:
            case Ack():
                if not self._courier.take(event):
                    canvas.heal = "history"
            case Conflict() | Failure():
                self._courier.failed(event)
            case Checkpoint():
                canvas.replica.save(event.server_version)
            case Heartbeat() if not canvas.heal:
                self._compare(event)
            case TitleChanged() | Snapshot():
                canvas.title = event.title
            case _:
                pass

    def _compare(self, beat: Heartbeat) -> None:
        """Notice a text that is not the server's: something was missed, or it drifted."""
        replica = self._canvas.replica
        if beat.server_version != replica.version:
            self._canvas.heal = "history"
        elif (beat.length, beat.crc32) != (len(replica.confirmed), replica.crc32):
            log.warning("the text drifted", extra={"canvas": self._canvas.ref, "version": replica.version})
            self._canvas.heal = "text"

    async def _run(self) -> None:
        """Do what is to be done until the session ends."""
        canvas = self._canvas
        while canvas.ended is None:
            canvas.wake.clear()
            try:
                if not canvas.is_connected:
                    await canvas.wake.wait()
                elif canvas.heal:
                    await self._heal()
                elif self._courier.has_work:
                    await self._courier.step()
                else:
                    await self._rest()
            except (NotFoundError, ForbiddenError) as error:
                self.end(error)
            except ClientError as error:
                canvas.problem = problem_of(error)
                canvas.pulse()
                await asyncio.sleep(max(_PAUSE_S, error.retry_after_s) if isinstance(error, BusyError) else _PAUSE_S)
            except Exception as error:
                log.exception("a session failed", extra={"canvas": canvas.ref})
                self.end(ClientError(f"the session failed: {error}", code="INTERNAL", hint="Report this."))

    async def _heal(self) -> None:
        canvas = self._canvas
        await self._recovery.heal()
        canvas.heal = ""
        held = canvas.held[:]
        canvas.held.clear()
        for event in held:
            self.hear(event)
        canvas.pulse()

    async def _rest(self) -> None:
        """Wait until there is something to do; what has no outcome for long is asked about."""
        if not self._canvas.replica.is_sending:
            await self._canvas.wake.wait()
            return
        try:
            # Not so long after whatever was heard last: others may never be silent.
            async with asyncio.timeout_at(self._courier.overdue_at):
                await self._canvas.wake.wait()
        except TimeoutError:
            self._canvas.heal = self._canvas.heal or "history"
            self._courier.resend()
