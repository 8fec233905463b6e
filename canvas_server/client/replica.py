"""A copy of a canvas that is edited at once and agrees with the server in the end. Pure: no I/O, no clock.

    text = confirmed ∘ sent ∘ waiting

`confirmed` is the server's text at `version`. `sent` is the one request that is under way, an operation for each spot.
`waiting` is what was edited since, composed to one change set, with raw operations in between in the order in which
they were asked for. Each of these stands on the one before. The server's order is the truth: what it applied is put
under what is not confirmed, which is rebased over it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from canvas_server.client.changeset import EMPTY, Change, ChangeSet, text_difference, trimmed
from canvas_server.client.portions import first_part, grows
from canvas_server.client.unsaved import Entry, Op, UnsavedLog, op_of_spot
from canvas_server.core.event import Ack
from canvas_server.core.limits import Limits
from canvas_server.core.version import seq_of


@dataclass(frozen=True)
class Sent:
    """An operation that is under way.

    Attributes:
        op: as it was sent.
        changes: what it is to do to the text that the ones before it make; nothing for a raw operation.
        is_raw: whether it was given as an operation, so that what it does is known from its ack alone.
    """

    op_id: str
    op: Op
    changes: ChangeSet
    is_raw: bool
    has_failed: bool = False


@dataclass(frozen=True)
class Waiting:
    """What is to be sent next: a change of the text, or raw operations that go in one request."""

    changes: ChangeSet
    ops: tuple[Op, ...] = ()


class Taken(NamedTuple):
    """What came of an ack.

    Attributes:
        kind: `applied`; `known` already; `included` in the text, though it is ours and was not met before; or there is
            a `gap` before it.
        view: how `text` changed.
        is_own: whether it was asked for here.
    """

    kind: Literal["applied", "known", "included", "gap"]
    view: ChangeSet = EMPTY
    is_own: bool = False


class Replica:
    """Of one canvas.

    Args:
        text: at `version`.
        version: an ETag.
    """

    def __init__(self, text: str, version: str) -> None:
        self.confirmed = text
        self.version = version
        self.text = text
        """As its author sees it."""
        self.log = UnsavedLog()
        self.checkpoint = ""
        """The newest version that is on disk, as far as is known."""
        self._sent: list[Sent] = []
        self._waiting: list[Waiting] = []
        self._own: set[str] = set()

    @property
    def seq(self) -> int:
        """How many operations made the confirmed text."""
        return seq_of(self.version) or 0

    @property
    def crc32(self) -> int:
        """Of the confirmed text in UTF-8."""
        return zlib.crc32(self.confirmed.encode())

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way nor waits."""
        return not self._sent and not self._waiting

    @property
    def is_sending(self) -> bool:
        """Whether a request is under way."""
        return bool(self._sent)

    @property
    def pending_count(self) -> int:
        """How many operations are not confirmed, about."""
        return len(self._sent) + sum(len(one.ops) or len(one.changes) for one in self._waiting)

    def edit(self, changes: ChangeSet) -> None:
        """Change the text at once.

        Raises:
            ValueError: it lies outside the text.
        """
        self.text = changes.apply(self.text)
        if changes.is_empty:
            return
        if self._waiting and not self._waiting[-1].ops:
            changes = self._waiting.pop().changes.compose(changes)
        self._wait_last(Waiting(changes))

    def enqueue(self, ops: Sequence[Op]) -> None:
        """Have raw operations sent after all edits that were made before; what they do is told by their acks."""
        self._waiting.append(Waiting(EMPTY, tuple(ops)))

    def own_line(self, op_id: str) -> None:
        """Say that an operation which is not sent by `next_request` is of this client, too."""
        self._own.add(op_id)

    def next_request(self, limits: Limits, new_id: Callable[[], str], *, raw_only: bool = False) -> Sequence[Op]:
        """Begin the next request; nothing if one is under way, or nothing waits.

        Args:
            limits: of the server.
            new_id: makes the names of edits.
            raw_only: whether edits go on waiting, so that raw operations overtake them.
        """
        while not self._sent and (first := self._next_waiting(raw_only=raw_only)) is not None:
            if first.ops:
                self._send_raw(first.ops)
            else:
                self._send_edits(first.changes, limits, new_id)
            self._own |= {sent.op_id for sent in self._sent}
        return self.unanswered

    @property
    def has_raw_waiting(self) -> bool:
        """Whether raw operations wait to be sent."""
        return any(one.ops for one in self._waiting)

    @property
    def unanswered(self) -> Sequence[Op]:
        """The operations of the request that is under way whose outcome is not known."""
        return [sent.op for sent in self._sent if not sent.has_failed]

    @property
    def edits_sent(self) -> Sequence[Sent]:
        """The edits that are under way."""
        return [sent for sent in self._sent if not sent.is_raw]

    def has_sent(self, op_id: str) -> bool:
        """Whether an operation is under way."""
        return any(sent.op_id == op_id for sent in self._sent)

    def take(self, ack: Ack) -> Taken:
        """Take what the server applied.

        Raises:
            ValueError: it cannot have been applied to this text, which must have drifted.
        """
        if ack.base_version != self.version:
            if (seq_of(ack.server_version) or 0) > self.seq:
                return Taken("gap")
            return self._take_known(ack)
        number = self._number_of(ack.op_id)
        sent = None if number is None else self._sent[number]
        changes = ChangeSet.of(ack.changes)
        if changes.reach > len(self.confirmed):
            raise ValueError(f"an operation changed {changes.reach} in a text of {len(self.confirmed)}")
        self._note(ack, changes, sent)
        if number is None or sent is None:
            view = self._advance(changes, ack.server_version)
        elif sent.is_raw:
            self._end_raw(number, ack.server_version)
            view = self._advance(changes, ack.server_version)
        else:
            view = self._confirm(number, changes, ack.server_version)
        if all(sent.has_failed for sent in self._sent):
            self.take_back()
        return Taken("applied", view, ack.op_id in self._own)

    def fail(self, op_id: str) -> Sequence[Sent]:
        """Note that an operation was not applied; nor was what came after it in its request, which is returned.

        An edit waits again, as it is by now, when nothing of its request is under way any more.
        """
        if (number := self._number_of(op_id)) is None:
            return []
        self._sent[number:] = [replace(sent, has_failed=True) for sent in self._sent[number:]]
        after = self._sent[number + 1 :]
        if all(sent.has_failed for sent in self._sent):
            self.take_back()
        return after

    def take_back(self) -> None:
        """Have all edits that are under way wait again; raw operations stay."""
        edits = [sent.changes for sent in self._sent if not sent.is_raw]
        self._sent = [sent for sent in self._sent if sent.is_raw and not sent.has_failed]
        changes = composed(edits)
        if changes.is_empty:
            return
        if self._waiting and not self._waiting[0].ops:
            changes = changes.compose(self._waiting.pop(0).changes)
        if not changes.is_empty:
            self._waiting.insert(0, Waiting(changes))

    def drop_raw(self) -> None:
        """Forget raw operations that are under way."""
        self._sent = [sent for sent in self._sent if not sent.is_raw]

    def save(self, version: str) -> None:
        """Note that a version is on disk; one that is not of our history, or not known yet, says nothing."""
        entries = self.log.entries
        base = entries[0].base if entries else self.version
        if (seq_of(version) or 0) <= (seq_of(base) or 0) or any(entry.version == version for entry in entries):
            self.checkpoint = version
            self.log.forget_saved(version)

    def reread(self, text: str, version: str) -> ChangeSet:
        """Take a text of the server as the truth, whatever was before; return how `text` changed."""
        if version != self.version:
            self.log.clear()
        return self._advance(text_difference(self.confirmed, text), version)

    def rewind(self, kept: int) -> ChangeSet:
        """Go back to where the server forgot what came after; return how `text` changed.

        What is lost of this client is under way again, as if it had never been acked; what is lost of others is gone.
        Take the server's acks from there on, then `take_back`.

        Args:
            kept: how many entries of the log the server still has.
        """
        lost = self.log.cut(kept)
        if not lost:
            return EMPTY
        texts = [self.confirmed]
        for entry in reversed(lost):
            texts.append(entry.inverse.apply(texts[-1]))
        self.confirmed, self.version = texts[-1], lost[0].base
        self._sent[:0] = [Sent(entry.op_id, entry.op or {}, entry.changes, is_raw=False) for entry in lost]
        return composed(self._exclude(self._number_of(entry.op_id)) for entry in lost if not entry.is_own)

    def find_fork(self, known: Collection[str]) -> int | None:
        """Return how many entries of the log a server still has that knows these versions; None: nothing of ours."""
        return self.log.fork(self.version, known)

    def _next_waiting(self, *, raw_only: bool) -> Waiting | None:
        number = next((number for number, one in enumerate(self._waiting) if one.ops or not raw_only), None)
        if number is None:
            return None
        first = self._waiting.pop(number)
        around = self._waiting[max(0, number - 1) : number + 1]
        if number and len(around) > 1 and not any(one.ops for one in around):
            # Edits that raw operations stood between are one again: only as a whole they may be acceptable.
            self._waiting[number - 1 : number + 1] = [Waiting(composed(one.changes for one in around))]
            self._drop_empty()
        return first

    def _wait_last(self, waiting: Waiting) -> None:
        if not waiting.changes.is_empty:
            self._waiting.append(waiting)

    def _send_raw(self, ops: Sequence[Op]) -> None:
        first, *others = ops
        first = {"client_version": self.version, **first}
        self._sent = [Sent(str(op["op_id"]), op, EMPTY, is_raw=True) for op in (first, *others)]

    def _send_edits(self, changes: ChangeSet, limits: Limits, new_id: Callable[[], str]) -> None:
        now, later = first_part(changes, limits)
        if not later.is_empty:
            self._waiting.insert(0, Waiting(later))
        done: list[Change] = []
        for spot in sorted(trimmed(now, self.confirmed), key=grows):
            op_id = new_id()
            shift = sum(one.growth for one in done if one.start < spot.start)
            moved = ChangeSet([Change(spot.start + shift, spot.end + shift, spot.insert)])
            self._sent.append(Sent(op_id, op_of_spot(op_id, self.version, spot), moved, is_raw=False))
            done.append(spot)

    def _note(self, ack: Ack, changes: ChangeSet, sent: Sent | None) -> None:
        op: Op | None = None
        if sent is not None and sent.is_raw:
            op = {**sent.op, "client_version": ack.base_version}
        elif sent is not None and len(ack.changes) == 1:
            (splice,) = ack.changes
            op = op_of_spot(ack.op_id, ack.base_version, Change(splice.start, splice.end, splice.insert))
        is_own = ack.op_id in self._own
        inverse = changes.invert(self.confirmed)
        self.log.add(Entry(ack.server_version, ack.base_version, ack.op_id, changes, inverse, op, is_own))

    def _advance(self, changes: ChangeSet, version: str) -> ChangeSet:
        """Put what the server did under all that is not confirmed; return how `text` changed."""
        self.confirmed = changes.apply(self.confirmed)
        self.version = version
        for number, sent in enumerate(self._sent):
            self._sent[number] = replace(sent, changes=sent.changes.rebase(changes, before=False))
            changes = changes.rebase(sent.changes, before=True)
        for number, waiting in enumerate(self._waiting):
            self._waiting[number] = replace(waiting, changes=waiting.changes.rebase(changes, before=False))
            changes = changes.rebase(waiting.changes, before=True)
        self.text = changes.apply(self.text)
        self._drop_empty()
        return changes

    def _confirm(self, number: int, changes: ChangeSet, version: str) -> ChangeSet:
        """Take the ack of an edit that is under way; return how `text` changed: not at all if it did what it was to."""
        expected = self._sent[number].changes
        if not number and (expected == changes or expected.apply(self.confirmed) == changes.apply(self.confirmed)):
            del self._sent[0]
            self.confirmed, self.version = changes.apply(self.confirmed), version
            return EMPTY
        return self._exclude(number).compose(self._advance(changes, version))

    def _take_known(self, ack: Ack) -> Taken:
        """Take an ack of what is in the confirmed text: if it is under way here, then it is in the text twice."""
        number = self._number_of(ack.op_id)
        if number is None:
            return Taken("known", is_own=ack.op_id in self._own)
        if self._sent[number].is_raw:
            self._end_raw(number, ack.server_version)
            return Taken("included", is_own=True)
        return Taken("included", self._exclude(number), is_own=True)

    def _end_raw(self, number: int, version: str) -> None:
        """Take out a raw operation that was applied; the next of its request may be sent without it."""
        del self._sent[number]
        if number < len(self._sent):
            following = self._sent[number]
            self._sent[number] = replace(following, op={"client_version": version, **following.op})

    def _number_of(self, op_id: str) -> int | None:
        return next((number for number, sent in enumerate(self._sent) if sent.op_id == op_id), None)

    def _exclude(self, number: int | None) -> ChangeSet:
        """Undo one operation that is under way, below all that was made after it; return how `text` changed."""
        assert number is not None
        text = composed(sent.changes for sent in self._sent[:number]).apply(self.confirmed)
        inverse = self._sent.pop(number).changes.invert(text)
        for later, sent in enumerate(self._sent[number:], number):
            self._sent[later] = replace(sent, changes=sent.changes.rebase(inverse, before=False))
            inverse = inverse.rebase(sent.changes, before=True)
        for later, waiting in enumerate(self._waiting):
            self._waiting[later] = replace(waiting, changes=waiting.changes.rebase(inverse, before=False))
            inverse = inverse.rebase(waiting.changes, before=True)
        self.text = inverse.apply(self.text)
        self._drop_empty()
        return inverse

    def _drop_empty(self) -> None:
        self._waiting = [one for one in self._waiting if one.ops or not one.changes.is_empty]


def composed(changes: Iterable[ChangeSet]) -> ChangeSet:
    """Return what change sets do one after the other."""
    made = EMPTY
    for one in changes:
        made = made.compose(one)
    return made
