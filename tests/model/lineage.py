"""The oracle: the versions that one canvas went through as the world was told, over all lives of the server.

It is fed with acks and checkpoint events, from wherever, and holds each against those before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Generic, NamedTuple, TypeVar

import msgspec

from canvas_server.core.splice import Splice, apply_changes
from canvas_server.core.version import Version, next_version, parse_etag

SentT = TypeVar("SentT")


class Moment(NamedTuple):
    """A version, its text, and the operation that made it."""

    version: Version
    text: str
    op_id: str
    told_s: float


class Lineage(Generic[SentT]):
    """The history of one canvas.

    Args:
        version: at which the canvas was created.
        text: that it was created with.
    """

    def __init__(self, version: Version, text: str) -> None:
        self.moments = [Moment(version, text, "", 0.0)]
        """By the count of operations; what a crash took back is not in here any more."""
        self.sent: dict[str, SentT] = {}
        """By op id, every operation that anybody sent, as it was sent last."""
        self.durable_seq = 0
        self._seq_of: dict[str, int] = {}
        self._digests = {version.etag: _digest(text)}

    @property
    def head(self) -> Moment:
        """The newest version that was told."""
        return self.moments[-1]

    @property
    def named_texts(self) -> int:
        """How many versions there were, of all lives; each has one text."""
        return len(self._digests)

    def seq_of(self, op_id: str) -> int | None:
        """Return which version an operation made, if it is applied."""
        return self._seq_of.get(op_id)

    def at(self, version: Version | None) -> Moment | None:
        """Return the moment of a version, if it is of this history."""
        if version is None or version.seq >= len(self.moments):
            return None
        moment = self.moments[version.seq]
        return moment if moment.version == version else None

    def hear_ack(self, ack: Mapping[str, object], told_s: float) -> None:
        """Take in an ack, offsets in code points."""
        op_id = str(ack["op_id"])
        assert op_id.partition(".")[0] in self.sent, "nobody sent that"
        known = self._seq_of.get(op_id)
        if ack.get("duplicate"):
            assert known is not None, "told as a duplicate, and not applied"
            assert self.moments[known].version.etag == ack["server_version"], "told again with another version"
            return
        assert known is None, "applied twice"
        changes = msgspec.convert(ack["changes"], tuple[Splice, ...])
        head = self.head
        assert ack["base_version"] == head.version.etag
        version = next_version(head.version, op_id, changes)
        assert version.etag == ack["server_version"]
        text = apply_changes(head.text, changes)
        self.name(version, text)
        self._seq_of[op_id] = version.seq
        self.moments.append(Moment(version, text, op_id, told_s))

    def hear_durable(self, etag: object) -> None:
        """Take in that a version is on disk, as the server says."""
        moment = self.at(parse_etag(str(etag)))
        assert moment is not None, "what is told durable is not in the lineage"
        self.durable_seq = max(self.durable_seq, moment.version.seq)

    def recover(
        self, version: Version, text: str, unheard: Sequence[Mapping[str, object]], now_s: float
    ) -> list[Moment]:
        """Compare with what the server holds after a crash, and go on from there.

        Args:
            version: the newest that it holds.
            text: at that version.
            unheard: the acks after the newest version that was heard; a crash may come between the disk and the stream.
            now_s: by the clock of `told_s`.

        Returns:
            What is forgotten of that which was acked.
        """
        for ack in unheard:
            self.hear_ack(ack, now_s)
        assert version.seq >= self.durable_seq, "what was told durable is lost"
        kept = self.at(version)
        assert kept is not None, "not a version of the acked lineage"
        assert kept.text == text, "not the text that was acked"
        forgotten = self.moments[version.seq + 1 :]
        del self.moments[version.seq + 1 :]
        for moment in forgotten:
            del self._seq_of[moment.op_id]
        return forgotten

    def name(self, version: Version, text: str) -> None:
        """Take note of the text of a version; it never has another."""
        assert self._digests.setdefault(version.etag, _digest(text)) == _digest(text), "a version names two texts"


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
