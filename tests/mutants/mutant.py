"""A planted bug: one change of the package that tests must notice.

Rule: the old text stands exactly once in its file. Where the code has moved on, the mutant is stale and says so; it is
never skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

PACKAGE: Final = "canvas_server"

Lane: TypeAlias = Literal["quick", "slow", "hand"]
"""How much of the tests it takes: without those marked slow, with them, or as much as by hand before a release."""


class StaleMutantError(Exception):
    """The code that a mutant changes is not there any more, or there several times."""


class Mutant(NamedTuple):
    """One planted bug.

    Attributes:
        name: of the mutant, in words with hyphens.
        path: of the file that is changed, inside the package.
        old: a text that stands in it exactly once.
        new: what takes its place.
        tests: a selection for pytest; one of them must fail.
        lane: how much of them is run.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    lane: Lane = "quick"

    @property
    def module(self) -> str:
        """The dotted name of the module that is changed."""
        return f"{PACKAGE}.{self.path.removesuffix('.py').replace('/', '.')}"

    def file_in(self, tree: Path) -> Path:
        """Return the file that is changed, in a tree that holds the package."""
        return tree / PACKAGE / self.path

    def plant(self, source: str) -> str:
        """Return a source with the bug in it.

        Raises:
            StaleMutantError: the old text is not there exactly once.
        """
        count = source.count(self.old)
        if count != 1:
            raise StaleMutantError(f"{self.name}: {self.path} holds its old text {count} times instead of once")
        return source.replace(self.old, self.new)
