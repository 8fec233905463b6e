"""What a checkpoint does to what is durable: the rules that every store follows.

Rule: the history of a canvas starts at a full text and goes on without a gap. So it is cut only where a full text
stands, and every version from there on can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from canvas_server.core.ports import CheckpointRequest, SavedOp
from canvas_server.core.version import Version
from canvas_server.storage.failures import DamageError

TEXT_SPACING_OPS: Final = 2_000
"""Full texts nearer than this to the one kept before are let go: reading the past replays some thousand operations,
and a long history takes little more room than its operations."""


def check_request(request: CheckpointRequest) -> None:
    """Refuse a request that contradicts itself.

    Raises:
        ValueError: its operations do not lead from `base_seq` to `version`, or its text is of another version.
    """
    seqs = [op.seq for op in request.ops]
    if seqs != list(range(request.base_seq + 1, request.version.seq + 1)):
        raise ValueError(f"operations do not lead from {request.base_seq} to {request.version.seq}")
    if request.ops and request.ops[-1].etag != request.version.etag:
        raise ValueError("the last operation makes another version")
    if request.text is not None and request.text.version != request.version:
        raise ValueError("the full text is of another version")


def ops_to_append(request: CheckpointRequest, durable: Version) -> Sequence[SavedOp]:
    """Return which operations of a request are to be written; none if all of it is durable, or more than it.

    A checkpoint whose caller was cancelled may have become durable all the same; the next one then starts at a base
    that was passed, and only what is new in it is written.

    Raises:
        DamageError: what is durable is no version that the request leads over.
    """
    if durable.seq > request.version.seq or durable == request.version:
        return ()
    passed = durable.seq - request.base_seq
    if passed == 0 and request.ops:
        return request.ops
    if 0 < passed < len(request.ops) and request.ops[passed - 1].etag == durable.etag:
        return request.ops[passed:]
    raise DamageError(f"version {durable} is durable, which does not lead to {request.version}")


def kept_texts(text_seqs: Sequence[int], newest_seq: int, history_ops_max: int) -> list[int]:
    """Return which full texts stay after a checkpoint; the first is where the history starts from now on.

    Args:
        text_seqs: of the full texts there are, oldest first.
        newest_seq: of the version that is durable.
        history_ops_max: how many operations the history holds at least, as far as there are; 0 keeps all.
    """
    start, spacing = text_seqs[0], TEXT_SPACING_OPS
    if history_ops_max:
        # A short history is cut at a full text too, so its texts stand nearer to each other.
        spacing = min(spacing, history_ops_max)
        start = max((seq for seq in text_seqs if seq <= newest_seq - history_ops_max), default=start)
    newest = text_seqs[-1]
    kept = [start]
    for seq in text_seqs:
        if start < seq < newest and seq - kept[-1] >= spacing:
            kept.append(seq)
    return kept if start == newest else [*kept, newest]
