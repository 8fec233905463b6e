"""Calls to bill, and what the books must always say."""

from __future__ import annotations

import sqlite3

from canvas_server.core.job import JobId
from canvas_server.core.job_ports import Call
from canvas_server.core.quota import TOTAL
from canvas_server.core.usage import Price, Usage
from canvas_server.storage.transactions import Transactions

USER = "anna"
MONTH = "2026-11"
NOW = 1_795_000_000_000

Books = dict[tuple[str, str, str], tuple[int, int]]
"""Amount and reserved, by user, month and provider."""


def price(provider: str = "openai", model: str = "gpt-5.2") -> Price:
    """Return a price."""
    return Price(
        provider=provider,
        model=model,
        valid_from="2026-01-01",
        input_micros=1_750_000,
        cached_micros=175_000,
        output_micros=14_000_000,
    )


def call(
    job_id: str = "job",
    number: int = 1,
    *,
    estimate_micros: int = 100,
    quota_micros: int = 1_000,
    month: str = MONTH,
    provider: str = "openai",
    unlimited: bool = False,
) -> Call:
    """Return a call that is about to be made."""
    return Call(
        job_id=JobId(job_id),
        number=number,
        user=USER,
        month=month,
        price=price(provider),
        estimate_micros=estimate_micros,
        quota_micros=quota_micros,
        unlimited=unlimited,
        now_unix_ms=NOW,
    )


def reported(tokens: int = 10) -> Usage:
    """Return what a provider told."""
    return Usage(input_tokens=tokens, output_tokens=2 * tokens, cached_tokens=3)


def estimated(tokens: int = 10) -> Usage:
    """Return what was counted here."""
    return Usage(input_tokens=tokens, output_tokens=2 * tokens, estimated=True)


async def books(transactions: Transactions) -> Books:
    """Return all accounts, once they are checked: the entries sum to them, and nothing is negative."""
    accounts, entries = await transactions.read(_accounts), await transactions.read(_entries)
    summed: Books = {}
    for (user, month, provider), (amount, reserved) in entries.items():
        for name in (provider, TOTAL):
            before = summed.get((user, month, name), (0, 0))
            summed[user, month, name] = (before[0] + amount, before[1] + reserved)
    assert {key: sums for key, sums in accounts.items() if sums != (0, 0)} == {
        key: sums for key, sums in summed.items() if sums != (0, 0)
    }
    assert all(amount >= 0 and reserved >= 0 for amount, reserved in accounts.values())
    return accounts


def _accounts(connection: sqlite3.Connection) -> Books:
    rows = connection.execute("SELECT user, month, provider, amount_micros, reserved_micros FROM cost_usage")
    return {(user, month, provider): (amount, reserved) for user, month, provider, amount, reserved in rows}


def _entries(connection: sqlite3.Connection) -> Books:
    rows = connection.execute(
        "SELECT user, month, provider, sum(cost_micros), sum(iif(state = 'reserved', reserved_micros, 0))"
        " FROM cost_entry GROUP BY user, month, provider"
    )
    return {(user, month, provider): (amount, reserved) for user, month, provider, amount, reserved in rows}
