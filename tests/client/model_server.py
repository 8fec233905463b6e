"""A server in memory for replicas: the real rules of a canvas, and a network that loses, doubles and delays."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from canvas_server.client.replica import Replica
from canvas_server.client.unsaved import Entry, Op
from canvas_server.core.canvas import Author, Canvas
from canvas_server.core.document import Document
from canvas_server.core.event import Ack, Conflict, Failure, Outcome
from canvas_server.core.history import History
from canvas_server.core.ids import CanvasRef
from canvas_server.core.limits import Limits
from canvas_server.core.operation import Operation
from canvas_server.core.ports import CanvasKey
from canvas_server.core.submission import Submission
from canvas_server.core.version import genesis, seq_of

LIMITS = Limits(ops_max=3)
"""So few that edits are often cut in several requests."""


class ModelServer:
    """One canvas; what happens is put into the inbox of each client."""

    def __init__(self, text: str) -> None:
        version = genesis("0" * 16)
        self.canvas = Canvas(
            CanvasKey(1), CanvasRef("notes"), "Notes", Document(text, version), History(version, 10_000)
        )
        self.acks: list[Ack] = []
        self.clients: list[ModelClient] = []
        self._saved = (self.canvas.copy(), 0)

    @property
    def text(self) -> str:
        return str(self.canvas.document.text)

    @property
    def version(self) -> str:
        return self.canvas.version.etag

    def submit(self, ops: Sequence[Op], client_id: str) -> None:
        submission = Submission(self.canvas, Author("ada", "human", client_id), "codepoint", LIMITS)
        for op in ops:
            outcome = submission.step(msgspec.convert(op, Operation), 1)
            if isinstance(outcome.event, Ack) and outcome.changed:
                self.acks.append(outcome.event)
            for client in self.clients:
                client.inbox.append(outcome.event)

    def after(self, version: str) -> list[Ack] | None:
        """Return the acks after a version; None if it is not known."""
        if version == genesis("0" * 16).etag:
            return list(self.acks)
        places = [number for number, ack in enumerate(self.acks, 1) if ack.server_version == version]
        return self.acks[places[0] :] if places else None

    def checkpoint(self) -> None:
        self._saved = (self.canvas.copy(), len(self.acks))
        for client in self.clients:
            client.inbox.append(self.version)

    def crash(self) -> None:
        """Forget what was not saved, and whoever listened."""
        self.canvas = self._saved[0].copy()
        del self.acks[self._saved[1] :]
        for client in self.clients:
            client.cut()


class ModelClient:
    """A replica with its connection."""

    def __init__(self, name: str, server: ModelServer) -> None:
        self.name = name
        self.server = server
        self.replica = Replica(server.text, server.version)
        self.inbox: list[Outcome | str] = []
        self.view = self.replica.text
        """The text by what was told of changes alone."""
        self.acked: set[str] = set()
        """Its own operations whose ack it heard."""
        self._is_cut = False
        self._named = 0
        server.clients.append(self)

    def new_id(self) -> str:
        self._named += 1
        return f"{self.name}-{self._named}"

    def post(self, *, arrives: bool = True) -> None:
        """Send what is to be sent, anew or again."""
        sending = self.replica.is_sending
        ops = self.replica.unanswered if sending else self.replica.next_request(LIMITS, self.new_id)
        if ops and arrives:
            self.server.submit(ops, self.name)

    def hear(self, count: int) -> None:
        """Take so much of what was told; what was missed is read before."""
        if self._is_cut:
            self.catch_up()
        for _ in range(min(count, len(self.inbox))):
            self._take(self.inbox.pop(0))

    def cut(self) -> None:
        """Lose the connection with all that is on its way."""
        self.inbox.clear()
        self._is_cut = True

    def catch_up(self) -> None:
        """Come back: read what was missed, or find out what a crash made of it."""
        self.inbox.clear()
        self._is_cut = False
        acks = self.server.after(self.replica.version)
        if acks is None:
            kept = self._fork()
            self._show(self.replica.rewind(kept or 0))
            if kept is None:
                self._show(self.replica.reread(self.server.text, self.server.version))
            acks = self.server.after(self.replica.version)
            assert acks is not None
            for ack in acks:
                self._take(ack)
            self.replica.take_back()
            return
        for ack in acks:
            self._take(ack)

    def lost(self) -> Sequence[Entry]:
        """What a server that stands at the fork has forgotten; nothing if it stands elsewhere."""
        entries, kept = self.replica.log.entries, self._fork()
        if kept is None or kept >= len(entries) or entries[kept].base != self.server.version:
            return []
        return entries[kept:]

    def _fork(self) -> int | None:
        known = {ack.server_version for ack in self.server.acks} | {genesis("0" * 16).etag}
        return self.replica.find_fork(known)

    def _show(self, changes: object) -> None:
        from canvas_server.client.changeset import ChangeSet

        assert isinstance(changes, ChangeSet)
        self.view = changes.apply(self.view)
        assert self.view == self.replica.text

    def _take(self, event: Outcome | str) -> None:
        if isinstance(event, str):
            self.replica.save(event)
        elif isinstance(event, Conflict | Failure):
            if self.replica.has_sent(event.op_id):
                self.replica.fail(event.op_id)
        else:
            taken = self.replica.take(event)
            assert taken.kind != "gap"
            if event.client_id == self.name:
                self.acked.add(event.op_id)
            self._show(taken.view)


def replay(clients: Sequence[ModelClient], server: ModelServer) -> None:
    """Have all clients send again in the old order what a crash made the server forget."""
    progress = True
    while progress:
        progress = False
        for client in clients:
            lost = client.lost()
            if lost and lost[0].op is not None:
                before = seq_of(server.version)
                server.submit([lost[0].op], client.name)
                assert server.version == lost[0].version
                progress = seq_of(server.version) != before
