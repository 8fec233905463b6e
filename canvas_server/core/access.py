"""Who may do what with one canvas: its owner, those it is shared with, and whoever has the link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Level: TypeAlias = Literal["read", "write", "own"]
"""How far somebody may go; each includes the one before. To own is to share and to delete."""

Shared: TypeAlias = Literal["read", "write"]

SHARED_WITH_MAX: Final = 100
"""Users that one canvas is shared with at most."""

_RANK: Final[Mapping[str | None, int]] = {None: 0, "none": 0, "read": 1, "write": 2, "own": 3}


class Access(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rights to one canvas. What nobody owns is an admin's only."""

    owner: str | None = None
    link: Literal["none", "read", "write"] = "none"
    """What every user may do who knows the ref; the canvas stands in the lists of none of them."""
    shared: Mapping[str, Shared] = {}
    """By the name of a user."""

    def level_of(self, user: str) -> Level | None:
        """Return how far a user may go; None: for this user there is no such canvas."""
        if user == self.owner:
            return "own"
        shared = self.shared.get(user)
        best = shared if _RANK[shared] >= _RANK[self.link] else self.link
        return None if best is None or best == "none" else best

    def allows(self, user: str, level: Level) -> bool:
        """Tell whether a user may go as far as `level`."""
        return _RANK[self.level_of(user)] >= _RANK[level]

    def lists_for(self, user: str) -> bool:
        """Tell whether the canvas stands in the list of a user."""
        return user == self.owner or user in self.shared


NOBODYS: Final = Access()
"""Of a canvas without an owner."""
