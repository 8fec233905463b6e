"""Writing many rows in few statements.

For each run of a statement the thread hands the interpreter to the event loop and waits to get it back, for
milliseconds while the loop is busy; so many rows are a few runs and not one for each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final, TypeAlias

Value: TypeAlias = str | int | bytes | None

_SIZES: Final = (64, 16, 4, 1)
"""Rows of one statement. SQLite takes 999 values in a statement at least."""


class RowGroups:
    """A statement that takes as many rows as there are.

    Args:
        before: what stands before the rows.
        columns: how many values a row has; 15 at most.
        after: what stands behind the rows.
    """

    def __init__(self, before: str, columns: int, after: str = "") -> None:
        assert columns * _SIZES[0] <= 999
        row = f"({', '.join('?' * columns)})"
        self._statements = {size: f"{before} VALUES {', '.join([row] * size)} {after}" for size in _SIZES}

    @classmethod
    def inserting(cls, table: str, columns: Sequence[str]) -> RowGroups:
        """Return the statement that inserts rows into a table."""
        return cls(f"INSERT INTO {table} ({', '.join(columns)})", len(columns))

    def run(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Value]]) -> int:
        """Write rows, in order; return how many of the table were changed."""
        done = changed = 0
        for size, statement in self._statements.items():
            while len(rows) - done >= size:
                cursor = connection.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
                changed += cursor.rowcount
                done += size
        return changed
