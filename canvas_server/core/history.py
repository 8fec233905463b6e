"""The operations applied to a canvas of late: what scope, resume, revert and idempotence look at.

A window of the newest operations is held in full; of those before it only the names are remembered.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from canvas_server.core.event import Ack
from canvas_server.core.forgotten import ForgottenNames
from canvas_server.core.operation import Operation, Unit, payload_digest
from canvas_server.core.splice import Changes, Span, map_range, map_whole, unmap_untouched
from canvas_server.core.version import Version


class Applied(msgspec.Struct, gc=False):
    """One applied operation, with what it takes to undo it and to tell it again."""

    ack: Ack
    version: Version
    spans: tuple[Span, ...]
    """Where its changes act, in code points."""
    wide_spans: tuple[Span, ...]
    """The same in UTF-16 code units."""
    removed: tuple[str, ...]
    """For each change the text that gave way."""
    payload: Operation | str
    """The operation, or its digest once only that is known."""

    @property
    def changes(self) -> Changes:
        """The resolved changes, in code points."""
        return tuple(self.ack.changes)

    def digest(self) -> str:
        """Return what tells this operation from another one under the same name."""
        if isinstance(self.payload, Operation):
            self.payload = payload_digest(self.payload)
        return self.payload


class History:
    """The newest applied operations of one canvas, oldest first and without a gap.

    Args:
        floor: the version before the first operation held.
        ops_max: how many operations `trim` leaves at least, besides those that `hold_after` holds: these may be taken
            back yet.
        older_op_ids: names of operations before `floor`.
    """

    def __init__(self, floor: Version, ops_max: int, older_op_ids: Collection[str] = ()) -> None:
        self._floor = floor
        self._ops_max = ops_max
        self._applied: list[Applied] = []
        # The spans of all of them in one row of numbers, in either unit, and where in it those of each begin.
        self._spans = array("q")
        self._wide_spans = array("q")
        self._first_spans: list[int] = []
        self._by_op_id: dict[str, Applied] = {}
        self._older = ForgottenNames(older_op_ids)
        self._recalled: dict[str, Applied] = {}
        self._reverted: dict[str, str] = {}
        self._hold_after_seq: int | None = None

    def copy(self) -> History:
        """Return a history that goes its own way from here."""
        twin = History(self._floor, self._ops_max)
        twin._applied = self._applied.copy()
        twin._spans = self._spans[:]
        twin._wide_spans = self._wide_spans[:]
        twin._first_spans = self._first_spans.copy()
        twin._by_op_id = self._by_op_id.copy()
        twin._older = self._older
        twin._recalled = self._recalled
        twin._reverted = self._reverted.copy()
        twin._hold_after_seq = self._hold_after_seq
        return twin

    def __len__(self) -> int:
        return len(self._applied)

    @property
    def floor(self) -> Version:
        """The version before the first operation held."""
        return self._floor

    def append(self, applied: Applied) -> None:
        """Take in the operation applied last."""
        ack = applied.ack
        self._applied.append(applied)
        self._by_op_id[ack.op_id] = applied
        self._first_spans.append(len(self._spans))
        for span in applied.spans:
            self._spans.extend((span.start, span.end, span.growth))
        for span in applied.wide_spans:
            self._wide_spans.extend((span.start, span.end, span.growth))
        if isinstance(ack.reverts, str):
            self._note_revert(ack.op_id, ack.reverts)

    def hold_after(self, seq: int) -> None:
        """Let go of nothing after version `seq`, however much there is: it is not durable yet."""
        self._hold_after_seq = seq

    def pop(self) -> Applied:
        """Give back the operation applied last, as if it had never been."""
        applied = self._applied.pop()
        first = self._first_spans.pop()
        del self._spans[first:], self._wide_spans[first:]
        del self._by_op_id[applied.ack.op_id]
        undone_id = applied.ack.reverts
        if isinstance(undone_id, str):
            self._reverted.pop(undone_id, None)
            undone = self._by_op_id.get(undone_id)
            if undone is not None and isinstance(undone.ack.reverts, str):
                self._reverted[undone.ack.reverts] = undone_id
        return applied

    def find(self, op_id: str) -> Applied | None:
        """Return the applied operation of that name, if it is held."""
        return self._by_op_id.get(op_id)

    def find_known(self, op_id: str) -> Applied | None:
        """Return the applied operation of that name, if it is held or was recalled."""
        return self._by_op_id.get(op_id) or self._recalled.get(op_id)

    def recall(self, found: Iterable[Applied]) -> None:
        """Take in operations from before the floor that an author sent again, until `trim`."""
        self._recalled = self._recalled | {applied.ack.op_id: applied for applied in found}

    def trim(self) -> None:
        """Let go of what was recalled and, if they are many, of the oldest operations that need not be held.

        To be called when all that was sent is decided: of what somebody sent again, and waits for its turn, nothing may
        be forgotten.
        """
        self._recalled = {}
        held = len(self._applied)
        if held <= self._ops_max + self._ops_max // 4 + 1:
            return
        if self._hold_after_seq is not None:
            held = min(held, self._hold_after_seq - self._floor.seq)
        count = held - self._ops_max
        if count > self._ops_max // 4 + 1:
            self._forget_oldest(count)

    @property
    def forgets(self) -> bool:
        """Whether operations were applied before the first one held."""
        return bool(self._older)

    def may_have_forgotten(self, op_id: str) -> bool:
        """Tell whether an operation of that name may have been applied before the first one held."""
        return op_id in self._older

    def reverted_by(self, op_id: str) -> str | None:
        """Return the name of the operation that undid `op_id` and still stands."""
        return self._reverted.get(op_id)

    def etag_at(self, seq: int) -> str | None:
        """Return the version after `seq` operations, or None where it is not held."""
        index = seq - self._floor.seq
        if index == 0:
            return self._floor.etag
        return self._applied[index - 1].version.etag if 0 < index <= len(self._applied) else None

    def since(self, seq: int) -> Iterator[Applied]:
        """Iterate over the operations applied after version `seq`, oldest first."""
        return iter(self._applied[seq - self._floor.seq :])

    def newest_first(self) -> Iterator[Applied]:
        """Iterate over the operations held, newest first."""
        return reversed(self._applied)

    def spans_since(self, seq: int, unit: Unit) -> Iterator[tuple[int, int, int]]:
        """Iterate over where the changes since version `seq` acted, in order: start, end and growth of each `Span`."""
        spans = self._wide_spans if unit == "utf16" else self._spans
        index = seq - self._floor.seq
        numbers = iter(spans[self._first_spans[index] :] if index < len(self._first_spans) else ())
        return zip(numbers, numbers, numbers, strict=True)

    def untouched_since(self, seq: int, start: int, end: int) -> bool:
        """Tell whether no change since version `seq` touched a stretch of the text as it is now."""
        for numbers in reversed(list(self.spans_since(seq, "codepoint"))):
            before = unmap_untouched(start, end, Span(*numbers))
            if before is None:
                return False
            start, end = before
        return True

    def inserted_by(self, applied: Applied) -> tuple[int, int] | None:
        """Return where the text that an operation inserted is now; None when nothing of it is left."""
        # What comes last of an operation that is no revert is its text; before it only newlines may come.
        first, last = inserted_range(applied.spans if isinstance(applied.ack.reverts, str) else applied.spans[-1:])
        place: tuple[int, int] | None = (first, last)
        for numbers in self.spans_since(applied.version.seq, "codepoint"):
            place = map_range(*place, Span(*numbers)) if place else None
        return place

    def whole_now(self, applied: Applied) -> list[tuple[int, int, str]] | None:
        """Return what undoes an operation: for each stretch it made, its place now and the text to put back.

        None when later text changed one of them.
        """
        undone: list[tuple[int, int, str]] = []
        for index, span in enumerate(applied.spans):
            place: tuple[int, int] | None = (span.start, span.stop)
            for other in applied.spans[index + 1 :]:
                place = map_whole(*place, other) if place else None
            place = place and self._map_whole_since(applied.version.seq, *place)
            if place is None:
                return None
            undone.append((*place, applied.removed[index]))
        return undone

    def _map_whole_since(self, seq: int, start: int, end: int) -> tuple[int, int] | None:
        """Carry a stretch of version `seq` to now, as `map_whole` does for each change since.

        That is written out for a stretch that is not empty: who takes thousands of operations back, newest first,
        carries each of them over all that came after it.
        """
        place: tuple[int, int] | None = (start, end)
        if start == end:
            for numbers in self.spans_since(seq, "codepoint"):
                place = map_whole(*place, Span(*numbers)) if place else None
            return place
        for first, last, growth in self.spans_since(seq, "codepoint"):
            if first >= end:
                continue
            if last > start:
                return None
            start, end = start + growth, end + growth
        return start, end

    def _forget_oldest(self, count: int) -> None:
        for applied in self._applied[:count]:
            del self._by_op_id[applied.ack.op_id]
            self._reverted.pop(applied.ack.op_id, None)
        # A copy shares this set: a name too many costs it a look-up in the store, and no more.
        self._older.add(applied.ack.op_id for applied in self._applied[:count])
        self._floor = self._applied[count - 1].version
        kept = self._first_spans[count:]
        spans = kept[0] if kept else len(self._spans)
        del self._applied[:count], self._spans[:spans], self._wide_spans[:spans]
        self._first_spans = [first - spans for first in kept]

    def _note_revert(self, op_id: str, reverts: str) -> None:
        self._reverted[reverts] = op_id
        undone = self._by_op_id.get(reverts)
        if undone is not None and isinstance(undone.ack.reverts, str):
            self._reverted.pop(undone.ack.reverts, None)


def inserted_range(spans: Sequence[Span]) -> tuple[int, int]:
    """Return the stretch of the text after an operation that its insertions span."""
    first, last = spans[0].start, spans[0].stop
    for span in spans[1:]:
        first = min(first, span.start)
        last = max(last + span.growth if span.start < last else last, span.stop)
    return first, last
