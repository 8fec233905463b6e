"""What an author asks for, made from one seeded chance: all actions, scopes and targets, in either unit."""

from __future__ import annotations

from random import Random
from typing import Final

from canvas_server.core.operation import (
    Action,
    AnchorPlace,
    AnchorTarget,
    EndMode,
    HeadingPlace,
    HeadingTarget,
    OffsetMode,
    Operation,
    OpPlace,
    OpTarget,
    Options,
    PositionTarget,
    RangeMode,
    RegexPlace,
    RegexTarget,
    Scope,
    StartMode,
    Target,
    TextPlace,
    TextTarget,
    Unit,
    Where,
)
from tests.core.authors import in_unit

STARTS: Final = ("", "# A\n\none 😀 two\n\n## B\n\nthree\n", "plain words 😀\n")
_CONTENTS: Final = ("x", "words ", "😀", "\n", "# A\n\n", "\n## B\n\nbody\n", "- item\n", "")
_SCOPES: Final[tuple[Scope, ...]] = ("canvas", "section", "range", "range")
_ACTIONS: Final[tuple[Action, ...]] = (
    "insert", "insert", "insert", "replace", "replace", "delete", "upsert_section", "revert",
)  # fmt: skip
_WHERES: Final[tuple[Where | None, ...]] = (None, None, None, "before", "after", "inside_start", "replace_match")
_OPTIONS: Final = (Options(), Options(), Options(surround_with_blank_lines=1), Options(ensure_heading=True))


class Author:
    """Writes operations on what it has seen.

    Args:
        random: decides what.
        unit: how it counts.
    """

    def __init__(self, random: Random, unit: Unit) -> None:
        self.unit = unit
        self._random = random

    def operation(self, op_id: str, base: str | None, text: str, op_ids: list[str]) -> Operation:
        """Return something that the language allows.

        Args:
            op_id: its name.
            base: the version that the author has seen; None to stand on the operation before it.
            text: at that version.
            op_ids: operations that the author knows of.
        """
        choose = self._random.choice
        action = choose(_ACTIONS)
        target = self._target(action, text, op_ids)
        return Operation(
            op_id=op_id,
            action=action,
            target=target,
            client_version=base,
            scope=choose(_SCOPES),
            where=choose(_WHERES) if action == "insert" else None,
            content=None if action in ("delete", "revert") else choose(_CONTENTS),
            options=choose(_OPTIONS),
        )

    def append(self, op_id: str, base: str | None, content: str = "word ") -> Operation:
        """Return an operation that is always accepted, wherever the canvas has got to."""
        target = PositionTarget(position=EndMode())
        return Operation(
            op_id=op_id, action="insert", target=target, client_version=base, scope="range", content=content
        )

    def _target(self, action: Action, text: str, op_ids: list[str]) -> Target:
        if action == "revert" or (op_ids and self._random.random() < 0.05):
            return OpTarget(op=OpPlace(op_id=self._random.choice(op_ids[-20:] or ["nobody"])))
        if action == "upsert_section":
            return self._heading()
        match self._random.randrange(8):
            case 0:
                return self._heading()
            case 1:
                return TextTarget(text=TextPlace(match=self._random.choice(["o", "😀", "words"]), nth=1))
            case 2:
                return RegexTarget(regex=RegexPlace(pattern=self._random.choice(["[a-z]+", "^#+ .*$", "("]), nth=-1))
            case 3:
                return AnchorTarget(anchor=AnchorPlace(name=self._random.choice(["doc_start", "doc_end", "after_toc"])))
            case _:
                return self._position(action, text)

    def _heading(self) -> Target:
        return HeadingTarget(heading=HeadingPlace(path=(self._random.choice(["A", "B", "C"]),), nth=1))

    def _position(self, action: Action, text: str) -> Target:
        start = self._random.randint(0, len(text))
        if action == "insert":
            ends: list[StartMode | EndMode | OffsetMode] = [StartMode(), EndMode()]
            offset = OffsetMode(offset=in_unit(text, start, self.unit))
            beyond = OffsetMode(offset=len(text) * 2 + 1)
            return PositionTarget(position=self._random.choice([*ends, *[offset] * 8, beyond]))
        end = min(len(text), start + self._random.randint(0, 12))
        place = RangeMode(start=in_unit(text, start, self.unit), end=in_unit(text, end, self.unit))
        return PositionTarget(position=place)
