"""What the clients of one canvas were told, over all lives of the server: the truth that a restart is measured by."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from canvas_server.core.splice import Splice, apply_changes
from canvas_server.core.version import Version, next_version, parse_etag
from tests.listener import Event
from tests.serving import Json


class Head(NamedTuple):
    """The newest version that was told, and its text."""

    version: Version
    text: str


class Lineage:
    """The acks of one canvas in order, checked as they arrive.

    Args:
        version: at which the canvas was created.
        text: that it was created with.
    """

    def __init__(self, version: Version, text: str) -> None:
        self.head = Head(version, text)
        self.sent: dict[str, Json] = {}
        """By op id, every operation that any client sent, as it was sent."""
        self.acked: list[str] = []
        """The op id of each version from 1 on."""
        self.durable_seq = 0
        self._heads = [self.head]
        self._digests = {version.etag: _digest(text)}
        self._versions: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        """Take in what the stream tells."""
        if event.type == "ack":
            self._hear_ack(event.data)
        elif event.type == "checkpoint" and not event.data.get("failed"):
            told = parse_etag(event["server_version"])
            assert told is not None
            assert self._heads[told.seq].version == told
            self.durable_seq = max(self.durable_seq, told.seq)

    def recover(self, version: Version, text: str, unheard: list[Json]) -> list[str]:
        """Compare with what the server holds after a crash, and go on from there.

        Args:
            version: the newest that it holds.
            text: at that version.
            unheard: the acks after the newest version that was heard; a crash may come between the disk and the stream.

        Returns:
            The ids of the operations that were acked and are forgotten.
        """
        for ack in unheard:
            self._hear_ack(ack)
        assert version.seq >= self.durable_seq, "what a checkpoint event covered is lost"
        assert self._heads[version.seq].version == version, "not a version of the acked lineage"
        assert self._digests[version.etag] == _digest(text), "not the text that was acked"
        forgotten = self.acked[version.seq :]
        del self._heads[version.seq + 1 :], self.acked[version.seq :]
        self.head = self._heads[-1]
        return forgotten

    def change(self, op_id: str) -> Json:
        """Return a forgotten operation with other content under its old name, as an author may send it who edits on."""
        del self._versions[op_id]
        self.sent[op_id] = {**self.sent[op_id], "content": "other words "}
        return self.sent[op_id]

    def _hear_ack(self, ack: Json) -> None:
        op_id, told = ack["op_id"], ack["server_version"]
        assert op_id in self.sent, "nobody sent that"
        assert self._versions.setdefault(op_id, told) == told, "an operation came to another version"
        if ack.get("duplicate"):
            assert op_id in self.acked
            return
        changes = tuple(Splice(change["from"], change["to"], change["insert"]) for change in ack["changes"])
        version = next_version(self.head.version, op_id, changes)
        assert version.etag == told
        text = apply_changes(self.head.text, changes)
        assert self._digests.setdefault(told, _digest(text)) == _digest(text), "a version names two texts"
        self.acked.append(op_id)
        self.head = Head(version, text)
        self._heads.append(self.head)


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
