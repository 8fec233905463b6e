"""Three versions of a text become one: what I made of it goes into what others made of it meanwhile.

Rule: nothing that anybody wrote is lost. Where both changed the same place, theirs stays and my lines follow it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, groupby
from typing import Final, NamedTuple

_LINE: Final = re.compile(r"\n[^\n]*|[^\n]+")
"""With the newline before it: so what comes at the end of a text without one changes no line."""
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")
_EXACT_LINES_MAX: Final = 2_000
_EXACT_TOKENS_MAX: Final = 2_000
"""Beyond that a difference is found quickly rather than exactly."""

_SPOTS_MAX: Final = 500
"""About so many are sent; of a text that changed all over neighbours are joined."""


class Spot(NamedTuple):
    """The text from `start` to `end` gives way to `insert`; all spots of a difference count in the text before."""

    start: int
    end: int
    insert: str


class Hunk(NamedTuple):
    """Whole lines that gave way to others, and the spots in them where they really differ."""

    whole: Spot
    spots: list[Spot]


class Merged(NamedTuple):
    """What is to be done to their text.

    Attributes:
        spots: in order, in the coordinates of their text.
        both: the lines of the merged text, from 1, where both had changed the same place.
    """

    spots: list[Spot]
    both: list[int]


def merge(base: str, mine: str, theirs: str) -> Merged:
    """Return what makes of `theirs` the text that has my changes too."""
    hunks = difference(base, theirs)
    others = [spot for hunk in hunks for spot in hunk.spots]
    alike = {hunk.whole for hunk in hunks}
    own = [hunk for hunk in difference(base, mine) if hunk.whole not in alike]
    count = -(-sum(len(hunk.spots) for hunk in own) // _SPOTS_MAX)
    spots: list[Spot] = []
    both: list[Spot] = []
    for is_both, run in groupby(own, key=lambda hunk: _is_both(hunk, others)):
        if is_both:
            below = [_below(hunk.whole, others, theirs) for hunk in run]
            both += below
            spots += below
        else:
            fewer = _fewer(base, [spot for hunk in run for spot in hunk.spots], others, count)
            spots += (_carried(spot, others) for spot in fewer)
    return Merged(spots, [_line_in(theirs, spots, spot) for spot in both])


def _is_both(hunk: Hunk, others: Sequence[Spot]) -> bool:
    return any(_collide(spot, other) for spot in hunk.spots for other in others)


def _fewer(base: str, spots: Sequence[Spot], others: Sequence[Spot], count: int) -> list[Spot]:
    """Return spots with up to so many neighbours joined to one, where nobody else changed anything between them."""
    joined: list[Spot] = []
    size = 0
    for spot in spots:
        last = joined[-1] if joined else None
        if last is None or size >= count or any(_collide(Spot(last.start, spot.end, "x"), other) for other in others):
            joined.append(spot)
            size = 1
        else:
            joined[-1] = Spot(last.start, spot.end, last.insert + base[last.end : spot.start] + spot.insert)
            size += 1
    return joined


def apply_spots(text: str, spots: Sequence[Spot]) -> str:
    """Return a text after a difference."""
    for start, end, insert in reversed(spots):
        text = text[:start] + insert + text[end:]
    return text


def difference(before: str, after: str) -> list[Hunk]:
    """Return how one text became another, line by line and in them word by word."""
    old, new = _LINE.findall(before), _LINE.findall(after)
    starts = [0, *accumulate(map(len, old))]
    return [
        Hunk(Spot(starts[first], starts[last], "".join(new[low:high])), list(_words(starts[first], *both)))
        for unequal in _unequal(old, new, _EXACT_LINES_MAX)
        for first, last, low, high in _line_by_line(*unequal)
        for both in [("".join(old[first:last]), "".join(new[low:high]))]
    ]


def _line_by_line(first: int, last: int, low: int, high: int) -> Iterator[tuple[int, int, int, int]]:
    """Take as many lines in the place of as many for changes of each, so that they collide one by one."""
    if last - first != high - low:
        yield first, last, low, high
        return
    for number in range(last - first):
        yield first + number, first + number + 1, low + number, low + number + 1


def _words(offset: int, before: str, after: str) -> Iterator[Spot]:
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    starts = [offset, *(offset + end for end in accumulate(map(len, old)))]
    for first, last, low, high in _unequal(old, new, _EXACT_TOKENS_MAX):
        yield Spot(starts[first], starts[last], "".join(new[low:high]))


def _unequal(old: Sequence[str], new: Sequence[str], exact_max: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield where two sequences differ, what is equal at both ends left aside before they are compared."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    left, right = old[head : len(old) - tail], new[head : len(new) - tail]
    matcher = SequenceMatcher(None, left, right, autojunk=max(len(left), len(right)) > exact_max)
    for tag, first, last, low, high in matcher.get_opcodes():
        if tag != "equal":
            yield head + first, head + last, head + low, head + high


def _collide(mine: Spot, other: Spot) -> bool:
    """Tell whether two spots change the same text.

    Two insertions at one point do if they would make one line; what touches a deletion does, for it loses its place.
    """
    if mine.start == mine.end == other.start == other.end:
        return not (mine.insert.startswith("\n") or other.insert.endswith("\n"))
    if not (mine.insert and other.insert):
        return other.start <= mine.end and other.end >= mine.start
    return other.start < mine.end and other.end > mine.start


def _carried(spot: Spot, others: Sequence[Spot]) -> Spot:
    growth = sum(len(other.insert) - (other.end - other.start) for other in others if other.end <= spot.start)
    return Spot(spot.start + growth, spot.end + growth, spot.insert)


def _below(whole: Spot, others: Sequence[Spot], theirs: str) -> Spot:
    """Return my lines as an insertion below what became of the lines that they were to replace."""
    place = whole.end
    for other in others:
        growth = len(other.insert) - (other.end - other.start)
        if other.end <= whole.end:
            place += growth
        elif other.start < whole.end:
            place += other.end - whole.end + growth
    lines = whole.insert.removeprefix("\n")
    if not lines:
        return Spot(place, place, "")
    begins_line = place == 0 or theirs[place - 1] == "\n"
    ends_line = theirs[place : place + 1] in ("", "\n")
    return Spot(place, place, ("" if begins_line else "\n") + lines + ("" if ends_line else "\n"))


def _line_in(theirs: str, spots: Sequence[Spot], wanted: Spot) -> int:
    before = [spot for spot in spots if spot.start < wanted.start]
    text = apply_spots(theirs[: wanted.start], before)
    return text.count("\n") + 1 + wanted.insert.startswith("\n")
