"""Headings in order, and what follows from their levels and titles alone: sections, paths, ids.

None of it depends on offsets, so it outlives every edit that leaves the headings as they are. It is worked out when it
is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from canvas_server.core.block import Title

_NOT_IN_IDS: Final = re.compile(r"[^\w \-]")


class HeadingTree:
    """The tree that the levels of headings make of them.

    Args:
        titles: never changed afterwards.
    """

    def __init__(self, titles: Sequence[Title]) -> None:
        self._titles = titles
        self._nexts: dict[int, int] = {}

    def next_of_rank(self, index: int) -> int:
        """Return the index of the next heading of the same or a higher level, or the count of headings."""
        found = self._nexts.get(index)
        if found is None:
            titles = self._titles
            level = titles[index].level
            found = next((at for at in range(index + 1, len(titles)) if titles[at].level <= level), len(titles))
            self._nexts[index] = found
        return found

    def path(self, index: int) -> tuple[str, ...]:
        """Return the titles of the heading and of all above it, outermost first."""
        path = []
        while index >= 0:
            path.append(self._titles[index].text)
            index = self.parents[index]
        return tuple(reversed(path))

    @cached_property
    def parents(self) -> Sequence[int]:
        """For each heading the index of the one whose section holds it most closely, or -1."""
        newest = [-1] * 7  # by level; one pass for all, as a search for each would meet every sibling again
        parents = []
        for index, title in enumerate(self._titles):
            parents.append(max(newest[: title.level]))
            newest[title.level] = index
        return parents

    @cached_property
    def ids(self) -> Sequence[str]:
        """An id for each heading, as GitHub makes them for links; no two alike."""
        return _ids(self._titles)

    @cached_property
    def index_of_id(self) -> dict[str, int]:
        """The heading that each id names."""
        return {name: index for index, name in enumerate(self.ids)}

    @cached_property
    def indices_of_title(self) -> dict[str, list[int]]:
        """The headings with each title, in order."""
        found: dict[str, list[int]] = {}
        for index, title in enumerate(self._titles):
            found.setdefault(title.text, []).append(index)
        return found


def _ids(titles: Sequence[Title]) -> list[str]:
    ids: list[str] = []
    repeats: dict[str, int] = {}
    for title in titles:
        plain = _NOT_IN_IDS.sub("", title.text.lower()).replace(" ", "-")
        name = plain
        while name in repeats:
            repeats[plain] += 1
            name = f"{plain}-{repeats[plain]}"
        repeats[name] = 0
        ids.append(name)
    return ids
