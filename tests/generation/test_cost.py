"""What calls may cost and did: estimates, refusals, warnings, months and zones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.job import JobId
from canvas_server.core.quota import QuotaExceededError, Standing
from canvas_server.core.usage import Price, Usage
from canvas_server.generation.cost import CostControl, CostRules, amount_of, micros_of
from canvas_server.generation.pricing import ListedPrice, PriceTable, PriceUnknownError
from canvas_server.storage.ledger import SqliteLedgerStore
from canvas_server.storage.transactions import open_memory

JOB = JobId("job")
USER = "anna"
MICROS = 1_000_000


class SetClock:
    """A clock that shows what it is set to."""

    def __init__(self, moment: str) -> None:
        self.set(moment)

    def set(self, moment: str) -> None:
        self.ms = round(datetime.fromisoformat(moment).timestamp() * 1000)

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return 0.0


def listed(model: str, micros: int, valid_from: str = "2026-01-01", provider: str = "openai") -> ListedPrice:
    price = Price(
        provider=provider,
        model=model,
        valid_from=valid_from,
        input_micros=micros,
        cached_micros=micros // 10,
        output_micros=4 * micros,
    )
    return ListedPrice(label=model.upper(), price=price)


PRICES = PriceTable(
    [listed("m", MICROS), listed("m", 2 * MICROS, "2026-12-01"), listed("s", MICROS, provider="mistral")]
)


def rules(zone: str = "Europe/Paris", quota_micros: int = 10_000) -> CostRules:
    return CostRules(zone=ZoneInfo(zone), quota_micros=quota_micros, currency="EUR", warn_percent=90)


@pytest.fixture
def clock() -> SetClock:
    return SetClock("2026-11-21T12:00Z")


@pytest.fixture
async def ledger() -> AsyncIterator[SqliteLedgerStore]:
    async with open_memory() as transactions:
        yield SqliteLedgerStore(transactions)


@pytest.fixture
def costs(ledger: SqliteLedgerStore, clock: SetClock) -> CostControl:
    return CostControl(ledger, PRICES, clock, rules())


def used(input_tokens: int, output_tokens: int = 0, *, estimated: bool = False) -> Usage:
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, estimated=estimated)


async def spend(costs: CostControl, micros: int, job: str = "spent") -> None:
    """Have so much spent, all of it input."""
    await costs.reserve(JobId(job), 1, USER, costs.estimate("openai", "m", micros, 0), unlimited=True)
    await costs.settle(JobId(job), 1, used(micros))


def amounts(standing: Standing) -> tuple[int, int]:
    return standing.spent_micros, standing.reserved_micros


def test_an_estimate_is_the_worst_case_at_today_s_price(costs: CostControl, clock: SetClock) -> None:
    assert costs.estimate("openai", "m", 100, 1_000).micros == 4_100
    clock.set("2026-12-01T12:00Z")
    assert costs.estimate("openai", "m", 100, 1_000).micros == 8_200
    assert costs.estimate("demo", "demo", 100, 1_000).micros == 0


def test_an_estimate_covers_a_provider_that_takes_more_for_cached_input(
    ledger: SqliteLedgerStore, clock: SetClock
) -> None:
    odd = Price(provider="p", model="m", valid_from="2026-01-01", input_micros=1, cached_micros=9, output_micros=1)
    costs = CostControl(ledger, PriceTable([ListedPrice(label="", price=odd)]), clock, rules())

    assert costs.estimate("p", "m", 10 * MICROS, 0).micros == 90


def test_a_model_without_a_price_today_cannot_be_estimated(costs: CostControl) -> None:
    with pytest.raises(PriceUnknownError):
        costs.estimate("openai", "unheard-of", 1, 1)


async def test_a_call_is_held_at_its_worst_case_and_paid_at_what_it_used(costs: CostControl) -> None:
    standing = await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 100, 1_000))
    assert amounts(standing) == (0, 4_100)

    assert await costs.settle(JOB, 1, used(100, 200)) == 900
    assert amounts(await costs.standing(USER)) == (900, 0)


async def test_settling_again_tells_what_was_paid_and_a_report_corrects_an_estimate(costs: CostControl) -> None:
    await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 100, 1_000))

    assert await costs.settle(JOB, 1, used(100, 1_000, estimated=True)) == 4_100
    assert await costs.settle(JOB, 1, used(100, 1, estimated=True)) == 4_100
    assert await costs.settle(JOB, 1, used(100, 200)) == 900
    assert await costs.settle(JOB, 1, used(100, 300)) == 900
    assert amounts(await costs.standing(USER)) == (900, 0)


async def test_a_call_is_paid_at_the_price_it_was_reserved_at(costs: CostControl, clock: SetClock) -> None:
    await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 100, 0))
    clock.set("2026-12-01T12:00Z")

    assert await costs.settle(JOB, 1, used(100)) == 100
    assert amounts(await costs.standing(USER, "2026-11")) == (100, 0)
    assert amounts(await costs.standing(USER)) == (0, 0)


async def test_what_was_never_reserved_cannot_be_settled(costs: CostControl) -> None:
    with pytest.raises(ValueError, match="call 1 of job job was not reserved"):
        await costs.settle(JOB, 1, used(1))


async def test_what_was_never_sent_is_released(costs: CostControl) -> None:
    await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 100, 1_000))
    await costs.release(JOB, 1)

    assert amounts(await costs.standing(USER)) == (0, 0)


@pytest.mark.parametrize(("estimate", "is_allowed"), [(999, True), (1_000, False), (1_001, False)])
async def test_a_call_that_may_pass_the_quota_is_refused(
    costs: CostControl, ledger: SqliteLedgerStore, estimate: int, is_allowed: bool
) -> None:
    await spend(costs, 9_000)
    asked = costs.estimate("openai", "m", estimate, 0)

    if is_allowed:
        await costs.reserve(JOB, 1, USER, asked)
    else:
        with pytest.raises(QuotaExceededError):
            await costs.reserve(JOB, 1, USER, asked)
    assert len(await ledger.open_calls()) == is_allowed


async def test_a_refusal_says_how_things_stand_and_when_the_month_is_over(
    costs: CostControl, caplog: pytest.LogCaptureFixture
) -> None:
    await spend(costs, 9_500)
    with pytest.raises(QuotaExceededError) as caught:
        await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 100, 1_000))

    error = caught.value
    assert str(error) == "the call may cost 0.0041 EUR, and of the month's quota of 0.01 only 0.0005 is left"
    assert amounts(error.standing) == (9_500, 0)
    assert error.resets_at == "2026-12-01T00:00:00+01:00"
    assert error.retry_after_s == (9 * 24 + 11) * 3600
    assert error.hint.endswith(".")
    record = caplog.records[-1]
    assert (record.levelname, record.getMessage()) == ("WARNING", "quota exceeded")
    assert (
        vars(record).items() >= {"job_id": JOB, "user": USER, "estimate_micros": 4_100, "spent_micros": 9_500}.items()
    )


@pytest.mark.parametrize(("spent", "warned"), [(8_999, False), (9_000, True)])
async def test_from_ninety_percent_on_calls_go_on_and_are_warned_about(
    costs: CostControl, caplog: pytest.LogCaptureFixture, spent: int, warned: bool
) -> None:
    standing = await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", spent, 0))

    assert costs.warns(standing) == warned
    assert [record.getMessage() for record in caplog.records] == ["quota nearly used"] * warned


async def test_an_admin_passes_the_quota_and_it_is_logged(costs: CostControl, caplog: pytest.LogCaptureFixture) -> None:
    await costs.reserve(JobId("within"), 1, USER, costs.estimate("openai", "m", 10, 0), unlimited=True)
    assert not caplog.records

    await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 20_000, 0), unlimited=True)

    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "quota passed by an admin")


async def test_what_is_free_is_never_refused_and_its_use_is_written_down(
    costs: CostControl, caplog: pytest.LogCaptureFixture
) -> None:
    await spend(costs, 20_000)
    caplog.clear()

    await costs.reserve(JOB, 1, USER, costs.estimate("local", "llama3.2", 50, 1_000))
    assert await costs.settle(JOB, 1, used(50, 70)) == 0

    (entry,) = await costs.entries(USER, "2026-11", "local", 10)
    assert (entry.state, entry.cost_micros, entry.usage) == ("settled", 0, used(50, 70))
    assert [account.provider for account in await costs.accounts(USER, "2026-11")] == ["*", "local", "openai"]
    assert not caplog.records


async def test_a_hundred_calls_at_once_never_pass_the_quota(costs: CostControl) -> None:
    await spend(costs, 9_300)
    asked = costs.estimate("openai", "m", 70, 0)

    told = await asyncio.gather(
        *(costs.reserve(JobId(f"job-{number}"), 1, USER, asked) for number in range(100)), return_exceptions=True
    )

    assert sum(isinstance(one, Standing) for one in told) == 9
    assert sum(isinstance(one, QuotaExceededError) for one in told) == 91


async def test_a_new_month_begins_with_nothing_spent(costs: CostControl, clock: SetClock) -> None:
    await spend(costs, 10_000)
    with pytest.raises(QuotaExceededError):
        await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 1, 0))

    clock.set("2026-12-01T00:00+01:00")

    assert amounts(await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 1, 0))) == (0, 2)


async def test_a_clock_that_jumps_moves_no_money(costs: CostControl, clock: SetClock) -> None:
    await costs.reserve(JOB, 1, USER, costs.estimate("openai", "m", 6_000, 0))
    for day in ("1970-01-02", "2038-01-19", "2026-12-31", "2026-11-01"):
        clock.set(f"{day}T12:00Z")
        await costs.settle(JOB, 1, used(6_000))
        assert amounts(await costs.standing(USER, "2026-11")) == (6_000, 0)
    with pytest.raises(QuotaExceededError):
        await costs.reserve(JobId("other"), 1, USER, costs.estimate("openai", "m", 4_000, 0))


async def test_a_quota_that_is_set_holds_from_this_month_on(costs: CostControl, clock: SetClock) -> None:
    standing = await costs.set_quota(USER, 50, "root")

    assert (standing.month, standing.quota_micros) == ("2026-11", 50)
    assert (await costs.standing(USER, "2026-10")).quota_micros == 10_000
    clock.set("2027-03-01T00:00Z")
    assert (await costs.standing(USER)).quota_micros == 50


@pytest.mark.parametrize(
    ("micros", "amount"), [(0, 0.0), (3_123, 0.0031), (12_500_000, 12.5), (49, 0.0), (150, 0.0002), (10**12, 10.0**6)]
)
def test_amounts_are_shown_with_four_decimals(micros: int, amount: float) -> None:
    assert amount_of(micros) == amount


@given(st.integers(0, 10**10))
def test_an_amount_of_four_decimals_is_read_as_it_is_shown(hundreds: int) -> None:
    assert micros_of(amount_of(hundreds * 100)) == hundreds * 100
