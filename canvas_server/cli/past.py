"""The past of a canvas, a page of it at a time, counted back from the newest."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from canvas_server.cli.told import Deed, Follower
from canvas_server.core.errors import InvalidFieldError
from canvas_server.core.version import parse_cursor, seq_of

if TYPE_CHECKING:
    from canvas_server.client.bodies import CanvasState
    from canvas_server.client.client import CanvasClient


class Past(NamedTuple):
    """A stretch of the history.

    Attributes:
        begins: the version, as a count, before which the history is not kept.
        text: of the canvas before it.
        deeds: in order.
        follower: of the text after it.
    """

    begins: int
    text: str
    deeds: list[Deed]
    follower: Follower


def seq_named(version: str | None) -> int | None:
    """Return the count of a version that was given as a count, as `<seq>-<chain>` or as an ETag.

    Raises:
        InvalidFieldError: it is none of these.
    """
    if version is None:
        return None
    cursor = parse_cursor(version)
    seq = int(version) if version.isascii() and version.isdigit() else cursor.seq if cursor else seq_of(version)
    if seq is None:
        raise InvalidFieldError(f"{version!r} is no version", hint="Write its number, as `history` shows it.")
    return seq


async def read_past(
    client: CanvasClient, ref: str, limit: int, after: int | None = None, before: int | None = None
) -> Past:
    """Read the newest operations of a canvas.

    Args:
        client: of its server.
        ref: of the canvas.
        limit: how many, at most.
        after: only what came after this version.
        before: only what came before the operation that made this version.
    """
    top = seq_of((await client.read(ref)).version) or 0
    if before is not None:
        top = max(min(top, before - 1), 0)
    low = min(max(after or 0, top - limit), top)
    base = await _known(client, ref, low, top)
    found = seq_of(base.version) or 0
    follower = Follower(base.text, base.version)
    acks = await client.history(ref, base.version, limit=top - found) if top > found else []
    return Past(found if found > low else 0, base.text, [follower.follow(ack) for ack in acks], follower)


async def _known(client: CanvasClient, ref: str, low: int, top: int) -> CanvasState:
    """Return the canvas at a version, or at the first after it that the history still has."""
    from canvas_server.client.errors import NotFoundError  # noqa: PLC0415 - only commands that ask need it

    with suppress(NotFoundError):
        return await client.read(ref, at=low)
    unknown, known = low, top
    while known - unknown > 1:
        middle = (unknown + known) // 2
        try:
            await client.read(ref, at=middle)
        except NotFoundError:
            unknown = middle
        else:
            known = middle
    return await client.read(ref, at=known)
