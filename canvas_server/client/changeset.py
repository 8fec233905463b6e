"""A change set: what was changed in a text, all at once.

It is a row of spots, each `start`, `end`, `insert` in code points of the text *before*. They are in order and do not
touch, so each text between two of them is kept. Not to be confused with the `changes` on the wire, which are applied
one after the other, each in the coordinates left by the one before: `ChangeSet.of` and `ChangeSet.changes` translate.

All of it takes time linear in the number of spots. Every law is proven by tests/client/test_changeset.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from canvas_server.core.splice import Splice

Side = Literal["before", "after"]


class Change(NamedTuple):
    """The text from `start` to `end` gives way to `insert`."""

    start: int
    end: int
    insert: str

    @property
    def growth(self) -> int:
        """How much longer the text gets; negative when it gets shorter."""
        return self.start - self.end + len(self.insert)


class ChangeSet:
    """Changes that are made at once; a value.

    Args:
        spots: in order, in coordinates of the text before; none touches the next.
    """

    __slots__ = ("_spots",)

    def __init__(self, spots: Iterable[Change] = ()) -> None:
        self._spots = tuple(spots)
        if any(spot.start < 0 or spot.end < spot.start for spot in self._spots):
            raise ValueError("a change ends before it starts")
        if any(one.end >= next_.start for one, next_ in pairwise(self._spots)):
            raise ValueError("the spots are not in order, or touch")

    @classmethod
    def of(cls, changes: Sequence[Change | Splice]) -> ChangeSet:
        """Return what changes do that are made one after the other."""
        if len(changes) <= 1:
            return cls(Change(c.start, c.end, c.insert) for c in changes if c.end > c.start or c.insert)
        middle = len(changes) // 2
        return cls.of(changes[:middle]).compose(cls.of(changes[middle:]))

    @property
    def spots(self) -> tuple[Change, ...]:
        """In coordinates of the text before."""
        return self._spots

    @property
    def changes(self) -> tuple[Change, ...]:
        """The same, to be made one after the other: the last spot first, so no offset has to be moved."""
        return self._spots[::-1]

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not self._spots

    @property
    def growth(self) -> int:
        """How much longer the text gets."""
        return sum(spot.growth for spot in self._spots)

    @property
    def reach(self) -> int:
        """How long a text must be to be changed so."""
        return self._spots[-1].end if self._spots else 0

    def apply(self, text: str) -> str:
        """Return the text after.

        Raises:
            ValueError: a spot lies outside the text.
        """
        if self.reach > len(text):
            raise ValueError(f"a change at {self.reach} in a text of {len(text)}")
        parts: list[str] = []
        at = 0
        for start, end, insert in self._spots:
            parts += (text[at:start], insert)
            at = end
        return "".join((*parts, text[at:]))

    def invert(self, text: str) -> ChangeSet:
        """Return what undoes it; `text` is the text before."""
        shift, spots = 0, []
        for spot in self._spots:
            start = spot.start + shift
            spots.append(Change(start, start + len(spot.insert), text[spot.start : spot.end]))
            shift += spot.growth
        return ChangeSet(spots)

    def compose(self, other: ChangeSet) -> ChangeSet:
        """Return what this and then `other` do, which is told in coordinates of the text between."""
        if len(other) == 1 and len(self) > _FEW:
            return self._compose_one(other.spots[0])
        return _composed(self, other)

    def rebase(self, over: ChangeSet, *, before: bool) -> ChangeSet:
        """Return the same for the text after `over`; both are told for the same text.

        What is inserted inside a stretch that the other deletes survives.

        Args:
            over: what was made first.
            before: where both insert at one point, whether the text of this one comes first. For all a and b:
                `a.compose(b.rebase(a, before=False)) == b.compose(a.rebase(b, before=True))`.
        """
        mine, theirs, built = _Walk(self), _Walk(over), _Building()
        while not mine.is_over:
            if mine.kind == "insert" and (before or theirs.kind != "insert"):
                built.insert(mine.take_text(mine.left))
            elif theirs.kind == "insert":
                built.keep(theirs.take(theirs.left))
            else:
                count = min(mine.left, theirs.left)
                if theirs.kind == "keep":
                    if mine.kind == "delete":
                        built.delete(count)
                    else:
                        built.keep(count)
                mine.take(count)
                theirs.take(count)
        return built.result()

    def map_point(self, point: int, side: Side = "after") -> int:
        """Return where a place in the text is afterwards.

        Args:
            point: from 0 to the length of the text.
            side: whether it stands before or after what is inserted exactly there.
        """
        shift = 0
        for start, end, insert in self._spots:
            if point < start:
                break
            if point < end or point == start:
                return start + shift + (len(insert) if side == "after" else 0)
            shift += start - end + len(insert)
        return point + shift

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChangeSet) and self._spots == other._spots

    def __hash__(self) -> int:
        return hash(self._spots)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._spots)

    def __len__(self) -> int:
        return len(self._spots)

    def __repr__(self) -> str:
        return f"ChangeSet({list(self._spots)!r})"

    def _compose_one(self, change: Change) -> ChangeSet:
        """Do the same for one change after many: all spots but those that it touches stay as they are."""
        spots, low, shift = self._spots, 0, 0
        while low < len(spots) and spots[low].start + shift + len(spots[low].insert) < change.start:
            shift += spots[low].growth
            low += 1
        high, shift_after = low, shift
        while high < len(spots) and spots[high].start + shift_after <= change.end:
            shift_after += spots[high].growth
            high += 1
        moved = Change(change.start - shift, change.end - shift, change.insert)
        return _made((*spots[:low], *_composed(_made(spots[low:high]), _made((moved,))), *spots[high:]))


def _made(spots: tuple[Change, ...]) -> ChangeSet:
    """Return a set of spots that are known to be in order."""
    made = ChangeSet()
    made._spots = spots  # noqa: SLF001 - of this module
    return made


def _composed(one: ChangeSet, other: ChangeSet) -> ChangeSet:
    first, then, built = _Walk(one), _Walk(other), _Building()
    while not (first.is_over and then.is_over):
        if first.kind == "delete":
            built.delete(first.take(first.left))
        elif then.kind == "insert":
            built.insert(then.take_text(then.left))
        else:
            count = min(first.left, then.left)
            if first.kind == "insert":
                text = first.take_text(count)
                if then.kind == "keep":
                    built.insert(text)
            elif then.kind == "delete":
                built.delete(first.take(count))
            else:
                built.keep(first.take(count))
            then.take(count)
    return built.result()


EMPTY: Final = ChangeSet()
_FEW: Final = 4
"""So many spots are walked as fast as they are searched."""
_ENDLESS: Final = 1 << 62


class _Walk:
    """Goes through a text as a change set sees it: keep so many, insert this, delete so many, and keep the rest."""

    __slots__ = ("_at", "_insert", "_number", "_spots", "kind", "left")

    def __init__(self, changes: ChangeSet) -> None:
        self._spots = changes.spots
        self._number = -1
        self._at = 0
        self._insert = ""
        self.kind: Literal["keep", "insert", "delete"] = "delete"
        self.left = 0
        """Of the part that is walked now."""
        self._advance()

    @property
    def is_over(self) -> bool:
        """Whether all that is left is kept."""
        return self._number >= len(self._spots)

    def take(self, count: int) -> int:
        """Go on by so many of this part, at most all that is left of it."""
        self.left -= count
        if not self.left:
            self._advance()
        return count

    def take_text(self, count: int) -> str:
        """Go on by so many of what is inserted, and return them."""
        done = len(self._insert) - self.left
        text = self._insert[done : done + count]
        self.take(count)
        return text

    def _advance(self) -> None:
        while not self.left:
            match self.kind:
                case "keep":
                    self.kind, self._insert = "insert", self._spots[self._number].insert
                    self.left = len(self._insert)
                case "insert":
                    self.kind, spot = "delete", self._spots[self._number]
                    self.left = spot.end - spot.start
                case "delete":
                    self.kind, self._number = "keep", self._number + 1
                    if self.is_over:
                        self.left = _ENDLESS
                        return
                    self.left = self._spots[self._number].start - self._at
                    self._at = self._spots[self._number].end


class _Building:
    """Puts a change set together; whatever lies between two texts that are kept becomes one spot."""

    __slots__ = ("_deleted", "_inserted", "_spots", "_start")

    def __init__(self) -> None:
        self._spots: list[Change] = []
        self._start = 0
        self._deleted = 0
        self._inserted: list[str] = []

    def keep(self, count: int) -> None:
        if count:
            self._close()
            self._start += count

    def insert(self, text: str) -> None:
        self._inserted.append(text)

    def delete(self, count: int) -> None:
        self._deleted += count

    def result(self) -> ChangeSet:
        self._close()
        return _made(tuple(self._spots))

    def _close(self) -> None:
        if self._deleted or self._inserted:
            end = self._start + self._deleted
            self._spots.append(Change(self._start, end, "".join(self._inserted)))
            self._start, self._deleted = end, 0
            self._inserted.clear()


def text_difference(before: str, after: str) -> ChangeSet:
    """Return one spot that makes one text of the other: what is left between the ends that they share."""
    limit = min(len(before), len(after))
    start = _shared(before, after, limit)
    tail = _shared(before[start:][::-1], after[start:][::-1], limit - start)
    spot = Change(start, len(before) - tail, after[start : len(after) - tail])
    return ChangeSet((spot,)) if spot.end > spot.start or spot.insert else EMPTY


def _shared(one: str, other: str, limit: int) -> int:
    """Return how long a beginning two texts share, looking at `limit` at most; by halving, so it runs at C's speed."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def trimmed(changes: ChangeSet, text: str) -> ChangeSet:
    """Return what does the same to `text`, without what is replaced by itself at the ends of a spot."""
    spots = []
    for start, end, insert in changes:
        for spot in text_difference(text[start:end], insert):
            spots.append(Change(start + spot.start, start + spot.end, spot.insert))  # noqa: PERF401 - read better so
    return ChangeSet(spots)
