"""What one check found, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        level: `fail` if a server cannot run, or not safely.
        detail: what it is.
        mend: one imperative sentence; empty if nothing needs mending.
    """

    check: str
    level: Level
    detail: str
    mend: str = ""
