"""What the clients of one canvas were told, over all lives of the server: the truth that a restart is measured by."""

from __future__ import annotations

import time
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


class Acked(NamedTuple):
    """An operation that was acked, and when that was first heard by the monotonic clock."""

    op_id: str
    heard_s: float


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
        self.acked: list[Acked] = []
        """The operation of each version from 1 on."""
        self.durable_seq = 0
        self.ahead_max = 0
        """How far the acks were ahead of a checkpoint as it was told: what came in while it was written, at most."""
        self.taken_back = 0
        """How many versions that somebody had read a crash took back."""
        self._told = [version]
        self._digests = {version.etag: _digest(text)}
        self._versions: dict[str, str] = {}
        self._read: set[Version] = set()

    @property
    def named_texts(self) -> int:
        """How many versions were told or read, of all lives; each has one text."""
        return len(self._digests)

    def hear(self, event: Event) -> None:
        """Take in what the stream tells."""
        if event.type == "ack":
            self._hear_ack(event.data)
        elif event.type == "checkpoint" and not event.data.get("failed"):
            told = version_of(event["server_version"])
            assert self._told[told.seq] == told
            self.durable_seq = max(self.durable_seq, told.seq)
            self.ahead_max = max(self.ahead_max, self.head.version.seq - told.seq)

    def read(self, state: Json) -> None:
        """Take in what GET tells, in code points; the stream may not have told it yet, or know better already."""
        version = version_of(state["version"])
        self._name(version, state["content"])
        self._read.add(version)
        self.durable_seq = max(self.durable_seq, version_of(state["checkpoint_version"]).seq)

    def recover(self, version: Version, text: str, unheard: list[Json]) -> list[Acked]:
        """Compare with what the server holds after a crash, and go on from there.

        Args:
            version: the newest that it holds.
            text: at that version.
            unheard: the acks after the newest version that was heard; a crash may come between the disk and the stream.

        Returns:
            The operations that were acked and are forgotten.
        """
        for ack in unheard:
            self._hear_ack(ack)
        assert version.seq >= self.durable_seq, "what was told durable is lost"
        assert self._told[version.seq] == version, "not a version of the acked lineage"
        assert self._digests[version.etag] == _digest(text), "not the text that was acked"
        self._recall_reads(version)
        forgotten = self.acked[version.seq :]
        del self._told[version.seq + 1 :], self.acked[version.seq :]
        self.head = Head(version, text)
        return forgotten

    def check_kept(self, version: Version, text: str, durable_seq: int) -> None:
        """Compare with a version that was kept elsewhere, when `durable_seq` and no less had been told durable."""
        assert version.seq >= durable_seq, "what was told durable is not in it"
        assert self._told[version.seq] == version, "not a version of the acked lineage"
        assert self._digests[version.etag] == _digest(text), "not the text that was acked"

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
            assert any(op_id == acked.op_id for acked in self.acked)
            return
        changes = tuple(Splice(change["from"], change["to"], change["insert"]) for change in ack["changes"])
        version = next_version(self.head.version, op_id, changes)
        assert version.etag == told
        text = apply_changes(self.head.text, changes)
        self._name(version, text)
        self.acked.append(Acked(op_id, time.monotonic()))
        self.head = Head(version, text)
        self._told.append(version)

    def _name(self, version: Version, text: str) -> None:
        assert self._digests.setdefault(version.etag, _digest(text)) == _digest(text), "a version names two texts"

    def _recall_reads(self, version: Version) -> None:
        """Compare what was read in the life before with what is left of it."""
        kept = {read for read in self._read if read.seq <= version.seq}
        assert all(self._told[read.seq] == read for read in kept), "what was read is not in the lineage"
        self.taken_back += len(self._read) - len(kept)
        self._read.clear()


def version_of(etag: str) -> Version:
    """Return the version that the server names."""
    version = parse_etag(etag)
    assert version is not None, etag
    return version


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
