"""What changes accounts in SQLite: plain functions, each run whole in one transaction of the thread that writes.

Rule: what an entry adds is taken from it again by the same entry only, in the month it was reserved in; so whatever
the clock does, the entries of a month always sum to its account.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from canvas_server.core.job import JobId
from canvas_server.core.job_ports import Call
from canvas_server.core.quota import TOTAL, Standing
from canvas_server.core.usage import Usage
from canvas_server.storage.failures import DamageError
from canvas_server.storage.ledger_reads import EntryValues, find_entry, quota_in_force, standing

REFUSALS_MAX: Final = 100_000
"""How many refusals are kept, of everybody together: asking again and again must not fill the disk."""

_INSERT_ACCOUNT: Final = """
    INSERT OR IGNORE INTO cost_usage
    (user, month, provider, amount_micros, reserved_micros, quota_micros, updated_unix_ms)
    VALUES (?, ?, ?, 0, 0, ?, ?)
"""
_HOLD_IN_TOTAL: Final = """
    UPDATE cost_usage SET reserved_micros = reserved_micros + :estimate, quota_micros = :quota, updated_unix_ms = :now
    WHERE user = :user AND month = :month AND provider = :total
    AND (:unlimited OR amount_micros + reserved_micros + :estimate < :quota)
"""
_HOLD: Final = """
    UPDATE cost_usage SET reserved_micros = reserved_micros + :estimate, quota_micros = :quota, updated_unix_ms = :now
    WHERE user = :user AND month = :month AND provider = :provider
"""
_MOVE: Final = """
    UPDATE cost_usage SET amount_micros = amount_micros + :paid, reserved_micros = reserved_micros - :held,
    updated_unix_ms = ifnull(:now, updated_unix_ms)
    WHERE user = :user AND month = :month AND provider IN (:provider, :total)
"""
# One that was released is reserved anew: a call must never be made on nothing.
_INSERT_ENTRY: Final = """
    INSERT OR REPLACE INTO cost_entry
    (job_id, call, user, month, provider, model, valid_from, input_micros, cached_micros, output_micros,
    reserved_micros, input_tokens, cached_tokens, output_tokens, estimated, cost_micros, state, created_unix_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, TRUE, 0, 'reserved', ?)
"""
_SETTLE_ENTRY: Final = """
    UPDATE cost_entry SET input_tokens = ?, cached_tokens = ?, output_tokens = ?, estimated = ?, cost_micros = ?,
    state = 'settled', settled_unix_ms = ? WHERE job_id = ? AND call = ?
"""
_RELEASE_ENTRY: Final = "UPDATE cost_entry SET state = 'released' WHERE job_id = ? AND call = ?"
_INSERT_REFUSAL: Final = """
    INSERT INTO cost_refusal
    (job_id, user, month, provider, model, estimate_micros, spent_micros, reserved_micros, quota_micros,
    created_unix_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FORGET_REFUSALS: Final = "DELETE FROM cost_refusal WHERE id <= ?"
_PUT_QUOTA: Final = """
    INSERT OR REPLACE INTO cost_quota (user, from_month, quota_micros, updated_unix_ms) VALUES (?, ?, ?, ?)
"""
_FORGET_LATER_QUOTAS: Final = "DELETE FROM cost_quota WHERE user = ? AND from_month > ?"
_TELL_QUOTA: Final = "UPDATE cost_usage SET quota_micros = ? WHERE user = ? AND month >= ?"


def reserve(connection: sqlite3.Connection, call: Call) -> Standing | None:
    """Hold the worst case of a call, or store that it was refused; see `LedgerStore.reserve`."""
    known = find_entry(connection, call.job_id, call.number)
    if (known is None or known.state == "released") and not _hold(connection, call):
        _refuse(connection, call)
        return None
    return standing(connection, call.user, call.month, call.quota_micros)


def settle(
    connection: sqlite3.Connection, *, job_id: JobId, call: int, usage: Usage, cost_micros: int, now_unix_ms: int
) -> Standing:
    """Turn what was held for a call into what it cost; see `LedgerStore.settle`.

    Raises:
        ValueError: the call was never reserved, or costs less than nothing.
    """
    entry = find_entry(connection, job_id, call)
    if entry is None or cost_micros < 0:
        raise ValueError(f"call {call} of job {job_id} was not reserved, or {cost_micros} is no cost")
    corrects = bool(entry.estimated) and not usage.estimated
    if entry.state != "settled" or corrects:
        values = (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.estimated, cost_micros)
        connection.execute(_SETTLE_ENTRY, (*values, now_unix_ms, job_id, call))
        _move(connection, entry, cost_micros - entry.cost_micros, now_unix_ms)
    return standing(connection, entry.user, entry.month)


def release(connection: sqlite3.Connection, job_id: JobId, call: int) -> None:
    """Let go of what was held for a call; nothing happens if nothing is."""
    entry = find_entry(connection, job_id, call)
    if entry is not None and entry.state == "reserved":
        connection.execute(_RELEASE_ENTRY, (job_id, call))
        _move(connection, entry, 0, None)


def set_quota(connection: sqlite3.Connection, *, user: str, month: str, quota_micros: int, now_unix_ms: int) -> None:
    """Set what a user may spend from a month on, whatever was set for later ones."""
    connection.execute(_FORGET_LATER_QUOTAS, (user, month))
    connection.execute(_PUT_QUOTA, (user, month, quota_micros, now_unix_ms))
    connection.execute(_TELL_QUOTA, (quota_micros, user, month))


def _hold(connection: sqlite3.Connection, call: Call) -> bool:
    """Hold the estimate in the total, if the quota allows it, then in the provider's account and in an entry."""
    price, now = call.price, call.now_unix_ms
    quota_micros = quota_in_force(connection, call.user, call.month, call.quota_micros)
    for provider in (TOTAL, price.provider):
        connection.execute(_INSERT_ACCOUNT, (call.user, call.month, provider, quota_micros, now))
    names: dict[str, str | int] = {
        "user": call.user,
        "month": call.month,
        "total": TOTAL,
        "provider": price.provider,
        "estimate": call.estimate_micros,
        "quota": quota_micros,
        "unlimited": call.unlimited,
        "now": now,
    }
    if connection.execute(_HOLD_IN_TOTAL, names).rowcount == 0:
        return False
    connection.execute(_HOLD, names)
    prices = (price.valid_from, price.input_micros, price.cached_micros, price.output_micros)
    whose = (call.job_id, call.number, call.user, call.month, price.provider, price.model)
    connection.execute(_INSERT_ENTRY, (*whose, *prices, call.estimate_micros, now))
    return True


def _refuse(connection: sqlite3.Connection, call: Call) -> None:
    now = standing(connection, call.user, call.month, call.quota_micros)
    whose = (call.job_id, call.user, call.month, call.price.provider, call.price.model)
    amounts = (call.estimate_micros, now.spent_micros, now.reserved_micros, now.quota_micros)
    stored = connection.execute(_INSERT_REFUSAL, (*whose, *amounts, call.now_unix_ms))
    assert stored.lastrowid is not None
    connection.execute(_FORGET_REFUSALS, (stored.lastrowid - REFUSALS_MAX,))


def _move(connection: sqlite3.Connection, entry: EntryValues, paid_micros: int, now_unix_ms: int | None) -> None:
    """Add to both accounts of an entry what is paid, and take away what it held."""
    names = {
        "user": entry.user,
        "month": entry.month,
        "total": TOTAL,
        "provider": entry.provider,
        "paid": paid_micros,
        "held": entry.reserved_micros if entry.state == "reserved" else 0,
        "now": now_unix_ms,
    }
    if connection.execute(_MOVE, names).rowcount != 2:
        raise DamageError(f"an account of {entry.month} is missing that an entry was reserved in")
