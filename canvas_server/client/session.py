"""A canvas that is open: its text is here, edits show at once and are sent in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from canvas_server.client.changeset import EMPTY, Change, ChangeSet, text_difference
from canvas_server.client.courier import Courier
from canvas_server.client.errors import NotFoundError, Problem
from canvas_server.client.events import EventStream
from canvas_server.client.listening import Listening
from canvas_server.client.names import new_name
from canvas_server.client.opened import OpenCanvas, State, Unit, View
from canvas_server.client.replica import composed
from canvas_server.client.stream import Stream, decode_event
from canvas_server.client.texts import whole
from canvas_server.client.undo import undo
from canvas_server.client.unsaved import Op
from canvas_server.client.writing import StreamWriter
from canvas_server.core.event import Ack, Conflict, Failure, Outcome
from canvas_server.core.operation import Action, Operation, Scope, Target, Where

TargetLike = Target | Mapping[str, object] | str
"""Where an operation acts: as the protocol has it (section 6), or the title of a section."""


class CanvasSession:
    """One open canvas; `CanvasClient.open` makes it. All offsets count code points, as in any `str`.

    Args:
        canvas: that is open.
        stream: tells what happens to it.
    """

    def __init__(self, canvas: OpenCanvas, stream: Stream) -> None:
        self._canvas = canvas
        self._stream = stream
        self._courier = Courier(canvas)
        self._listening = Listening(canvas, self._courier)
        canvas.renew = self._renew
        stream.add(self._listening)

    @property
    def ref(self) -> str:
        """The name of the canvas."""
        return self._canvas.ref

    @property
    def title(self) -> str:
        """The title of the canvas."""
        return self._canvas.title

    @property
    def text(self) -> str:
        """The text with all that was edited here, whether the server has it or not."""
        return self._canvas.replica.text

    @property
    def confirmed_text(self) -> str:
        """The text as the server has it at `version`."""
        return self._canvas.replica.confirmed

    @property
    def version(self) -> str:
        """The newest version that is known, an ETag."""
        return self._canvas.replica.version

    @property
    def state(self) -> State:
        """`live`, `catching-up`, `offline` (edits are kept and sent later) or `ended`."""
        return self._canvas.state

    @property
    def is_connected(self) -> bool:
        """Whether what happens to the canvas is heard."""
        return self._canvas.is_connected

    @property
    def is_saved(self) -> bool:
        """Whether all that was written here is on the server's disk."""
        replica = self._canvas.replica
        return replica.is_settled and not replica.log.has_own

    @property
    def pending_count(self) -> int:
        """How many changes the server has not confirmed."""
        return self._canvas.replica.pending_count

    @property
    def problem(self) -> Problem | None:
        """Why edits are not taken now, if they are not."""
        return self._canvas.problem

    def edit(self, changes: Sequence[Change]) -> None:
        """Change the text at once; it is sent in the background.

        Args:
            changes: one after the other, each in coordinates of the text that the one before left.

        Raises:
            ValueError: one lies outside the text, or no canvas can hold it.
            ClientError: the session has ended.
        """
        self._edit(ChangeSet.of([Change(start, end, whole(insert)) for start, end, insert in changes]))

    def insert(self, at: int, text: str) -> None:
        """Insert a text; raises as `edit` does."""
        self.edit([Change(at, at, text)])

    def append(self, text: str) -> None:
        """Insert at the end; raises as `edit` does."""
        self.insert(len(self.text), text)

    def delete(self, start: int, end: int) -> None:
        """Delete a stretch; raises as `edit` does."""
        self.edit([Change(start, end, "")])

    def replace(self, old: str, new: str) -> None:
        """Replace the one place where a text stands.

        Raises:
            ValueError: it is nowhere, or in several places.
        """
        at = self.text.find(old)
        if not old or at < 0 or self.text.find(old, at + 1) >= 0:
            raise ValueError(f"{old!r} is {'nowhere' if at < 0 else 'in several places'}")
        self.edit([Change(at, at + len(old), new)])

    def set_text(self, text: str) -> None:
        """Make the text this one by the smallest change; raises as `edit` does."""
        self._edit(text_difference(self.text, whole(text)))

    async def settled(self) -> None:
        """Wait until the server has all that was edited here; while `problem` says no, that may be long.

        Raises:
            ClientError: the session ended first.
        """
        await self._canvas.until(lambda: self._canvas.replica.is_settled)

    async def saved(self) -> None:
        """Wait until all that was written here is on the server's disk; raises as `settled` does."""
        await self._canvas.until(lambda: self.is_saved)

    async def connected(self) -> None:
        """Wait until what happens is heard, or until it is known why it is not."""
        await self._canvas.until(lambda: self.is_connected or self.problem is not None)

    async def live(self) -> None:
        """Wait until the text is the newest that there is; raises as `settled` does."""
        await self._canvas.until(lambda: self.state == "live")

    async def send(self, operation: Operation | Mapping[str, object]) -> Outcome:
        """Send one operation of the protocol, and return its ack, conflict or error; raises as `send_batch` does."""
        (outcome,) = await self.send_batch([operation])
        return outcome

    async def send_batch(self, operations: Sequence[Operation | Mapping[str, object]]) -> list[Outcome]:
        """Send operations in one request, after all edits that were made before, and return what became of each.

        `op_id` and the `client_version` of the first may be left out: then it stands on the newest version. Edits that
        the server does not take as they are, as `problem` says, are overtaken.

        Raises:
            RefusedError: the request was refused as a whole; nothing was applied.
            ClientError: the session ended first.
        """
        if self._canvas.ended is not None:
            raise self._canvas.ended
        ops = [_plain(operation) for operation in operations]
        if not ops:
            return []
        futures = [self._canvas.outcomes.expect(str(op["op_id"])) for op in ops]
        self._canvas.replica.enqueue(ops)
        self._canvas.pulse()
        return [await asyncio.shield(future) for future in futures]

    async def wait(self, op_id: str) -> Outcome:
        """Return what became of an operation, whoever sent it; waits for one that is not known yet.

        Raises:
            ClientError: the session ended first.
        """
        canvas = self._canvas
        if (known := canvas.outcomes.known(op_id)) is not None:
            return known
        future = canvas.outcomes.expect(op_id)
        if not canvas.replica.has_sent(op_id) and (found := await self._ask(op_id)) is not None:
            return found
        if canvas.ended is not None:
            raise canvas.ended
        return await asyncio.shield(future)

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
        """Return what writes a text as it comes; use it in `async with`.

        Args:
            target: where it goes; the end of the text if None.
            where: at the target.
            action: of the first piece.
            scope: of the first piece.
            options: of the first piece.
            meta: of the first piece.
            op_id: of the first piece, at most 56 characters.
        """
        opening: Op = {
            "op_id": op_id or new_name(),
            "scope": scope,
            "action": action,
            "target": target_of(target),
        }
        given = {"where": where, "options": options, "meta": meta}
        opening |= {name: value for name, value in given.items() if value is not None}
        return StreamWriter(self._canvas, self._courier, opening)

    async def presence(
        self,
        *,
        cursor: int | None = None,
        selection: tuple[int, int] | None = None,
        section: str | None = None,
        name: str | None = None,
        ttl_ms: int = 30_000,
    ) -> None:
        """Say where one is, for `ttl_ms`; raises as `Connection.ask` does."""
        body: dict[str, object] = {"ttl_ms": ttl_ms, "cursor": cursor, "section": section, "name": name}
        if selection is not None:
            body["selection"] = {"from": selection[0], "to": selection[1]}
        given = {key: value for key, value in body.items() if value is not None}
        await self._canvas.connection.ask("POST", f"{self._canvas.path}/presence", query=[Unit], body=given)

    def events(self) -> EventStream:
        """Return all that is told of the canvas from now on, each ack once, to read with `async for`."""
        stream = EventStream()
        if self._canvas.ended is not None:
            stream.end()
        self._canvas.readers.append(stream)
        return stream

    def on_change(self, viewer: Callable[[View], None]) -> Callable[[], None]:
        """Have each change of `text` told, whoever made it; returns what ends that."""
        self._canvas.viewers.append(viewer)
        return lambda: self._canvas.viewers.remove(viewer) if viewer in self._canvas.viewers else None

    async def undo(self, is_undone: Callable[[Ack], bool], *, since: str | int = 0) -> ChangeSet:
        """Take back operations of the history and leave all others; returns what was edited.

        Args:
            is_undone: chooses them, such as `lambda ack: ack.kind == "agent"`.
            since: the version after which it looks for them.

        Raises:
            NotFoundError: that version is not in the history any more.
        """
        await self.settled()
        version, views = self.version, list[ChangeSet]()
        stop = self.on_change(lambda view: views.append(view.changes))
        try:
            back = undo(await self._text_at(since), await self._acks(since, version), is_undone)
        finally:
            stop()
        # Meanwhile the text went on.
        back = back.rebase(composed(views), before=False)
        self._edit(back)
        return back

    def retry(self) -> None:
        """Try again what was refused."""
        self._courier.unblock()

    async def aclose(self) -> None:
        """Close it at once; what was not sent is lost: see `settled`."""
        self._stream.remove(self._listening)
        await self._listening.aclose()

    async def __aenter__(self) -> CanvasSession:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def _edit(self, changes: ChangeSet) -> None:
        if self._canvas.ended is not None:
            raise self._canvas.ended
        self._canvas.replica.edit(changes)
        self._canvas.show(changes, "local")
        if changes != EMPTY:
            self._courier.unblock()

    async def _text_at(self, version: str | int) -> str:
        query = [Unit, ("at", str(version))]
        return (await self._canvas.connection.read(self._canvas.path, _Text, query=query)).content

    async def _acks(self, since: str | int, until: str) -> list[Ack]:
        acks: list[Ack] = []
        if since == until:
            return acks
        async for page in self._canvas.history(since):
            for ack in page.events:
                acks.append(ack)
                if ack.server_version == until:
                    return acks
        return acks

    async def _ask(self, op_id: str) -> Outcome | None:
        canvas = self._canvas
        try:
            answer = await canvas.connection.insist("GET", f"{canvas.path}/ops/{op_id}", query=[Unit])
        except NotFoundError:
            return None
        event = decode_event(answer.content)
        return event if isinstance(event, Ack | Conflict | Failure) else None

    def _renew(self) -> None:
        self._listening.cut_off(None)
        self._stream.renew()


class _Text(msgspec.Struct, frozen=True):
    content: str


def target_of(target: TargetLike | None) -> object:
    """Return a target as it is sent."""
    if target is None:
        return {"type": "position", "position": {"mode": "end"}}
    if isinstance(target, str):
        return {"type": "heading", "heading": {"path": [target]}}
    return target


def _plain(operation: Operation | Mapping[str, object]) -> Op:
    """Return an operation as it is sent, with a name."""
    fields = msgspec.to_builtins(operation) if isinstance(operation, Operation) else dict(operation)
    plain = {name: value for name, value in fields.items() if value is not None}
    return {"op_id": new_name(), **plain}
