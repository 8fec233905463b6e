"""Which operations are taken back, and how: by the server where it can, else by an edit that leaves all others.

Such an edit says in its `meta` what it took back, so that it is not taken back twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from canvas_server.cli.endings import NotDoneError
from canvas_server.cli.past import Past
from canvas_server.cli.told import Deed, stream_of
from canvas_server.core.event import Ack, Failure
from canvas_server.core.version import seq_of

if TYPE_CHECKING:
    from canvas_server.cli.asking import Asked
    from canvas_server.client.changeset import Change
    from canvas_server.client.connection import Connection
    from canvas_server.client.session import CanvasSession

UNDONE: Final = "undo"
"""Key of `meta`: whose operations were taken back, then `_from` and `_to` which versions of theirs."""
_SPOTS: Final = 100
_CHARS: Final = 64 * 1024
_TRIES: Final = 8
"""Requests in a row of which nothing was applied."""
_TEMPORARY: Final = frozenset({"STORAGE_UNAVAILABLE"})


class _Me(msgspec.Struct, frozen=True):
    name: str


class Selector(NamedTuple):
    """What is to be taken back; if nothing is said, what oneself did last."""

    actor: str | None = None
    job: str | None = None
    op_id: str | None = None
    last: int | None = None

    async def settled(self, connection: Connection) -> Selector:
        """Return the selector with the name of whoever asks, where nobody else is named."""
        if self.op_id is not None or self.actor is not None:
            return self
        if self.job is not None:
            return self._replace(actor=f"job:{self.job.removeprefix('job:')}")
        me = await connection.read("/api/v2/me", _Me)
        return self._replace(actor=me.name, last=self.last or 1)


def chosen(deeds: Sequence[Deed], selector: Selector) -> list[Deed]:
    """Return the operations that a selector means, in order: none that was taken back, or that took something back.

    An operation that is named is returned whatever it is.
    """
    if selector.op_id is not None:
        return [deed for deed in deeds if deed.ack.op_id == selector.op_id]
    reverted = {deed.ack.reverts for deed in deeds}
    marks = [_mark_of(deed.ack) for deed in deeds]
    found = [
        deed
        for deed in deeds
        if deed.ack.actor == selector.actor
        and not isinstance(deed.ack.reverts, str)
        and _mark_of(deed.ack) is None
        and deed.ack.op_id not in reverted
        and not any(mark is not None and mark.covers(deed.ack) for mark in marks)
    ]
    return found if selector.last is None else _last_of(found, selector.last)


def _last_of(deeds: Sequence[Deed], count: int) -> list[Deed]:
    """Return the last that were done; what was streamed was done at once, however many operations it took."""
    names = {deed.ack.op_id for deed in deeds}
    streams = [stream_of(deed.ack.op_id, names) for deed in deeds]
    wanted = list(dict.fromkeys(reversed(streams)))[:count]
    return [deed for deed, stream in zip(deeds, streams, strict=True) if stream in wanted]


class TakenBack(NamedTuple):
    """What came of it: the version, and whether anything changed; nothing does where the text was gone already."""

    version: str
    is_changed: bool


async def take_back(asked: Asked, ref: str, past: Past, deeds: Sequence[Deed]) -> TakenBack:
    """Take operations back, and leave what others wrote since.

    Raises:
        NotDoneError: others kept changing the very places.
    """
    canvas = await asked.client.open(ref)
    if len(deeds) == 1:
        revert = {"action": "revert", "scope": "range", "target": {"type": "op", "op": {"op_id": deeds[0].ack.op_id}}}
        outcome = await canvas.send(revert)
        if isinstance(outcome, Ack):
            return TakenBack(outcome.server_version, is_changed=True)
    return await _edit_out(asked, canvas, past, deeds)


async def _edit_out(asked: Asked, canvas: CanvasSession, past: Past, deeds: Sequence[Deed]) -> TakenBack:
    from canvas_server.client.changeset import ChangeSet  # noqa: PLC0415 - only commands that ask need it
    from canvas_server.client.undo import undo  # noqa: PLC0415 - as above

    names = {deed.ack.op_id for deed in deeds}
    acks = [deed.ack for deed in past.deeds]
    back = undo(past.text, acks, lambda ack: ack.op_id in names)
    version = acks[-1].server_version
    is_changed, failures = False, 0
    while failures < _TRIES:
        # What was written meanwhile, the spots that went through included.
        for ack in await asked.client.history(canvas.ref, version):
            back = back.rebase(ChangeSet.of(ack.changes), before=False)
            version = ack.server_version
        if back.is_empty:
            return TakenBack(version, is_changed)
        now = _portion(back.spots)
        applied = await _sent(canvas, now, version, _mark(deeds))
        is_changed, failures = is_changed or any(applied), failures + (not any(applied))
        left = [spot for spot, is_applied in zip(now, applied, strict=True) if not is_applied]
        back = ChangeSet([*left, *back.spots[len(now) :]])
    raise NotDoneError("others keep changing the very places", hint="Try again when they are done.")


def _portion(spots: Sequence[Change]) -> Sequence[Change]:
    """Return as many of the first as one request takes."""
    sizes = accumulate(len(spot.insert) for spot in spots)
    count = sum(size <= _CHARS for size in sizes)
    return spots[: min(max(count, 1), _SPOTS)]


async def _sent(canvas: CanvasSession, spots: Sequence[Change], version: str, meta: dict[str, str]) -> list[bool]:
    """Send spots, and return of each whether it was applied."""
    from canvas_server.client.names import new_name  # noqa: PLC0415 - as above
    from canvas_server.client.unsaved import op_of_spot  # noqa: PLC0415 - as above

    ops = [{**op_of_spot(new_name("undo-"), version, spot), "meta": meta} for spot in spots]
    outcomes = await canvas.send_batch(ops)
    for outcome in outcomes:
        if isinstance(outcome, Failure) and outcome.code not in _TEMPORARY:
            raise NotDoneError(outcome.message, hint=outcome.hint)
    return [isinstance(outcome, Ack) for outcome in outcomes]


class _Mark(NamedTuple):
    """Whose operations an edit took back, those that made the versions from one to another."""

    actor: str
    low: int
    high: int

    def covers(self, ack: Ack) -> bool:
        """Whether it took back this one."""
        return ack.actor == self.actor and self.low <= (seq_of(ack.server_version) or 0) <= self.high


def _mark(deeds: Sequence[Deed]) -> dict[str, str]:
    low, high = (str(seq_of(deeds[index].ack.server_version)) for index in (0, -1))
    return {UNDONE: deeds[0].ack.actor, f"{UNDONE}_from": low, f"{UNDONE}_to": high}


def _mark_of(ack: Ack) -> _Mark | None:
    meta = ack.meta if isinstance(ack.meta, dict) else {}
    low, high = meta.get(f"{UNDONE}_from", ""), meta.get(f"{UNDONE}_to", "")
    if UNDONE not in meta or not (low.isdecimal() and high.isdecimal()):
        return None
    return _Mark(meta[UNDONE], int(low), int(high))
