"""Ports of a generation at which a server dies at a chosen step: chance alone seldom finds a narrow moment."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from canvas_server.core.job import GenerationLog, Job, JobEvent, JobId
from canvas_server.core.job_event import text_of
from canvas_server.core.job_ports import Call
from canvas_server.core.quota import Standing
from canvas_server.core.usage import Usage
from canvas_server.generation.providers.generator import Delta, IGenerator, LLMFactory, Options
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.ledger import SqliteLedgerStore
from canvas_server.storage.transactions import Transactions

OVER_QUOTA: Final = 3
"""Exit code of a server that passed a quota."""


class Fate:
    """Ends its own process.

    Args:
        step: at which; never if empty.
        words: once so many words of an answer were stored in this life.
    """

    def __init__(self, step: str, words: int) -> None:
        self._step = step
        self._words = words

    def count(self, words: int) -> None:
        """Say that so many more words are stored."""
        self._words -= words

    def at(self, step: str) -> None:
        """Say that a step is reached."""
        if step == self._step and self._words <= 0:
            os.write(1, f"\ndied {step}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyJobs(SqliteJobStore):
    """Jobs; the steps are `create`, `append`, and `save` with what the save announces."""

    def __init__(self, transactions: Transactions, fate: Fate) -> None:
        super().__init__(transactions)
        self._fate = fate

    async def create(self, job: Job, events: Sequence[JobEvent] = ()) -> Job:
        self._fate.at("before create")
        stored = await super().create(job, events)
        self._fate.at("after create")
        return stored

    async def save(self, job: Job, events: Sequence[JobEvent] = (), log: GenerationLog | None = None) -> bool:
        news = _news(await self.load(job.id), job)
        self._fate.at(f"before save {news}")
        saved = await super().save(job, events, log)
        self._fate.at(f"after save {news}")
        return saved

    async def append(self, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
        texts = [text_of(event) for _, events in batches for event in events if event.kind == "chunk"]
        if texts:
            self._fate.at("before append")
        await super().append(batches)
        self._fate.count(sum(len(text.split()) for text in texts))
        if texts:
            self._fate.at("after append")


class DeadlyLedger(SqliteLedgerStore):
    """The ledger; what is spent and held is looked at after every step."""

    def __init__(self, transactions: Transactions, fate: Fate) -> None:
        super().__init__(transactions)
        self._fate = fate

    async def reserve(self, call: Call) -> Standing | None:
        self._fate.at("before reserve")
        standing = await super().reserve(call)
        if standing is not None:
            _look_at(standing)
        self._fate.at("after reserve")
        return standing

    async def settle(self, job_id: JobId, call: int, usage: Usage, cost_micros: int, now_unix_ms: int) -> Standing:
        self._fate.at("before settle")
        standing = await super().settle(job_id, call, usage, cost_micros, now_unix_ms)
        _look_at(standing)
        self._fate.at("after settle")
        return standing

    async def release(self, job_id: JobId, call: int) -> None:
        self._fate.at("before release")
        await super().release(job_id, call)
        self._fate.at("after release")


class DeadlyGenerator(IGenerator):
    """A generator; at `call heard` the provider is known to have the call, and nothing of it is stored."""

    def __init__(self, generator: IGenerator, fate: Fate) -> None:
        self._inner = generator
        self._fate = fate
        self.provider, self.model = generator.provider, generator.model
        self.reattaches, self.continues, self.free = generator.reattaches, generator.continues, generator.free

    async def stream_generate(self, prompt: str, options: Options) -> AsyncGenerator[Delta, None]:
        self._fate.at("before call")
        async with aclosing(self._inner.stream_generate(prompt, options)) as steps:
            async for step in self._watched(steps, "call heard"):
                yield step

    async def reattach(self, response_id: str, after: int | None) -> AsyncGenerator[Delta, None]:
        self._fate.at("before reattach")
        async with aclosing(self._inner.reattach(response_id, after)) as steps:
            async for step in self._watched(steps, "reattached"):
                yield step

    async def stop(self, response_id: str) -> None:
        self._fate.at("before stop")
        await self._inner.stop(response_id)
        self._fate.at("after stop")

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _watched(self, steps: AsyncGenerator[Delta, None], heard: str) -> AsyncGenerator[Delta, None]:
        first = True
        async for step in steps:
            if first:
                self._fate.at(heard)
            first = False
            yield step


def deadly_factory(factory: LLMFactory, fate: Fate) -> LLMFactory:
    """Return a factory of deadly generators."""

    def make(model: str, provider: str) -> IGenerator:
        return DeadlyGenerator(factory.create(provider, model), fate)

    return LLMFactory({provider: partial(make, provider=provider) for provider in factory.providers})


def _news(old: Job, new: Job) -> str:
    """Return what a save announces."""
    if new.ended:
        return "ended"
    if new.cancel_requested and not old.cancel_requested:
        return "cancel"
    if (new.stage, new.call) != (old.stage, old.call):
        return new.stage
    return "attached" if new.response_id != old.response_id else "running"


def _look_at(standing: Standing) -> None:
    """End the server where it passed a quota: the test asks how it ended."""
    if standing.spent_micros + standing.reserved_micros > standing.quota_micros:
        os.write(1, b"\npassed the quota\n")
        os._exit(OVER_QUOTA)
