"""What is read of accounts in SQLite: plain functions, each run whole on the database as it is at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from canvas_server.core.job import JobId
from canvas_server.core.job_ports import Entry
from canvas_server.core.quota import TOTAL, Account, Standing
from canvas_server.core.usage import Price, Usage

_SELECT_QUOTA: Final = """
    SELECT quota_micros FROM cost_quota WHERE user = ? AND from_month <= ? ORDER BY from_month DESC LIMIT 1
"""
_SELECT_TOTAL: Final = """
    SELECT amount_micros, reserved_micros, quota_micros FROM cost_usage WHERE user = ? AND month = ? AND provider = ?
"""
_SELECT_ACCOUNTS: Final = """
    SELECT user, month, provider, amount_micros, reserved_micros, quota_micros, updated_unix_ms FROM cost_usage
    WHERE user = ? AND month = ? ORDER BY provider <> ?, provider
"""
_ENTRY_COLUMNS: Final = """
    job_id, call, user, month, provider, model, valid_from, input_micros, cached_micros, output_micros,
    reserved_micros, input_tokens, cached_tokens, output_tokens, estimated, cost_micros, state, created_unix_ms,
    settled_unix_ms
"""
_SELECT_ENTRY: Final = f"SELECT {_ENTRY_COLUMNS} FROM cost_entry WHERE job_id = ? AND call = ?"  # noqa: S608 - a constant
_SELECT_ENTRIES: Final = f"""
    SELECT {_ENTRY_COLUMNS} FROM cost_entry WHERE user = ?1 AND month = ?2 AND (?3 IS NULL OR provider = ?3)
    ORDER BY created_unix_ms DESC, rowid DESC LIMIT ?4
"""  # noqa: S608 - a constant
_SELECT_OPEN: Final = """
    SELECT job_id, call FROM cost_entry WHERE state = 'reserved' ORDER BY created_unix_ms, rowid
"""


class EntryValues(NamedTuple):
    """A row of `cost_entry`, in the order of its columns."""

    job_id: str
    call: int
    user: str
    month: str
    provider: str
    model: str
    valid_from: str
    input_micros: int
    cached_micros: int
    output_micros: int
    reserved_micros: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    estimated: int
    cost_micros: int
    state: str
    created_unix_ms: int
    settled_unix_ms: int | None


def standing(connection: sqlite3.Connection, user: str, month: str, default_micros: int | None = None) -> Standing:
    """Return where a user stands.

    Args:
        connection: to read from.
        user: whose account.
        month: which account.
        default_micros: the quota unless an admin set one for that month or before; by default what was told when
            something was last reserved.
    """
    row = connection.execute(_SELECT_TOTAL, (user, month, TOTAL)).fetchone()
    spent_micros, reserved_micros, told_micros = row or (0, 0, 0)
    if default_micros is None:
        default_micros = told_micros
    return Standing(
        user=user,
        month=month,
        spent_micros=spent_micros,
        reserved_micros=reserved_micros,
        quota_micros=quota_in_force(connection, user, month, default_micros),
    )


def quota_in_force(connection: sqlite3.Connection, user: str, month: str, default_micros: int) -> int:
    """Return what a user may spend in a month."""
    row = connection.execute(_SELECT_QUOTA, (user, month)).fetchone()
    return int(row[0]) if row else default_micros


def accounts(connection: sqlite3.Connection, user: str, month: str) -> Sequence[Account]:
    """Return the accounts of a month, the total first, then by provider."""
    return [
        Account(
            user=user,
            month=month,
            provider=provider,
            amount_micros=amount_micros,
            reserved_micros=reserved_micros,
            quota_micros=quota_micros,
            updated_unix_ms=updated_unix_ms,
        )
        for user, month, provider, amount_micros, reserved_micros, quota_micros, updated_unix_ms in connection.execute(
            _SELECT_ACCOUNTS, (user, month, TOTAL)
        )
    ]


def find_entry(connection: sqlite3.Connection, job_id: JobId, call: int) -> EntryValues | None:
    """Return the row of a call, with what it holds."""
    row = connection.execute(_SELECT_ENTRY, (job_id, call)).fetchone()
    return EntryValues(*row) if row else None


def entries(connection: sqlite3.Connection, user: str, month: str, provider: str | None, limit: int) -> Sequence[Entry]:
    """Return the newest lines of the bill, newest first."""
    rows = connection.execute(_SELECT_ENTRIES, (user, month, provider, limit))
    return [_entry(EntryValues(*row)) for row in rows]


def open_calls(connection: sqlite3.Connection) -> Sequence[tuple[JobId, int]]:
    """Return the calls that are reserved and neither settled nor released, oldest first."""
    return [(JobId(job_id), call) for job_id, call in connection.execute(_SELECT_OPEN)]


def find(connection: sqlite3.Connection, job_id: JobId, call: int) -> Entry | None:
    """Return the line of the bill of a call."""
    row = find_entry(connection, job_id, call)
    return _entry(row) if row else None


def _entry(row: EntryValues) -> Entry:
    price = Price(
        provider=row.provider,
        model=row.model,
        valid_from=row.valid_from,
        input_micros=row.input_micros,
        cached_micros=row.cached_micros,
        output_micros=row.output_micros,
    )
    usage = Usage(
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        estimated=bool(row.estimated),
    )
    return Entry(
        job_id=JobId(row.job_id),
        call=row.call,
        user=row.user,
        month=row.month,
        price=price,
        usage=usage,
        cost_micros=row.cost_micros,
        state=row.state,
        created_unix_ms=row.created_unix_ms,
        settled_unix_ms=row.settled_unix_ms,
    )
