"""The ledger against a plain model: reserve, settle, correct and release in any order, in several months at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache, partial
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from canvas_server.core.job import JobId
from canvas_server.core.quota import TOTAL
from canvas_server.storage import ledger_reads, ledger_writes, migrations
from canvas_server.storage.connection import run_transaction
from tests.storage.billing import NOW, USER, call, estimated, reported

Result = TypeVar("Result")

MONTHS = ("2026-11", "2026-12", "2027-01")
PROVIDERS = ("openai", "mistral")

jobs = st.builds(JobId, st.sampled_from(("a", "b", "c", "d", "e")))
numbers = st.integers(1, 2)
amounts = st.sampled_from((0, 1, 33, 99, 100, 101)) | st.integers(0, 120)


@cache
def template() -> bytes:
    """Return an empty database with the newest schema; copying it is quicker than migrating another one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.upgrade_connection(connection)
        return connection.serialize()


class Line:
    """What the model knows of a call."""

    def __init__(self, month: str, provider: str, held: int) -> None:
        self.month = month
        self.provider = provider
        self.held = held
        self.paid = 0
        self.state = "reserved"
        self.estimated = True


class LedgerMachine(RuleBasedStateMachine):
    """Does to the ledger and to the model the same, and compares what they tell."""

    @initialize()
    def begin(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(template())
        self.lines: dict[tuple[JobId, int], Line] = {}
        self.quotas: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    @rule(
        job=jobs,
        number=numbers,
        estimate=amounts,
        default=st.sampled_from((0, 100, 300)),
        month=st.sampled_from(MONTHS),
        provider=st.sampled_from(PROVIDERS),
        unlimited=st.booleans(),
    )
    def reserve(
        self, job: JobId, number: int, estimate: int, default: int, month: str, provider: str, unlimited: bool
    ) -> None:
        asked = call(
            job,
            number,
            estimate_micros=estimate,
            quota_micros=default,
            month=month,
            provider=provider,
            unlimited=unlimited,
        )
        known = self.lines.get((job, number))
        is_held = known is not None and known.state != "released"
        quota = self.quota(month, default)
        fits = sum(self.sums(month, TOTAL)) + estimate < quota

        standing = self.run(lambda connection: ledger_writes.reserve(connection, asked))

        assert (standing is not None) == (is_held or unlimited or fits)
        if standing is None or is_held:
            return
        self.lines[job, number] = Line(month, provider, estimate)
        assert (standing.spent_micros, standing.reserved_micros) == self.sums(month, TOTAL)
        assert standing.quota_micros == quota
        assert unlimited or standing.spent_micros + standing.reserved_micros < quota

    @rule(job=jobs, number=numbers, cost=amounts, is_estimated=st.booleans())
    def settle(self, job: JobId, number: int, cost: int, is_estimated: bool) -> None:
        line = self.lines.get((job, number))
        if line is None:
            return
        usage = replace(estimated() if is_estimated else reported(), input_tokens=cost + 1)
        self.run(
            lambda connection: ledger_writes.settle(
                connection, job_id=job, call=number, usage=usage, cost_micros=cost, now_unix_ms=NOW
            )
        )
        if line.state != "settled" or (line.estimated and not is_estimated):
            line.state, line.paid, line.held, line.estimated = "settled", cost, 0, is_estimated

    @rule(job=jobs, number=numbers)
    def release(self, job: JobId, number: int) -> None:
        self.run(lambda connection: ledger_writes.release(connection, job, number))
        line = self.lines.get((job, number))
        if line is not None and line.state == "reserved":
            line.state, line.held = "released", 0

    @rule(month=st.sampled_from(MONTHS), quota=st.sampled_from((0, 50, 150)))
    def set_quota(self, month: str, quota: int) -> None:
        self.run(
            lambda connection: ledger_writes.set_quota(
                connection, user=USER, month=month, quota_micros=quota, now_unix_ms=NOW
            )
        )
        self.quotas = {other: set_ for other, set_ in self.quotas.items() if other < month} | {month: quota}

    @invariant()
    def the_books_are_those_of_the_model(self) -> None:
        if not hasattr(self, "connection"):
            return
        for month in MONTHS:
            accounts = self.run(partial(ledger_reads.accounts, user=USER, month=month))
            for account in accounts:
                sums = (account.amount_micros, account.reserved_micros)
                assert sums == self.sums(month, account.provider)
                assert min(sums) >= 0
            entries = self.run(partial(ledger_reads.entries, user=USER, month=month, provider=None, limit=100))
            assert sum(entry.cost_micros for entry in entries) == self.sums(month, TOTAL)[0]
        open_calls = self.run(ledger_reads.open_calls)
        assert set(open_calls) == {key for key, line in self.lines.items() if line.state == "reserved"}

    def sums(self, month: str, provider: str) -> tuple[int, int]:
        """Return what the model says is paid and held."""
        lines = [line for line in self.lines.values() if line.month == month and provider in (TOTAL, line.provider)]
        return sum(line.paid for line in lines), sum(line.held for line in lines)

    def quota(self, month: str, default: int) -> int:
        """Return the quota that the model says is in force."""
        return next((quota for since, quota in sorted(self.quotas.items(), reverse=True) if since <= month), default)

    def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return run_transaction(self.connection, "BEGIN IMMEDIATE", work)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
