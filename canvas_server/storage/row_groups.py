"""Inserting many rows in few statements.

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
    """The statements that insert rows into one table.

    Args:
        table: its name.
        columns: in the order of the values of a row; 15 at most.
    """

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        assert len(columns) * _SIZES[0] <= 999
        row = f"({', '.join('?' * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
        self._statements = {size: f"{head} {', '.join([row] * size)}" for size in _SIZES}

    def insert(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Value]]) -> None:
        """Insert rows, in order."""
        done = 0
        for size, statement in self._statements.items():
            while len(rows) - done >= size:
                connection.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
