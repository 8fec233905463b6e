"""What all accounts in SQLite sum to; a plain function, run whole on the database as it is at one moment."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from canvas_server.core.job_ports import LedgerTally, Spending
from canvas_server.core.quota import TOTAL
from canvas_server.core.usage import Usage

_SUM_ENTRIES: Final = """
    SELECT provider, estimated, SUM(input_tokens), SUM(output_tokens), SUM(MIN(cached_tokens, input_tokens)),
    SUM(cost_micros) FROM cost_entry WHERE state = 'settled' GROUP BY provider, estimated
"""
_SUM_ACCOUNTS: Final = """
    SELECT provider, SUM(CASE WHEN month = ? THEN amount_micros ELSE 0 END), SUM(reserved_micros)
    FROM cost_usage WHERE provider <> ? GROUP BY provider
"""
# Only the oldest refusals are let go, so the newest one tells how many there have been.
_COUNT_REFUSALS: Final = "SELECT IFNULL(MAX(id), 0) FROM cost_refusal"


class _Sum(NamedTuple):
    usage: Usage
    cost_micros: int


def tally(connection: sqlite3.Connection, month: str) -> LedgerTally:
    """Return what all accounts sum to; see `LedgerStore.tally`."""
    sums = _sums(connection)
    accounts = {provider: amounts for provider, *amounts in connection.execute(_SUM_ACCOUNTS, (month, TOTAL))}
    spending = []
    for provider in sorted({*(provider for provider, _ in sums), *accounts}):
        told, estimated = (sums.get((provider, flag), _nothing(estimated=flag)) for flag in (False, True))
        month_micros, reserved_micros = accounts.get(provider, (0, 0))
        spending.append(
            Spending(
                provider=provider,
                told=told.usage,
                told_micros=told.cost_micros,
                estimated=estimated.usage,
                estimated_micros=estimated.cost_micros,
                month_micros=month_micros,
                reserved_micros=reserved_micros,
            )
        )
    return LedgerTally(spending, connection.execute(_COUNT_REFUSALS).fetchone()[0])


def _sums(connection: sqlite3.Connection) -> dict[tuple[str, bool], _Sum]:
    """Return what was settled by provider, and by whether it was estimated."""
    return {
        (provider, bool(estimated)): _Sum(
            Usage(input_tokens=inputs, output_tokens=outputs, cached_tokens=cached, estimated=bool(estimated)),
            cost_micros,
        )
        for provider, estimated, inputs, outputs, cached, cost_micros in connection.execute(_SUM_ENTRIES)
    }


def _nothing(*, estimated: bool) -> _Sum:
    return _Sum(Usage(input_tokens=0, output_tokens=0, estimated=estimated), 0)
