"""The ledger: nobody passes a quota, whatever runs at once, and the lines of the bill always sum to the account."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from canvas_server.core.errors import StorageCorruptError
from canvas_server.core.job import JobId
from canvas_server.core.job_ports import Spending
from canvas_server.core.quota import TOTAL, Standing
from canvas_server.core.usage import Usage
from canvas_server.storage import ledger_writes
from canvas_server.storage.database import open_database
from canvas_server.storage.ledger import SqliteLedgerStore
from canvas_server.storage.transactions import Transactions, open_memory
from tests.storage.billing import MONTH, NOW, USER, books, call, estimated, price, reported

JOB = JobId("job")
NEXT_MONTH = "2026-12"


@asynccontextmanager
async def in_memory(_data_dir: Path) -> AsyncIterator[Transactions]:
    async with open_memory() as transactions:
        yield transactions


Opening = Callable[[Path], AbstractAsyncContextManager[Transactions]]
KINDS: dict[str, Opening] = {"sqlite": open_database, "memory": in_memory}


@pytest.fixture(params=KINDS)
async def transactions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Transactions]:
    async with KINDS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def ledger(transactions: Transactions) -> SqliteLedgerStore:
    return SqliteLedgerStore(transactions)


def amounts(standing: Standing | None) -> tuple[int, int, int]:
    assert standing is not None
    assert (standing.user, standing.month) == (USER, MONTH)
    return standing.spent_micros, standing.reserved_micros, standing.quota_micros


@pytest.mark.parametrize(("estimate", "is_allowed"), [(399, True), (400, False), (401, False)])
async def test_what_is_spent_and_held_stays_below_the_quota(
    ledger: SqliteLedgerStore, transactions: Transactions, estimate: int, is_allowed: bool
) -> None:
    await ledger.reserve(call("spent", estimate_micros=500))
    await ledger.settle(JobId("spent"), 1, reported(), 500, NOW)
    await ledger.reserve(call("held", estimate_micros=100))

    standing = await ledger.reserve(call(estimate_micros=estimate))

    assert (standing is not None) == is_allowed
    if is_allowed:
        assert amounts(standing) == (500, 100 + estimate, 1_000)
    assert (await books(transactions))[USER, MONTH, TOTAL] == (500, 100 + estimate * is_allowed)


async def test_a_refusal_is_stored_with_how_things_stood_and_holds_nothing(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call("held", estimate_micros=900))

    assert await ledger.reserve(call("refused", estimate_micros=200)) is None

    refusals = await transactions.read(lambda connection: connection.execute("SELECT * FROM cost_refusal").fetchall())
    assert [row[1:] for row in refusals] == [
        ("refused", USER, MONTH, "openai", "gpt-5.2", 200, 0, 900, 1_000, NOW),
    ]
    assert list(await ledger.open_calls()) == [("held", 1)]
    assert (await books(transactions))[USER, MONTH, "openai"] == (0, 900)


async def test_only_so_many_refusals_are_kept(
    ledger: SqliteLedgerStore, transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_writes, "REFUSALS_MAX", 3)
    for number in range(5):
        await ledger.reserve(call(f"job-{number}", quota_micros=0))

    kept = await transactions.read(lambda connection: connection.execute("SELECT job_id FROM cost_refusal").fetchall())
    assert kept == [("job-2",), ("job-3",), ("job-4",)]


async def test_whoever_is_not_held_to_the_quota_passes_it(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    standing = await ledger.reserve(call(estimate_micros=5_000, unlimited=True))

    assert amounts(standing) == (0, 5_000, 1_000)
    assert await ledger.reserve(call("other", estimate_micros=0)) is None
    await books(transactions)


async def test_reserving_the_same_call_again_changes_nothing(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    first = await ledger.reserve(call(estimate_micros=600))
    again = await ledger.reserve(call(estimate_micros=600))
    await ledger.settle(JOB, 1, reported(), 600, NOW)
    settled = await ledger.reserve(call(estimate_micros=600))

    assert first == again
    assert amounts(settled) == (600, 0, 1_000)
    assert len(await ledger.entries(USER, MONTH, None, 10)) == 1
    await books(transactions)


async def test_each_call_of_a_job_is_held_for_itself(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call(number=1))
    standing = await ledger.reserve(call(number=2))

    assert amounts(standing) == (0, 200, 1_000)
    assert list(await ledger.open_calls()) == [(JOB, 1), (JOB, 2)]


async def test_a_call_is_settled_once(ledger: SqliteLedgerStore, transactions: Transactions) -> None:
    await ledger.reserve(call())

    first = await ledger.settle(JOB, 1, reported(), 42, NOW + 5)
    again = await ledger.settle(JOB, 1, reported(99), 77, NOW + 9)

    assert amounts(first) == amounts(again) == (42, 0, 1_000)
    (entry,) = await ledger.entries(USER, MONTH, None, 10)
    assert (entry.cost_micros, entry.usage, entry.state) == (42, reported(), "settled")
    assert (entry.created_unix_ms, entry.settled_unix_ms) == (NOW, NOW + 5)
    assert (await books(transactions)) == {(USER, MONTH, TOTAL): (42, 0), (USER, MONTH, "openai"): (42, 0)}


@pytest.mark.parametrize("told_micros", [30, 80])
async def test_an_estimate_is_corrected_once_by_what_the_provider_tells(
    ledger: SqliteLedgerStore, transactions: Transactions, told_micros: int
) -> None:
    await ledger.reserve(call())
    await ledger.settle(JOB, 1, estimated(), 50, NOW)
    assert amounts(await ledger.settle(JOB, 1, estimated(5), 10, NOW)) == (50, 0, 1_000)

    assert amounts(await ledger.settle(JOB, 1, reported(), told_micros, NOW)) == (told_micros, 0, 1_000)
    assert amounts(await ledger.settle(JOB, 1, reported(), 99, NOW)) == (told_micros, 0, 1_000)
    assert amounts(await ledger.settle(JOB, 1, estimated(), 99, NOW)) == (told_micros, 0, 1_000)
    await books(transactions)


async def test_what_a_call_cost_above_its_estimate_is_paid_all_the_same(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call(estimate_micros=100))

    assert amounts(await ledger.settle(JOB, 1, reported(), 5_000, NOW)) == (5_000, 0, 1_000)
    await books(transactions)


async def test_a_released_call_holds_nothing_and_can_be_reserved_anew(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call(estimate_micros=600))
    await ledger.release(JOB, 1)
    await ledger.release(JOB, 1)
    assert (await books(transactions))[USER, MONTH, TOTAL] == (0, 0)
    assert list(await ledger.open_calls()) == []

    await ledger.reserve(call("other", estimate_micros=600))
    assert await ledger.reserve(call(estimate_micros=600)) is None
    assert amounts(await ledger.reserve(call(estimate_micros=300))) == (0, 900, 1_000)
    await books(transactions)


async def test_releasing_a_settled_or_unknown_call_changes_nothing(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call())
    await ledger.settle(JOB, 1, reported(), 42, NOW)
    await ledger.release(JOB, 1)
    await ledger.release(JobId("unknown"), 1)

    assert (await books(transactions))[USER, MONTH, TOTAL] == (42, 0)


async def test_a_call_that_was_released_too_soon_is_paid_when_it_is_billed(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call())
    await ledger.release(JOB, 1)

    assert amounts(await ledger.settle(JOB, 1, reported(), 42, NOW)) == (42, 0, 1_000)
    await books(transactions)


@pytest.mark.parametrize(("job_id", "cost_micros"), [("unknown", 1), ("job", -1)])
async def test_what_cannot_be_settled_is_refused_and_changes_nothing(
    ledger: SqliteLedgerStore, transactions: Transactions, job_id: str, cost_micros: int
) -> None:
    await ledger.reserve(call())

    with pytest.raises(ValueError, match=job_id):
        await ledger.settle(JobId(job_id), 1, reported(), cost_micros, NOW)
    assert (await books(transactions))[USER, MONTH, TOTAL] == (0, 100)


async def test_a_call_is_settled_in_the_month_it_was_reserved_in(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call("old", estimate_micros=900))
    standing = await ledger.reserve(call("new", month=NEXT_MONTH, estimate_micros=900))
    assert standing is not None
    assert standing.month == NEXT_MONTH

    settled = await ledger.settle(JobId("old"), 1, reported(), 42, NOW + 40 * 86_400_000)

    assert amounts(settled) == (42, 0, 1_000)
    accounts = await books(transactions)
    assert accounts[USER, MONTH, TOTAL] == (42, 0)
    assert accounts[USER, NEXT_MONTH, TOTAL] == (0, 900)


async def test_a_changed_default_holds_in_the_open_month(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call("a", estimate_micros=900))

    assert await ledger.reserve(call("b", estimate_micros=900, quota_micros=1_000)) is None
    assert amounts(await ledger.reserve(call("b", estimate_micros=900, quota_micros=2_000))) == (0, 1_800, 2_000)
    assert await ledger.reserve(call("c", estimate_micros=1, quota_micros=500)) is None
    assert amounts(await ledger.standing(USER, MONTH, 500)) == (0, 1_800, 500)


async def test_a_quota_that_an_admin_set_holds_from_its_month_on_whatever_the_default(
    ledger: SqliteLedgerStore,
) -> None:
    await ledger.set_quota(USER, MONTH, 50, NOW)

    assert await ledger.reserve(call(estimate_micros=50)) is None
    assert amounts(await ledger.reserve(call(estimate_micros=49))) == (0, 49, 50)
    assert (await ledger.standing(USER, "2026-10", 1_000)).quota_micros == 1_000
    assert (await ledger.standing(USER, NEXT_MONTH, 1_000)).quota_micros == 50
    assert (await ledger.standing("bob", MONTH, 1_000)).quota_micros == 1_000


async def test_a_later_quota_replaces_an_earlier_one_and_one_set_for_the_past_those_after_it(
    ledger: SqliteLedgerStore,
) -> None:
    async def quotas() -> list[int]:
        months = ("2026-10", MONTH, NEXT_MONTH, "2027-01")
        return [(await ledger.standing(USER, month, 0)).quota_micros for month in months]

    await ledger.set_quota(USER, MONTH, 10, NOW)
    await ledger.set_quota(USER, "2027-01", 30, NOW)
    assert await quotas() == [0, 10, 10, 30]
    await ledger.set_quota(USER, NEXT_MONTH, 20, NOW)
    assert await quotas() == [0, 10, 20, 20]
    await ledger.set_quota(USER, NEXT_MONTH, 25, NOW)
    assert await quotas() == [0, 10, 25, 25]


async def test_accounts_come_with_the_total_first_and_then_by_provider(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call("a", provider="openai", estimate_micros=1))
    await ledger.reserve(call("b", provider="mistral", estimate_micros=2))
    await ledger.settle(JobId("b"), 1, reported(), 2, NOW + 7)

    accounts = await ledger.accounts(USER, MONTH)

    assert [(one.provider, one.amount_micros, one.reserved_micros) for one in accounts] == [
        (TOTAL, 2, 1),
        ("mistral", 2, 0),
        ("openai", 0, 1),
    ]
    assert [one.updated_unix_ms for one in accounts] == [NOW + 7, NOW + 7, NOW]
    assert {one.quota_micros for one in accounts} == {1_000}
    assert not await ledger.accounts(USER, NEXT_MONTH)


async def test_entries_come_newest_first_of_one_month_and_one_provider_if_asked(ledger: SqliteLedgerStore) -> None:
    for number, provider in enumerate(("openai", "mistral", "openai")):
        await ledger.reserve(call(f"job-{number}", provider=provider, estimate_micros=1))
    await ledger.reserve(call("later", month=NEXT_MONTH))

    async def jobs(provider: str | None, limit: int) -> list[str]:
        return [entry.job_id for entry in await ledger.entries(USER, MONTH, provider, limit)]

    assert await jobs(None, 10) == ["job-2", "job-1", "job-0"]
    assert await jobs(None, 2) == ["job-2", "job-1"]
    assert await jobs("openai", 10) == ["job-2", "job-0"]
    assert await jobs("nobody", 10) == []


async def test_an_entry_tells_the_price_that_was_in_force(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call(provider="mistral"))

    entry = await ledger.find(JOB, 1)

    assert entry is not None
    assert entry.price == price("mistral")
    assert (entry.state, entry.cost_micros, entry.settled_unix_ms) == ("reserved", 0, None)
    assert entry.usage == Usage(input_tokens=0, output_tokens=0, estimated=True)
    assert await ledger.find(JOB, 2) is None


async def test_of_a_hundred_that_reserve_at_once_only_those_that_fit_are_allowed(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    await ledger.reserve(call("spent", estimate_micros=930))
    await ledger.settle(JobId("spent"), 1, reported(), 930, NOW)

    told = await asyncio.gather(*(ledger.reserve(call(f"job-{number}", estimate_micros=7)) for number in range(100)))

    assert sum(standing is not None for standing in told) == 9
    assert (await books(transactions))[USER, MONTH, TOTAL] == (930, 63)


async def test_a_caller_that_is_cancelled_leaves_a_whole_reservation_or_none(
    ledger: SqliteLedgerStore, transactions: Transactions
) -> None:
    tasks = [asyncio.ensure_future(ledger.reserve(call(f"job-{number}", estimate_micros=1))) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    held = (await books(transactions))[USER, MONTH, TOTAL][1]
    assert 25 <= held == len(await ledger.open_calls())


async def test_a_ledger_of_a_database_that_lost_an_account_is_told_damaged(tmp_path: Path) -> None:
    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM cost_usage WHERE provider = 'openai'")

    async with open_database(tmp_path) as database:
        ledger = SqliteLedgerStore(database)
        await ledger.reserve(call())
        await database.write(lose)
        with pytest.raises(StorageCorruptError, match="account of 2026-11 is missing"):
            await ledger.settle(JOB, 1, reported(), 1, NOW)
        assert list(await ledger.open_calls()) == [(JOB, 1)]


async def test_the_tally_sums_all_users_by_provider_and_tells_the_month_by_itself(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call("a", estimate_micros=50))
    await ledger.settle(JobId("a"), 1, reported(10), 40, NOW)
    await ledger.reserve(msgspec.structs.replace(call("b", estimate_micros=50, month=NEXT_MONTH), user="bob"))
    await ledger.settle(JobId("b"), 1, reported(5), 20, NOW)
    await ledger.reserve(call("c", estimate_micros=30))
    await ledger.reserve(call("d", estimate_micros=7, provider="mistral"))
    await ledger.release(JobId("d"), 1)
    tally = await ledger.tally(MONTH)
    mistral, openai = tally.spending
    assert mistral == Spending(provider="mistral")
    assert openai == Spending(
        provider="openai",
        told=Usage(input_tokens=15, output_tokens=30, cached_tokens=6),
        told_micros=60,
        month_micros=40,
        reserved_micros=30,
    )
    assert tally.refusals == 0


async def test_what_the_tally_tells_as_reported_never_becomes_less(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call("a", estimate_micros=100))
    await ledger.settle(JobId("a"), 1, estimated(10), 90, NOW)
    (before,) = (await ledger.tally(MONTH)).spending
    assert (before.told_micros, before.estimated_micros, before.month_micros) == (0, 90, 90)
    assert before.estimated == estimated(10)
    await ledger.settle(JobId("a"), 1, reported(10), 30, NOW)
    (after,) = (await ledger.tally(MONTH)).spending
    assert (after.told_micros, after.estimated_micros, after.month_micros) == (30, 0, 30)
    assert (after.told, after.estimated.input_tokens) == (reported(10), 0)


async def test_more_cached_tokens_than_input_count_as_all_of_it(ledger: SqliteLedgerStore) -> None:
    await ledger.reserve(call("a"))
    await ledger.settle(JobId("a"), 1, Usage(input_tokens=5, output_tokens=1, cached_tokens=9), 1, NOW)
    (spending,) = (await ledger.tally(MONTH)).spending
    assert spending.told.cached_tokens == 5


async def test_refusals_are_counted_also_when_the_oldest_are_let_go(
    ledger: SqliteLedgerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_writes, "REFUSALS_MAX", 2)
    for number in range(5):
        assert await ledger.reserve(call(f"job-{number}", estimate_micros=2_000)) is None
    tally = await ledger.tally(MONTH)
    assert tally.refusals == 5
    assert tally.spending == [Spending(provider="openai")]
