"""Three versions of a text become one: what I made of it goes into what others made of it meanwhile.

Rule: nothing that anybody wrote is lost. Where both changed the same place, theirs stays and my lines follow it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Final, NamedTuple

_LINE: Final = re.compile(r"\n[^\n]*|[^\n]+")
"""With the newline before it: so what comes at the end of a text without one changes no line."""
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")
_EXACT_LINES_MAX: Final = 2_000
_EXACT_TOKENS_MAX: Final = 2_000
"""Beyond that a difference is found quickly rather than exactly."""


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
    spots: list[Spot] = []
    both: list[Spot] = []
    for hunk in difference(base, mine):
        if hunk.whole in alike:
            continue
        if not any(_collide(spot, other) for spot in hunk.spots for other in others):
            spots += (_carried(spot, others) for spot in hunk.spots)
        else:
            below = _below(hunk.whole, others, theirs)
            spots.append(below)
            both.append(below)
    return Merged(spots, [_line_in(theirs, spots, spot) for spot in both])


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
        for first, last, low, high in _unequal(old, new, _EXACT_LINES_MAX)
        for both in [("".join(old[first:last]), "".join(new[low:high]))]
    ]


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
    """Tell whether two spots change the same place; two insertions at one point do if they would make one line."""
    if mine.start == mine.end and other.start == other.end:
        return mine.start == other.start and not (mine.insert.startswith("\n") or other.insert.endswith("\n"))
    return other.start <= mine.end and other.end >= mine.start


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
