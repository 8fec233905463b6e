"""The history checker: do the answers that many clients got fit one order of each canvas that respects real time?

Every answer names a version, so the order is not searched for but read off, and the check takes O(n log n): sort what
returned by time, keep the furthest place in the order that was seen, and hold everything that began later against it.
`tests/model/search.py` is the referee that does search, for small histories.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias

from canvas_server.core.version import Version

ViolationKind: TypeAlias = Literal["fork", "hole", "lost update", "reordered", "stale", "from the future", "spurious"]


class Acked(NamedTuple):
    """The operation was applied and made this version; told again as a duplicate, it is still its first one."""

    version: Version


class Conflicted(NamedTuple):
    """The operation was not applied, for the canvas was at this version."""

    current: Version


class Refused(NamedTuple):
    """The operation was not applied, for a reason that tells nothing of the order: an error, `overlap`, `not_executed`,
    an HTTP status."""

    code: str


class Saw(NamedTuple):
    """A read, which found this version."""

    version: Version


class Record(NamedTuple):
    """One request of one client for one operation, or one read."""

    op_id: str
    client: str
    kind: Literal["write", "read"]
    base: Version | None
    """What a write under scope `canvas` stood on; None under other scopes, where it may lag, and of a read."""
    call: float
    """When it was sent, in seconds of a clock that all records share and that never goes back."""
    ret: float
    """When its outcome was heard; `math.inf` if it never was."""
    outcome: Acked | Conflicted | Refused | Saw | None
    """None if nobody heard it."""
    canvas: str
    """One life of a canvas: one that was deleted and made again needs another name here."""


class Applied(NamedTuple):
    """An operation that is known to have been applied, whoever heard its ack."""

    canvas: str
    op_id: str
    version: Version


class Life(NamedTuple):
    """One run of a server, from a start to a crash."""

    began: float
    """When it was started; `-math.inf` of the first."""
    heads: Mapping[str, Version]
    """What it held then, by canvas: the first version, or what was recovered. Every canvas of the run is in here."""
    log: Sequence[Applied] = ()
    """What was applied in this life, from any stream, or from the history as it was read after the crash. It settles
    what became of writes whose outcome nobody heard: one that is not in here was not applied."""


class Violation(NamedTuple):
    """Something that no order explains."""

    kind: ViolationKind
    canvas: str
    what: str


def check(records: Iterable[Record], lives: Sequence[Life]) -> list[Violation]:
    """Return what no order of any canvas explains; nothing if all is well.

    Args:
        records: of all clients, in any order.
        lives: of the server, in order; what was acked in one and is above the head of the next was forgotten.
    """
    canvases = {canvas for life in lives for canvas in life.heads}
    books = {canvas: _Book(canvas, lives) for canvas in canvases}
    requests: dict[str, dict[str, list[Record]]] = {canvas: {} for canvas in canvases}
    for record in records:
        match record.outcome:
            case Saw(version) | Conflicted(version):
                books[record.canvas].add_sight(record, version)
            case Acked() | None if record.kind == "write":
                requests[record.canvas].setdefault(record.op_id, []).append(record)
    for canvas, book in books.items():
        book.add_writes(requests[canvas])
    return [Violation(kind, canvas, what) for canvas, book in books.items() for kind, what in book.violations()]


_Found: TypeAlias = Iterator[tuple[ViolationKind, str]]


class _Write(NamedTuple):
    """All requests for one operation that came to one version, as one."""

    op_id: str
    version: Version
    bases: frozenset[Version | None]
    call: float
    ret: float


class _Step(NamedTuple):
    """A write or a sight, placed in the order that the versions tell: write 1, sights of 1, write 2 ..."""

    place: int
    call: float
    ret: float
    is_write: bool
    name: str


class _Chapter:
    """What happened to one canvas in one life of the server."""

    def __init__(self, began: float, ended: float, head: Version) -> None:
        self.began = began
        self.ended = ended
        self.head = head
        self.writes: dict[Version, _Write] = {}
        self.sights: list[tuple[Record, Version]] = []

    def violations(self) -> _Found:
        yield from self._wrong_versions()
        yield from self._wrong_sights()
        yield from self._out_of_time()

    def _etags(self) -> dict[int, str]:
        return {self.head.seq: self.head.etag} | {version.seq: version.etag for version in self.writes}

    def _wrong_versions(self) -> _Found:
        etags = self._etags()
        seqs = sorted({*etags, *(version.seq for _record, version in self.sights if version.seq > self.head.seq)})
        for before_seq, seq in pairwise(seqs):
            if seq > before_seq + 1 or seq not in etags:
                yield "hole", f"nobody made a version between {before_seq} and {seq}, or {seq} itself"
        for version, write in self.writes.items():
            if etags[version.seq] != version.etag:
                yield "fork", f"{write.op_id} made {version}, and others made {etags[version.seq]}"
            before = Version(version.seq - 1, etags.get(version.seq - 1, ""))
            if before.etag and write.bases.isdisjoint((before, None)):
                yield "lost update", f"{write.op_id} made {version} of {before}, and stood on another"

    def _wrong_sights(self) -> _Found:
        etags = self._etags()
        for record, version in self.sights:
            if etags.get(version.seq, version.etag) != version.etag and version.seq >= self.head.seq:
                yield "fork", f"{record.op_id} met {version}, and others made {etags[version.seq]}"
            if record.kind == "write" and record.base == version:
                yield "spurious", f"{record.op_id} stood on {version}, met it, and conflicted all the same"

    def _out_of_time(self) -> _Found:
        """Yield what began after something had returned that comes later in the order."""
        steps = [_Step(2 * self.head.seq + 1, self.began, self.began, is_write=False, name="the start")]
        steps += [
            _Step(2 * write.version.seq, write.call, write.ret, is_write=True, name=write.op_id)
            for write in self.writes.values()
        ]
        steps += [
            _Step(2 * version.seq + 1, record.call, record.ret, is_write=False, name=record.op_id)
            for record, version in self.sights
        ]
        steps.sort(key=attrgetter("ret"))
        returns = [step.ret for step in steps]
        furthest = _furthest(steps)
        for step in steps:
            before = bisect_left(returns, step.call)
            if before and furthest[before - 1].place > step.place:
                far = furthest[before - 1]
                yield _kind_of(step, far), f"{step.name} began after the end of {far.name}, and comes before it"


def _furthest(steps: Sequence[_Step]) -> list[_Step]:
    """Return for each step the one of the highest place up to it."""
    far = steps[0]
    return [far := step if step.place > far.place else far for step in steps]


def _kind_of(step: _Step, far: _Step) -> ViolationKind:
    if not step.is_write:
        return "stale"
    return "reordered" if far.is_write else "from the future"


class _Book:
    """What happened to one canvas: a chapter for each life."""

    def __init__(self, canvas: str, lives: Sequence[Life]) -> None:
        ends = [*(life.began for life in lives[1:]), inf]
        self._chapters = [
            _Chapter(life.began, ended, life.heads[canvas]) for life, ended in zip(lives, ends, strict=True)
        ]
        self._logs = [[entry for entry in life.log if entry.canvas == canvas] for life in lives]

    def add_sight(self, record: Record, version: Version) -> None:
        chapter = self._chapter_at(record.ret)
        # Asked before a crash and heard after it: the answer may still be the old server's.
        while (
            chapter and record.call < self._chapters[chapter].began and version.seq < self._chapters[chapter].head.seq
        ):
            chapter -= 1
        self._chapters[chapter].sights.append((record, version))

    def add_writes(self, requests: Mapping[str, Sequence[Record]]) -> None:
        """Take in by op_id what was or may have been applied."""
        for chapter, log in zip(self._chapters, self._logs, strict=True):
            for entry in log:
                self._add_write(chapter, entry.op_id, entry.version, inf, requests.get(entry.op_id, ()))
        for op_id, records in requests.items():
            for record in records:
                if isinstance(record.outcome, Acked):
                    version = record.outcome.version
                    self._add_write(self._maker(version, record.ret), op_id, version, record.ret, records)

    def violations(self) -> _Found:
        makers: dict[Version, str] = {}
        known = {self._chapters[0].head}
        for chapter in self._chapters:
            if chapter.head not in known:
                yield "fork", f"the server came back with {chapter.head}, which nobody had been told of"
            yield from chapter.violations()
            known.update(chapter.writes)
            for version, write in chapter.writes.items():
                if makers.setdefault(version, write.op_id) != write.op_id:
                    yield "fork", f"{makers[version]} and {write.op_id} both made {version}"

    @staticmethod
    def _add_write(chapter: _Chapter, op_id: str, version: Version, ret: float, requests: Sequence[Record]) -> None:
        """Join what is known of one operation and one version; of two operations the second is left to be found."""
        causes = [request for request in requests if request.call < chapter.ended and chapter.began <= request.ret]
        known = chapter.writes.get(version)
        if known is not None and known.op_id != op_id:
            version = Version(version.seq, f"{version.etag} by {op_id}")
            known = chapter.writes.get(version)
        chapter.writes[version] = _Write(
            op_id,
            version,
            frozenset(request.base for request in causes) or frozenset([None]),
            min((request.call for request in causes), default=-inf),
            min(ret, known.ret if known else inf),
        )

    def _maker(self, version: Version, told: float) -> _Chapter:
        """Return the chapter in which a version was made that was told then; it may be told again much later."""
        chapter = self._chapter_at(told)
        while chapter and self._chapters[chapter].head.seq >= version.seq:
            chapter -= 1
        return self._chapters[chapter]

    def _chapter_at(self, time: float) -> int:
        return max(0, bisect_right(self._chapters, time, key=attrgetter("began")) - 1)
