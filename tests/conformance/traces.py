"""Recorded editing sessions as operations: sequences of edits that real people typed, with the text they end in.

The recordings are not part of this repository; `trace_path` says where they would lie.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from canvas_server.core.operation import (
    OffsetMode,
    Operation,
    PositionTarget,
    RangeMode,
    Scope,
)
from canvas_server.core.splice import Splice

NAMES: Final = ("sveltecomponent", "seph-blog1", "automerge-paper")

_TRACES: Final = Path(__file__).parents[3] / "shared" / "traces"


class Trace(NamedTuple):
    """A recorded session: `splices`, one after the other, lead from `start` to `end`."""

    start: str
    end: str
    splices: Sequence[Splice]


class _Transaction(msgspec.Struct):
    patches: list[tuple[int, int, str]]


class _Recording(msgspec.Struct):
    start: str = msgspec.field(name="startContent")
    end: str = msgspec.field(name="endContent")
    transactions: list[_Transaction] = msgspec.field(name="txns")


def trace_path(name: str) -> Path:
    """Return where a recording lies, if it is there."""
    return _TRACES / f"{name}.json.gz"


@cache
def read_trace(name: str) -> Trace:
    """Read a recording; `FileNotFoundError` where it is missing."""
    recording = msgspec.json.decode(gzip.decompress(trace_path(name).read_bytes()), type=_Recording)
    splices = [
        Splice(at, at + deleted, inserted)
        for transaction in recording.transactions
        for at, deleted, inserted in transaction.patches
    ]
    return Trace(recording.start, recording.end, splices)


def beginning(trace: Trace, count: int) -> Trace:
    """Return the first `count` edits of a session; it ends in what a plain list of characters becomes by them."""
    if count >= len(trace.splices):
        return trace
    characters = list(trace.start)
    for splice in trace.splices[:count]:
        characters[splice.start : splice.end] = splice.insert
    return Trace(trace.start, "".join(characters), trace.splices[:count])


def behind(trace: Trace, prefix: str) -> Trace:
    """Return the session as if all of it had happened behind a fixed `prefix`."""
    moved = [Splice(splice.start + len(prefix), splice.end + len(prefix), splice.insert) for splice in trace.splices]
    return Trace(prefix + trace.start, prefix + trace.end, moved)


def operations(splices: Sequence[Splice], scope: Scope) -> Iterator[Operation]:
    """Yield for each splice the operation that an editor would send; offsets count code points."""
    for number, splice in enumerate(splices):
        if splice.start == splice.end:
            target = PositionTarget(position=OffsetMode(offset=splice.start))
            yield Operation(op_id=f"op-{number}", action="insert", target=target, content=splice.insert, scope=scope)
        else:
            target = PositionTarget(position=RangeMode(start=splice.start, end=splice.end))
            yield Operation(op_id=f"op-{number}", action="replace", target=target, content=splice.insert, scope=scope)
