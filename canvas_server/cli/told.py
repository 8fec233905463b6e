"""The history of a canvas in lines: who did what, where and when.

An ack tells what came, not what went nor under which heading. So a `Follower` keeps the text beside it, from a version
on.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from canvas_server.cli.terminal import moment, one_line, width_left
from canvas_server.core.splice import map_point, splice_span
from canvas_server.core.version import parse_etag, seq_of

if TYPE_CHECKING:
    from canvas_server.core.event import Ack

_EXCERPT: Final = 80
_EXCERPT_MIN: Final = 12
_MARGIN: Final = 9
"""Around an excerpt: sign, count, quotes and a space."""
_ACTOR: Final = 12
_SECTION: Final = 16


class Deed(NamedTuple):
    """What an operation came to.

    Attributes:
        section: titles of the heading it is under, outermost first; empty above the first.
        inserted: what it put there, its changes one after the other.
        removed: what it took away.
        ops: of how many operations this is told at once; the ack is that of the last.
        name: op_id of the first of these.
    """

    ack: Ack
    section: tuple[str, ...]
    inserted: str
    removed: str
    ops: int = 1
    name: str = ""


class Follower:
    """Follows a canvas from a version on.

    Args:
        text: of the canvas at `version`.
        version: an ETag.
    """

    def __init__(self, text: str, version: str) -> None:
        from canvas_server.core.document import Document  # noqa: PLC0415 - it takes long to import

        parsed = parse_etag(version)
        assert parsed is not None
        self._document = Document(text, parsed)

    @property
    def version(self) -> str:
        """The newest that was followed."""
        return self._document.version.etag

    @property
    def text(self) -> str:
        """The text at that version."""
        return str(self._document.text)

    def follow(self, ack: Ack) -> Deed:
        """Take in the next operation, and say what it came to.

        Raises:
            ValueError: it is not the next.
        """
        if ack.base_version != self.version:
            raise ValueError(f"{ack.server_version} does not follow {self.version}")
        before = self._section(ack.changes[0].start) if ack.changes else ()
        step = self._document.apply(ack.op_id, tuple(ack.changes))
        inserted = "".join(splice.insert for splice in ack.changes)
        section = self._section(_first_word(ack)) if inserted.strip() else before
        return Deed(ack, section, inserted, "".join(step.removed))

    def _section(self, offset: int) -> tuple[str, ...]:
        index = self._document.outline.segment_at(max(min(offset, len(self._document.text) - 1), 0)) - 1
        return self._document.outline.path(index) if index >= 0 else ()


def stream_of(op_id: str, names: Set[str]) -> str:
    """Return the name of the operation that began the text that an operation goes on with; often its own."""
    line = op_id.partition(".")[0]
    stem, _, number = line.rpartition("-")
    return stem if number.isdecimal() and stem in names else line


def joined(deeds: Sequence[Deed]) -> list[Deed]:
    """Tell at once what was streamed at once, and what a job wrote or took back without a break."""
    names = {deed.ack.op_id for deed in deeds}
    runs = groupby(deeds, key=lambda deed: _run_of(deed.ack, names))
    return [_told_at_once(list(run)) for _key, run in runs]


def _run_of(ack: Ack, names: Set[str]) -> tuple[str, bool, str]:
    return ack.actor, isinstance(ack.reverts, str), "" if ack.kind == "job" else stream_of(ack.op_id, names)


def _told_at_once(deeds: Sequence[Deed]) -> Deed:
    first, last = deeds[0], deeds[-1]
    inserted, removed = ("".join(getattr(deed, name) for deed in deeds) for name in ("inserted", "removed"))
    return Deed(last.ack, first.section, inserted, removed, len(deeds), first.ack.op_id)


def line_of(deed: Deed, *, is_named: bool = True) -> str:
    """Return an operation as a line: version, moment, actor, section, what it did, and its op_id if that is wanted."""
    ack = deed.ack
    more = f" +{deed.ops - 1}" if deed.ops > 1 else ""
    name = f"  {one_line(deed.name or ack.op_id)}{more}" if is_named else more
    head = f"{seq_of(ack.server_version):>6}  {moment(ack.timestamp):>8}"
    who, where = one_line(ack.actor, _ACTOR), one_line(deed.section[-1], _SECTION) if deed.section else "-"
    left = width_left(len(head) + _ACTOR + _SECTION + len(name) + 6)
    what = _what(deed, _EXCERPT if left is None else left)
    actor = click.style(f"{who:{_ACTOR}}", fg=_COLOURS[ack.kind])
    return (
        f"{click.style(head, fg='yellow')}  {actor}  {where:{_SECTION}}  {what}{click.style(name, dim=True)}".rstrip()
    )


_COLOURS: Final = {"human": "cyan", "agent": "magenta", "job": "blue"}


def _what(deed: Deed, width: int) -> str:
    """Return what it did; its excerpts share a width, but for the least that says anything."""
    parts = [_undid(deed.ack.reverts, deed.ops)] if isinstance(deed.ack.reverts, str) else []
    changed = [(sign, text, colour) for sign, text, colour in _signed(deed) if text]
    share = max((width - sum(map(len, parts))) // max(len(changed), 1) - _MARGIN, _EXCERPT_MIN)
    parts += [click.style(f"{sign}{len(text)} {_quoted(text, share)}", fg=colour) for sign, text, colour in changed]
    return " ".join(parts) or "nothing"


def _undid(name: str, count: int) -> str:
    return f"undid {one_line(name)}" if count == 1 else f"undid {count} operations"


def _signed(deed: Deed) -> list[tuple[str, str, str]]:
    return [("-", deed.removed, "red"), ("+", deed.inserted, "green")]


def _quoted(text: str, width: int) -> str:
    return f'"{one_line(text.strip() or text, width)}"'


def _first_word(ack: Ack) -> int:
    """Return where the first character that shows stands that an operation inserted, after it."""
    changes = ack.changes
    for number, splice in enumerate(changes):
        stripped = splice.insert.lstrip()
        if stripped:
            place = splice.start + len(splice.insert) - len(stripped)
            for later in changes[number + 1 :]:
                place = map_point(place, splice_span(later))
            return place
    return changes[0].start
