"""The log of what a server may still forget: every ack above its last checkpoint, with what undoes it.

After a crash it says up to where the server's history is ours (the fork), and what was lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.core.version import seq_of

Op = dict[str, object]
"""An operation as it is sent (PROTOCOL section 3)."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An operation that was applied."""

    version: str
    base: str
    op_id: str
    changes: ChangeSet
    inverse: ChangeSet
    op: Op | None
    """What makes it again on `base`; None if it is another author's, or cannot be sent alone."""
    is_own: bool


class UnsavedLog:
    """Entries in order, the oldest first."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """The oldest first."""
        return self._entries

    @property
    def has_own(self) -> bool:
        """Whether something of this client is not on disk."""
        return any(entry.is_own for entry in self._entries)

    def add(self, entry: Entry) -> None:
        """Note what was applied last."""
        self._entries.append(entry)

    def forget_saved(self, version: str) -> None:
        """Forget what is on disk: all up to a version."""
        saved = seq_of(version) or 0
        self._entries = [entry for entry in self._entries if (seq_of(entry.version) or 0) > saved]

    def fork(self, head: str, known: Collection[str]) -> int | None:
        """Return how many of the entries a server still has; None if its history has nothing of ours.

        Args:
            head: the version that the entries lead to.
            known: the versions that the server has.
        """
        if head in known:
            return len(self._entries)
        kept = (number for number in reversed(range(len(self._entries))) if self._entries[number].base in known)
        return next(kept, None)

    def cut(self, kept: int) -> list[Entry]:
        """Forget all but the first, and return what was forgotten."""
        lost = self._entries[kept:]
        del self._entries[kept:]
        return lost

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


def op_of_spot(op_id: str, version: str, spot: Change) -> Op:
    """Return the operation that makes one change to the text of a version."""
    start, end, insert = spot
    op: Op = {"op_id": op_id, "client_version": version, "scope": "range"}
    if start == end:
        position: Op = {"mode": "offset", "offset": start}
        op |= {"action": "insert", "content": insert}
    else:
        position = {"mode": "range", "from": start, "to": end}
        op |= {"action": "replace", "content": insert} if insert else {"action": "delete"}
    return {**op, "target": {"type": "position", "position": position}}
