"""Whole answers that may be told again, kept in SQLite until their time is over."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Final

import msgspec

from canvas_server.core.job_ports import CachedAnswer
from canvas_server.storage.transactions import Transactions

_PUT: Final = """
    INSERT INTO cached_answer (key, answer, until_unix_ms) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, until_unix_ms = excluded.until_unix_ms
"""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(CachedAnswer).decode


class SqliteResponseCache:
    """The `ResponseCache` of one machine.

    Args:
        database: open, and left open.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def get(self, key: str, now_unix_ms: int) -> CachedAnswer | None:
        """Return an answer whose time is not over; one that cannot be read is none."""
        answer = await self._database.read(partial(_get, key=key, now_unix_ms=now_unix_ms))
        try:
            return None if answer is None else _decode(answer)
        except msgspec.MsgspecError:
            return None

    async def put(self, key: str, answer: CachedAnswer, now_unix_ms: int, until_unix_ms: int) -> None:
        """Keep an answer until its time is over, and let go those whose time is over now."""
        values = (key, _encode(answer), until_unix_ms)
        await self._database.write(partial(_put, values=values, now_unix_ms=now_unix_ms))


def _get(connection: sqlite3.Connection, key: str, now_unix_ms: int) -> bytes | None:
    query = "SELECT answer FROM cached_answer WHERE key = ? AND until_unix_ms > ?"
    row: tuple[bytes] | None = connection.execute(query, (key, now_unix_ms)).fetchone()
    return row[0] if row else None


def _put(connection: sqlite3.Connection, values: tuple[str, bytes, int], now_unix_ms: int) -> None:
    connection.execute("DELETE FROM cached_answer WHERE until_unix_ms <= ?", (now_unix_ms,))
    connection.execute(_PUT, values)
