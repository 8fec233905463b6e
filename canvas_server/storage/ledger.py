"""Accounts and the bill kept in SQL, in a file or in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from canvas_server.core.job import JobId
from canvas_server.core.job_ports import Call, Entry, LedgerTally
from canvas_server.core.quota import Account, Standing
from canvas_server.core.usage import Usage
from canvas_server.storage import ledger_reads, ledger_tally, ledger_writes
from canvas_server.storage.transactions import Transactions


class SqliteLedgerStore:
    """The `LedgerStore`; every method is one transaction.

    Args:
        transactions: open, and left open.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def reserve(self, call: Call) -> Standing | None:
        """Hold the worst case of a call; None, with the refusal stored, where the quota does not cover it."""
        return await self._transactions.write(partial(ledger_writes.reserve, call=call))

    async def settle(self, job_id: JobId, call: int, usage: Usage, cost_micros: int, now_unix_ms: int) -> Standing:
        """Turn what was held for a call into what it cost, in the month it was reserved in.

        Raises:
            ValueError: the call was never reserved, or costs less than nothing.
        """
        work = partial(
            ledger_writes.settle,
            job_id=job_id,
            call=call,
            usage=usage,
            cost_micros=cost_micros,
            now_unix_ms=now_unix_ms,
        )
        return await self._transactions.write(work)

    async def release(self, job_id: JobId, call: int) -> None:
        """Let go of what was held for a call that was never sent."""
        await self._transactions.write(partial(ledger_writes.release, job_id=job_id, call=call))

    async def find(self, job_id: JobId, call: int) -> Entry | None:
        """Return the line of the bill of a call."""
        return await self._transactions.read(partial(ledger_reads.find, job_id=job_id, call=call))

    async def open_calls(self) -> Sequence[tuple[JobId, int]]:
        """Return the calls that are reserved and not settled, oldest first."""
        return await self._transactions.read(ledger_reads.open_calls)

    async def standing(self, user: str, month: str, quota_micros: int) -> Standing:
        """Return where a user stands."""
        return await self._transactions.read(
            partial(ledger_reads.standing, user=user, month=month, default_micros=quota_micros)
        )

    async def accounts(self, user: str, month: str) -> Sequence[Account]:
        """Return the accounts of a month, the total first, then by provider."""
        return await self._transactions.read(partial(ledger_reads.accounts, user=user, month=month))

    async def entries(self, user: str, month: str, provider: str | None, limit: int) -> Sequence[Entry]:
        """Return the newest lines of the bill, newest first."""
        work = partial(ledger_reads.entries, user=user, month=month, provider=provider, limit=limit)
        return await self._transactions.read(work)

    async def set_quota(self, user: str, month: str, quota_micros: int, now_unix_ms: int) -> None:
        """Set what a user may spend, from `month` on."""
        work = partial(
            ledger_writes.set_quota, user=user, month=month, quota_micros=quota_micros, now_unix_ms=now_unix_ms
        )
        await self._transactions.write(work)

    async def tally(self, month: str) -> LedgerTally:
        """Return what all accounts sum to at one moment."""
        return await self._transactions.read(partial(ledger_tally.tally, month=month))
