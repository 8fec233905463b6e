"""Every door to the outside: what the house needs from durable storage, the clock and chance.

Values that pass a door are frozen. A store speaks of *saved* things only: it never decides, publishes or orders
anything. Whoever implements `CanvasStore` passes the one contract suite in `tests/storage/`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NewType, Protocol

import msgspec

from canvas_server.core.access import NOBODYS, Access
from canvas_server.core.ids import CanvasRef
from canvas_server.core.version import Version

CanvasKey = NewType("CanvasKey", int)
"""Names one life of a canvas: a canvas deleted and created again under its ref gets another, higher one."""


class SavedOp(msgspec.Struct, frozen=True, gc=False):
    """An applied operation as the history keeps it."""

    seq: int
    op_id: str
    etag: str
    """The version it made."""
    event: bytes
    """The JSON of its `ack` as it was broadcast, offsets in code points."""
    digest: str
    """`payload_digest` of the operation."""
    removed: tuple[str, ...]
    """For each of its changes, the text that gave way."""


class SavedText(msgspec.Struct, frozen=True):
    """The whole text of a canvas at one version."""

    version: Version
    content: str
    sections_changed: tuple[str, ...]
    """ETag at which each section last changed, in the order of the outline, the text before the first heading first."""


class SavedCanvas(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a canvas without reading its text."""

    key: CanvasKey
    ref: CanvasRef
    title: str
    version: Version
    size_bytes: int
    created_unix_ms: int
    updated_unix_ms: int
    access: Access = NOBODYS


class LoadedCanvas(msgspec.Struct, frozen=True, kw_only=True):
    """All that a room needs to go on from the last checkpoint."""

    canvas: SavedCanvas
    text: SavedText
    """The newest full text; `recent` leads from it to `canvas.version`."""
    recent: Sequence[SavedOp]
    """The newest operations without a gap up to `canvas.version`: at least all after `text`, at most as many more as
    were asked for."""
    older_op_ids: Collection[str]
    """The ids of the operations before `recent` that the history still holds."""


class CheckpointRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one checkpoint makes durable, all or nothing."""

    key: CanvasKey
    base_seq: int
    """What was durable before; `ops` start right after it."""
    version: Version
    ops: Sequence[SavedOp]
    text: SavedText | None
    """The full text at `version`, when it is due to be rewritten."""
    size_bytes: int
    now_unix_ms: int


class CanvasPage(msgspec.Struct, frozen=True):
    """A page of canvases, newest first."""

    canvases: tuple[SavedCanvas, ...]
    next_key: CanvasKey | None
    """Where the next page starts; None on the last page."""


class CheckpointStore(Protocol):
    """Where checkpoints go: what a canvas that is open needs of a `CanvasStore`."""

    async def save(self, request: CheckpointRequest) -> None:
        """See `CanvasStore.save`."""
        ...


class CanvasStore(Protocol):
    """Durable canvases.

    Every method may raise `StorageUnavailableError` (busy, full, I/O; nothing was changed) and `StorageCorruptError`.
    A canvas that cannot be read is an error, never an empty canvas.
    """

    async def create(
        self, ref: CanvasRef, title: str, text: SavedText, now_unix_ms: int, access: Access = NOBODYS
    ) -> SavedCanvas:
        """Store a new canvas with its first text and the rights to it.

        Raises:
            ExistsError: the ref is taken.
        """
        ...

    async def load(self, ref: CanvasRef, ops_max: int) -> LoadedCanvas:
        """Read a canvas and up to `ops_max` of its newest operations.

        Raises:
            NotFoundError: there is none.
        """
        ...

    async def save(self, request: CheckpointRequest) -> None:
        """Append operations, and the full text if given, in one transaction; durable when it returns.

        An older checkpoint never overwrites a newer one, and one that is durable already (same `version`) changes
        nothing. Cancelling the caller does not leave half of it.

        Raises:
            NotFoundError: the canvas was deleted.
            StorageCorruptError: what is durable is neither `base_seq` nor `version`.
        """
        ...

    async def get(self, ref: CanvasRef) -> SavedCanvas:
        """Read what is known of a canvas.

        Raises:
            NotFoundError: there is none.
        """
        ...

    async def set_title(self, key: CanvasKey, title: str, now_unix_ms: int) -> None:
        """Change the title.

        Raises:
            NotFoundError: the canvas was deleted.
        """
        ...

    async def set_access(self, key: CanvasKey, access: Access) -> None:
        """Change the rights.

        Raises:
            NotFoundError: the canvas was deleted.
        """
        ...

    async def delete(self, key: CanvasKey) -> None:
        """Remove a canvas with its history; nothing happens if it is gone already."""
        ...

    async def list(self, limit: int, before_key: CanvasKey | None, user: str | None = None) -> CanvasPage:
        """Read a page of at most `limit` canvases created before `before_key`, newest first.

        With `user` only those that stand in the list of that user: see `Access.lists_for`.
        """
        ...

    async def read_ops(self, key: CanvasKey, after_seq: int, limit: int) -> Sequence[SavedOp]:
        """Read at most `limit` operations after `after_seq`, oldest first, without a gap."""
        ...

    async def find_ops(self, key: CanvasKey, op_ids: Sequence[str]) -> Sequence[SavedOp]:
        """Read the operations of those names that the history holds, in the order of the history."""
        ...

    async def read_text(self, key: CanvasKey, seq: int) -> tuple[SavedText, Sequence[SavedOp]]:
        """Read the newest full text not after `seq`, and the operations from there up to `seq`.

        Raises:
            NotFoundError: the history does not reach back that far, or not so far ahead.
        """
        ...

    async def check(self) -> None:
        """Return if the store can be written to now."""
        ...


class Clock(Protocol):
    """The wall clock, and a finer one to take times with; what is to come is the event loop's own business."""

    def now_ms(self) -> int:
        """Return ms since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds since some moment, to be compared with each other; never goes back."""
        ...


class Ids(Protocol):
    """Chance."""

    def chain(self) -> str:
        """Return 16 random hex digits."""
        ...

    def name(self) -> str:
        """Return a fresh UUID, for a canvas or a client that has none."""
        ...

    def between(self, low: int, high: int) -> int:
        """Return a random whole number, both ends included."""
        ...
