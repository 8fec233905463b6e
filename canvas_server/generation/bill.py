"""What a job costs: its calls, each held before it is made and settled once, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from canvas_server.core.job import Job
from canvas_server.core.job_event import Metadata, QuotaShare
from canvas_server.core.quota import Standing
from canvas_server.core.tracer import Fact
from canvas_server.core.usage import Usage
from canvas_server.generation.cost import CostControl, amount_of
from canvas_server.generation.draft import Draft
from canvas_server.generation.pricing import PriceUnknownError
from canvas_server.generation.record import Record
from canvas_server.generation.request import billed_text
from canvas_server.generation.tokens import TokenCounter
from canvas_server.generation.uncut import to_the_end

NOTHING = Usage(input_tokens=0, output_tokens=0)


class Bill:
    """The calls of one job.

    Args:
        record: of the job.
        costs: holds and settles.
        counter: counts what a provider does not tell.
    """

    def __init__(self, record: Record, costs: CostControl, counter: TokenCounter) -> None:
        self._record = record
        self._costs = costs
        self._counter = counter
        self._settled: set[int] = set()

    @property
    def _job(self) -> Job:
        return self._record.job

    @property
    def free(self) -> bool:
        """Whether nothing is ever paid for the job's model."""
        return self._costs.price(self._job.spec.provider, self._job.spec.model).free

    async def count(self, text: str) -> int:
        """Return how many tokens a text has for the job's model."""
        return (await self._counter.count(text, self._job.spec.provider, self._job.spec.model)).tokens

    async def count_prompt(self, text: str) -> int:
        """Return how many tokens a prompt may be billed as, at most, the job's schema included."""
        text = billed_text(text, self._job.spec.schema)
        return (await self._counter.count(text, self._job.spec.provider, self._job.spec.model)).at_most

    async def reserve(self, call: int, input_tokens: int, output_tokens_max: int) -> None:
        """Hold the worst case of a call; that of the first was held when the job was made.

        Raises:
            QuotaExceededError: the quota does not cover it.
        """
        job = self._job
        if call == 1:
            return
        estimate = self._costs.estimate(job.spec.provider, job.spec.model, input_tokens, output_tokens_max)
        await self._costs.reserve(job.id, call, job.user, estimate, unlimited=job.unlimited)

    async def settle(self, usage: Usage) -> None:
        """Settle the newest call and add it to what the job cost; again changes nothing."""
        await to_the_end(self._settle(usage))

    async def _settle(self, usage: Usage) -> None:
        job = self._job
        if job.call in self._settled:
            return
        cost_micros = await self._costs.settle(job.id, job.call, usage)
        self._settled.add(job.call)
        # Before a crash it may have been settled with another estimate, which stands.
        usage = await self._costs.settled(job.id, job.call)
        before = job.usage or NOTHING
        total = Usage(
            input_tokens=before.input_tokens + usage.input_tokens,
            output_tokens=before.output_tokens + usage.output_tokens,
            cached_tokens=before.cached_tokens + usage.cached_tokens,
            estimated=before.estimated or usage.estimated,
        )
        self._record.note(usage=total, cost_micros=job.cost_micros + cost_micros)

    async def release_unsent(self) -> None:
        """Let go of what was held for a call that was never made."""
        if await self._costs.holds(self._job.id, self._job.call + 1):
            await self._costs.release(self._job.id, self._job.call + 1)

    async def standing(self) -> Standing:
        """Return where the user stands."""
        return await self._costs.standing(self._job.user)

    async def so_far(self, draft: Draft) -> Metadata:
        """Return what to tell while the answer comes."""
        job = self._job
        price = self._costs.price(job.spec.provider, job.spec.model)
        settled = job.usage or NOTHING
        running = Usage(input_tokens=job.input_tokens, output_tokens=draft.tokens, estimated=True)
        input_tokens = settled.input_tokens + running.input_tokens
        output_tokens = settled.output_tokens + running.output_tokens
        cost_micros = job.cost_micros + self._costs.cost(running, price)
        return await self._told(input_tokens, output_tokens, cost_micros, estimated=True)

    def facts_of(self, usage: Usage) -> Mapping[str, Fact]:
        """Return what a trace tells of a call: the tokens it used, and its cost in millionths of the currency."""
        facts: dict[str, Fact] = {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "estimated": usage.estimated,
        }
        with suppress(PriceUnknownError):  # the list may have changed since; a trace is no reason to fail
            price = self._costs.price(self._job.spec.provider, self._job.spec.model)
            facts["cost_micros"] = self._costs.cost(usage, price)
        return facts

    async def final(self) -> Metadata:
        """Return what to tell at the end."""
        usage = self._job.usage or NOTHING
        return await self._told(
            usage.input_tokens, usage.output_tokens, self._job.cost_micros, estimated=usage.estimated
        )

    async def _told(self, input_tokens: int, output_tokens: int, cost_micros: int, *, estimated: bool) -> Metadata:
        standing = await self.standing()
        return Metadata(
            tokens=input_tokens + output_tokens,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            estimated=estimated,
            cost=amount_of(cost_micros),
            quota=QuotaShare(
                percentage=standing.percentage,
                remaining=amount_of(standing.remaining_micros),
                warning=self._costs.warns(standing),
            ),
        )
