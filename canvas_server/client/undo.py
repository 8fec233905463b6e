"""Undoing some operations of a history and leaving all others: what an agent wrote, and not what people wrote since."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from canvas_server.client.changeset import EMPTY, ChangeSet
from canvas_server.core.event import Ack
from canvas_server.core.splice import apply_changes


def undo(before: str, history: Iterable[Ack], is_undone: Callable[[Ack], bool]) -> ChangeSet:
    """Return what takes back the operations that are chosen, as the text is after all of them.

    What others inserted in a text that is taken back stays; what they deleted stays deleted.

    Args:
        before: the text before the first operation.
        history: operations in order, without a gap.
        is_undone: chooses. A revert of one that is chosen is chosen with it.
    """
    text, back = before, EMPTY
    chosen: set[str] = set()
    for ack in history:
        changes = ChangeSet.of(ack.changes)
        if is_undone(ack) or (isinstance(ack.reverts, str) and ack.reverts in chosen):
            chosen.add(ack.op_id)
            back = changes.invert(text).compose(back)
        else:
            back = back.rebase(changes, before=False)
        text = apply_changes(text, ack.changes)
    return back
