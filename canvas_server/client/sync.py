"""The same client for programs without an event loop: a thin face over one that runs in a thread of its own.

    with CanvasClient.local() as client:
        canvas = client.open("notes", create=True)
        canvas.append("Hello.")
        canvas.settled()

Each method waits for its end and raises what the asynchronous one raises. It may be used from several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from canvas_server.client import client as asynchronous
from canvas_server.client.bodies import CanvasInfo, CanvasState, Heading, Section
from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.client.connection import Token
from canvas_server.client.errors import EndedError, Problem
from canvas_server.client.events import EventStream
from canvas_server.client.local import find_local
from canvas_server.client.opened import State
from canvas_server.client.session import CanvasSession as AsyncCanvasSession
from canvas_server.client.session import TargetLike
from canvas_server.client.writing import StreamWriter as AsyncStreamWriter
from canvas_server.core.event import Ack, Event, Outcome
from canvas_server.core.operation import Action, Operation, Scope, Where

T = TypeVar("T")


class _Loop:
    """An event loop in a thread, from its first use until `close`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was stopped."""
        return self._is_closed

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine there and wait for its end; it is cancelled when the wait is interrupted."""
        future = asyncio.run_coroutine_threadsafe(work, self._started(work))
        try:
            return future.result()
        except CancelledError:
            raise EndedError("the client was closed", hint="Make another.") from None
        finally:
            future.cancel()

    def call(self, work: Callable[[], T]) -> T:
        """Call a function there and wait for its end."""

        async def called() -> T:
            return work()

        return self.run(called())

    def close(self) -> None:
        """Stop the loop and its thread, and whatever still runs there; whoever waits for that hears of it."""
        with self._starting:
            self._is_closed = True
            if self._loop is not None and self._thread is not None:
                asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
                self._loop = self._thread = None

    def _started(self, work: Coroutine[object, object, T]) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._is_closed:
                work.close()
                raise EndedError("the client is closed", hint="Make another.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="canvas-client", daemon=True)
                self._thread.start()
            return self._loop


class CanvasClient:
    """As `canvas_server.client.CanvasClient`; use it in `with`, or call `close`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: Token = None,
        client_id: str | None = None,
        timeout_s: float = 30.0,
        settle_s: float = 5.0,
    ) -> None:
        self._loop = _Loop()
        self._client = asynchronous.CanvasClient(
            url, token=token, client_id=client_id, timeout_s=timeout_s, settle_s=settle_s
        )

    @classmethod
    def local(cls, data_dir: str | Path = "data", *, client_id: str | None = None) -> CanvasClient:
        """Return a client of the server that runs on a data folder of this machine; raises as the other does."""
        url, token = find_local(data_dir)
        return cls(url, token=token, client_id=client_id)

    @property
    def url(self) -> str:
        """Of the server."""
        return self._client.url

    @property
    def client_id(self) -> str:
        """By which events tell what came from here."""
        return self._client.client_id

    def open(self, ref: str, *, create: bool = False, title: str | None = None, text: str = "") -> CanvasSession:
        """Open a canvas."""
        session = self._loop.run(self._client.open(ref, create=create, title=title, text=text))
        return CanvasSession(self._loop, session)

    def create(self, ref: str | None = None, *, title: str | None = None, text: str = "") -> CanvasState:
        """Make a canvas."""
        return self._loop.run(self._client.create(ref, title=title, text=text))

    def read(self, ref: str, *, at: str | int | None = None) -> CanvasState:
        """Read a canvas."""
        return self._loop.run(self._client.read(ref, at=at))

    def section(self, ref: str, heading_id: str) -> Section:
        """Read one section."""
        return self._loop.run(self._client.section(ref, heading_id))

    def outline(self, ref: str) -> list[Heading]:
        """Read the headings."""
        return self._loop.run(self._client.outline(ref))

    def history(self, ref: str, after: str | int = 0, *, limit: int | None = None) -> list[Ack]:
        """Read the operations after a version."""
        return self._loop.run(self._client.history(ref, after, limit=limit))

    def list(self, *, limit: int | None = None) -> Sequence[CanvasInfo]:
        """List one's canvases."""
        return self._loop.run(self._client.list(limit=limit))

    def rename(self, ref: str, title: str) -> None:
        """Give a canvas another title."""
        self._loop.run(self._client.rename(ref, title))

    def delete(self, ref: str) -> None:
        """Delete a canvas."""
        self._loop.run(self._client.delete(ref))

    def close(self) -> None:
        """Close everything at once."""
        if not self._loop.is_closed:
            self._loop.run(self._client.aclose())
            self._loop.close()

    def __enter__(self) -> CanvasClient:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop.is_closed:
            return
        try:
            self._loop.run(self._client.__aexit__(exc_type, exc, traceback))
        finally:
            self._loop.close()


class CanvasSession:
    """As `canvas_server.client.CanvasSession`; `CanvasClient.open` makes it."""

    def __init__(self, loop: _Loop, session: AsyncCanvasSession) -> None:
        self._loop = loop
        self._session = session

    @property
    def ref(self) -> str:
        """The name of the canvas."""
        return self._session.ref

    @property
    def title(self) -> str:
        """The title of the canvas."""
        return self._session.title

    @property
    def text(self) -> str:
        """The text with all that was edited here."""
        return self._session.text

    @property
    def version(self) -> str:
        """The newest version that is known."""
        return self._session.version

    @property
    def state(self) -> State:
        """`live`, `catching-up`, `offline` or `ended`."""
        return self._session.state

    @property
    def is_connected(self) -> bool:
        """Whether what happens to the canvas is heard."""
        return self._session.is_connected

    @property
    def is_saved(self) -> bool:
        """Whether all that was written here is on the server's disk."""
        return self._session.is_saved

    @property
    def pending_count(self) -> int:
        """How many changes the server has not confirmed."""
        return self._session.pending_count

    @property
    def problem(self) -> Problem | None:
        """Why edits are not taken now, if they are not."""
        return self._session.problem

    def edit(self, changes: Sequence[Change]) -> None:
        """Change the text at once."""
        self._loop.call(lambda: self._session.edit(changes))

    def insert(self, at: int, text: str) -> None:
        """Insert a text."""
        self._loop.call(lambda: self._session.insert(at, text))

    def append(self, text: str) -> None:
        """Insert at the end."""
        self._loop.call(lambda: self._session.append(text))

    def delete(self, start: int, end: int) -> None:
        """Delete a stretch."""
        self._loop.call(lambda: self._session.delete(start, end))

    def replace(self, old: str, new: str) -> None:
        """Replace the one place where a text stands."""
        self._loop.call(lambda: self._session.replace(old, new))

    def set_text(self, text: str) -> None:
        """Make the text this one by the smallest change."""
        self._loop.call(lambda: self._session.set_text(text))

    def settled(self, timeout_s: float | None = None) -> None:
        """Wait until the server has all that was edited here.

        Raises:
            TimeoutError: it has not, after so long.
        """
        self._loop.run(_within(timeout_s, self._session.settled()))

    def saved(self, timeout_s: float | None = None) -> None:
        """Wait until all that was written here is on the server's disk; raises as `settled` does."""
        self._loop.run(_within(timeout_s, self._session.saved()))

    def send(self, operation: Operation | Mapping[str, object]) -> Outcome:
        """Send one operation, and return what became of it."""
        return self._loop.run(self._session.send(operation))

    def send_batch(self, operations: Sequence[Operation | Mapping[str, object]]) -> list[Outcome]:
        """Send operations in one request, and return what became of each."""
        return self._loop.run(self._session.send_batch(operations))

    def wait(self, op_id: str, timeout_s: float | None = None) -> Outcome:
        """Return what became of an operation; raises as `settled` does."""
        return self._loop.run(_within(timeout_s, self._session.wait(op_id)))

    def write_stream(
        self,
        target: TargetLike | None = None,
        *,
        where: Where | None = None,
        action: Action = "insert",
        scope: Scope = "range",
        options: Mapping[str, object] | None = None,
        meta: Mapping[str, str] | None = None,
        op_id: str | None = None,
    ) -> StreamWriter:
        """Return what writes a text as it comes; use it in `with`."""
        writer = self._session.write_stream(
            target, where=where, action=action, scope=scope, options=options, meta=meta, op_id=op_id
        )
        return StreamWriter(self._loop, writer)

    def events(self) -> Iterator[Event]:
        """Return all that is told from now on; close the iterator, or the session, to end it."""
        return _read(self._loop, self._loop.call(self._session.events))

    def undo(self, is_undone: Callable[[Ack], bool], *, since: str | int = 0) -> ChangeSet:
        """Take back operations of the history and leave all others."""
        return self._loop.run(self._session.undo(is_undone, since=since))

    def retry(self) -> None:
        """Try again what was refused."""
        self._loop.call(self._session.retry)

    def close(self) -> None:
        """Close it at once."""
        self._loop.run(self._session.aclose())

    def __enter__(self) -> CanvasSession:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class StreamWriter:
    """As `canvas_server.client.StreamWriter`, in `with`."""

    def __init__(self, loop: _Loop, writer: AsyncStreamWriter) -> None:
        self._loop = loop
        self._writer = writer

    @property
    def op_id(self) -> str:
        """Of the first piece."""
        return self._writer.op_id

    def write(self, text: str) -> None:
        """Write a piece of text."""
        self._loop.run(self._writer.write(text))

    def __enter__(self) -> StreamWriter:
        self._loop.run(self._writer.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.run(self._writer.__aexit__(exc_type, exc, traceback))


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)


async def _within(timeout_s: float | None, work: Coroutine[object, object, T]) -> T:
    async with asyncio.timeout(timeout_s):
        return await work


def _read(loop: _Loop, events: EventStream) -> Iterator[Event]:
    try:
        while (event := loop.run(anext(events, None))) is not None:
            yield event
    finally:
        events.end()
