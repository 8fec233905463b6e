"""What calls may cost and did: prices, the month and the quota joined with the ledger.

Rule: whoever calls a provider reserves the worst case first and settles with what was reported; what is free is
written down too, at no cost, so that its use is seen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from math import ceil
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from canvas_server.core.job import JobId
from canvas_server.core.job_ports import Call, Entry, LedgerStore, LedgerTally
from canvas_server.core.ports import Clock
from canvas_server.core.quota import Account, QuotaExceededError, Standing
from canvas_server.core.usage import Price, Usage, cost_micros
from canvas_server.generation.months import Months
from canvas_server.generation.pricing import ListedPrice, PriceTable

log = logging.getLogger(__name__)

_MICROS: Final = 1_000_000


class CostRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decided about money."""

    zone: ZoneInfo
    """Where months and days begin."""
    quota_micros: int
    """What each user may spend in a month, unless an admin set something else."""
    currency: str
    warn_percent: int
    """Share of the quota from which calls are warned about."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a call may cost at most."""

    price: Price
    micros: int


class CostControl:
    """Lets nobody spend more than their quota, and writes the bill.

    Args:
        ledger: keeps the accounts.
        prices: of all models.
        clock: tells which month and day it is.
        rules: of the operator.
    """

    def __init__(self, ledger: LedgerStore, prices: PriceTable, clock: Clock, rules: CostRules) -> None:
        self._ledger = ledger
        self._prices = prices
        self._clock = clock
        self._rules = rules
        self._months = Months(rules.zone)

    @property
    def currency(self) -> str:
        """In which all amounts are."""
        return self._rules.currency

    def prices(self) -> Sequence[ListedPrice]:
        """Return the prices in force today."""
        return self._prices.on(self._today())

    def price(self, provider: str, model: str) -> Price:
        """Return today's price of a model.

        Raises:
            PriceUnknownError: it has none.
        """
        return self._prices.find(provider, model, self._today())

    def cost(self, usage: Usage, price: Price) -> int:
        """Return what usage costs, in millionths of the currency."""
        return cost_micros(usage, price)

    def estimate(self, provider: str, model: str, input_tokens: int, max_output_tokens: int) -> Estimate:
        """Return what a call may cost at most, at today's price.

        Raises:
            PriceUnknownError: the model has none.
        """
        price = self.price(provider, model)
        worst = Usage(input_tokens=input_tokens, output_tokens=max_output_tokens)
        # Some providers take more for what they put into their cache than for plain input.
        dearest = msgspec.structs.replace(price, input_micros=max(price.input_micros, price.cached_micros))
        return Estimate(price=price, micros=cost_micros(worst, dearest))

    async def reserve(
        self, job_id: JobId, call: int, user: str, estimate: Estimate, *, unlimited: bool = False
    ) -> Standing:
        """Hold what a call may cost, before it is made; the same call again changes nothing.

        Args:
            job_id: whose call.
            call: its number, from 1.
            user: who pays.
            estimate: of the call; what is free is never refused.
            unlimited: an admin asks; it is logged where the quota would have refused.

        Raises:
            QuotaExceededError: the quota does not cover it; stored and logged.
        """
        now_unix_ms = self._clock.now_ms()
        asked = Call(
            job_id=job_id,
            number=call,
            user=user,
            month=self._months.month(now_unix_ms),
            price=estimate.price,
            estimate_micros=estimate.micros,
            quota_micros=self._rules.quota_micros,
            unlimited=unlimited or estimate.price.free,
            now_unix_ms=now_unix_ms,
        )
        standing = await self._ledger.reserve(asked)
        if standing is None:
            raise await self._refusal(asked)
        if not estimate.price.free:
            self._warn(asked, standing)
        return standing

    async def settle(self, job_id: JobId, call: int, usage: Usage) -> int:
        """Pay for a call what it cost, at the price it was reserved at; again changes nothing.

        Args:
            job_id: whose call.
            call: its number.
            usage: as reported; or estimated, which a report may correct later.

        Returns:
            what it cost, in millionths of the currency.

        Raises:
            ValueError: the call was never reserved.
        """
        entry = await self._entry(job_id, call)
        if entry.state == "settled" and (usage.estimated or not entry.usage.estimated):
            return entry.cost_micros
        cost = cost_micros(usage, entry.price)
        await self._ledger.settle(job_id, call, usage, cost, self._clock.now_ms())
        return cost

    async def settled(self, job_id: JobId, call: int) -> Usage:
        """Return what a call was settled with.

        Raises:
            ValueError: the call was never reserved.
        """
        return (await self._entry(job_id, call)).usage

    async def holds(self, job_id: JobId, call: int) -> bool:
        """Tell whether the worst case of a call is held."""
        entry = await self._ledger.find(job_id, call)
        return entry is not None and entry.state == "reserved"

    async def release(self, job_id: JobId, call: int) -> None:
        """Let go of what was held for a call that was never sent to a provider."""
        await self._ledger.release(job_id, call)

    async def open_calls(self) -> Sequence[tuple[JobId, int]]:
        """Return the calls that are held and not settled."""
        return await self._ledger.open_calls()

    async def standing(self, user: str, month: str | None = None) -> Standing:
        """Return where a user stands, this month unless told."""
        return await self._ledger.standing(user, month or self.this_month(), self._rules.quota_micros)

    async def accounts(self, user: str, month: str) -> Sequence[Account]:
        """Return the accounts of a month, the total first, then by provider."""
        return await self._ledger.accounts(user, month)

    async def entries(self, user: str, month: str, provider: str | None, limit: int) -> Sequence[Entry]:
        """Return the newest lines of the bill, newest first."""
        return await self._ledger.entries(user, month, provider, limit)

    async def set_quota(self, user: str, quota_micros: int, by: str) -> Standing:
        """Set what a user may spend, from this month on; `by` is who decided."""
        now_unix_ms = self._clock.now_ms()
        await self._ledger.set_quota(user, self._months.month(now_unix_ms), quota_micros, now_unix_ms)
        log.info("quota set", extra={"user": user, "quota_micros": quota_micros, "by": by})
        return await self.standing(user)

    async def tally(self) -> LedgerTally:
        """Return what all accounts sum to, with this month by itself."""
        return await self._ledger.tally(self.this_month())

    def warns(self, standing: Standing) -> bool:
        """Tell whether so much of the quota is spent or held that the user is to be warned."""
        used_micros = standing.spent_micros + standing.reserved_micros
        return used_micros * 100 >= standing.quota_micros * self._rules.warn_percent

    def this_month(self) -> str:
        """Return the month it is, `YYYY-MM`."""
        return self._months.month(self._clock.now_ms())

    def resets_at(self, month: str) -> datetime:
        """Return when a month is over: the first moment of the next one, with its offset from UTC."""
        return self._months.end(month)

    def _today(self) -> date:
        return self._months.day(self._clock.now_ms())

    async def _entry(self, job_id: JobId, call: int) -> Entry:
        entry = await self._ledger.find(job_id, call)
        if entry is None:
            raise ValueError(f"call {call} of job {job_id} was not reserved")
        return entry

    async def _refusal(self, call: Call) -> QuotaExceededError:
        standing = await self._ledger.standing(call.user, call.month, call.quota_micros)
        log.warning("quota exceeded", extra=_facts(call, standing))
        resets_at = self.resets_at(call.month)
        return QuotaExceededError(
            f"the call may cost {amount_of(call.estimate_micros)} {self.currency}, and of the month's quota of"
            f" {amount_of(standing.quota_micros)} only {amount_of(standing.remaining_micros)} is left",
            standing=standing,
            resets_at=resets_at.isoformat(),
            retry_after_s=max(1, ceil(resets_at.timestamp() - call.now_unix_ms / 1000)),
            hint="Ask for less, use a cheaper model, wait for the next month, or have an admin raise the quota.",
        )

    def _warn(self, call: Call, standing: Standing) -> None:
        used_micros = standing.spent_micros + standing.reserved_micros
        if call.unlimited and used_micros >= standing.quota_micros:
            log.warning("quota passed by an admin", extra=_facts(call, standing))
        elif self.warns(standing):
            log.warning("quota nearly used", extra=_facts(call, standing))


def amount_of(micros: int) -> float:
    """Return an amount as it is shown: in the currency, with 4 decimals, half of the last one rounded up."""
    return (micros + 50) // 100 / 10_000


def micros_of(amount: float) -> int:
    """Return an amount of the currency in millionths."""
    return round(amount * _MICROS)


def _facts(call: Call, standing: Standing) -> Mapping[str, object]:
    return {
        "job_id": call.job_id,
        "user": call.user,
        "provider": call.price.provider,
        "model": call.price.model,
        "estimate_micros": call.estimate_micros,
        "spent_micros": standing.spent_micros,
        "reserved_micros": standing.reserved_micros,
        "quota_micros": standing.quota_micros,
    }
