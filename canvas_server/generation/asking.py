"""Getting the answer of a job out of its provider: once if it can be helped, and as far as it can be paid."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from canvas_server.core.errors import CanvasError
from canvas_server.core.job import Job
from canvas_server.core.job_event import Step
from canvas_server.core.usage import Usage
from canvas_server.generation.bill import Bill
from canvas_server.generation.draft import Draft
from canvas_server.generation.moves import Abilities, Move, Progress, first_move, next_move
from canvas_server.generation.providers import structured
from canvas_server.generation.providers.deadlines import paced
from canvas_server.generation.providers.failures import OutputInvalidError, ProviderError, StreamLostError
from canvas_server.generation.providers.generator import Delta, IGenerator, Options
from canvas_server.generation.record import Record
from canvas_server.generation.retry import delay_s
from canvas_server.generation.workshop import Workshop

log = logging.getLogger(__name__)

_LAST_WORD_SHARE: Final = 0.15
"""Of the time a cancelled job may take: for its provider to hear that the answer is wanted no more."""
_ONE_TRY_SHARE: Final = 0.3
_STOP_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_STOP_SHARE: Final = 0.8
"""Of the same again, behind the end of the job: a provider that still has not heard is left alone."""
_LEAVE_SHARE: Final = 0.25
"""Of the same: for the provider's stream to close."""


class InterruptedJobError(CanvasError):
    """A crash cut the job off, and nobody can tell what was paid: its text is kept, and it does not go on by itself."""

    code = "INTERRUPTED"


class Asking:
    """One job's talk with its provider.

    Args:
        record: of the job.
        draft: the text of the attempt that the job is in.
        bill: of the job.
        shop: the tools.
        recovered: the job was in motion when this server died.
        repair: what to ask in place of the prompt, when the job is in its second attempt.
    """

    def __init__(
        self, record: Record, draft: Draft, bill: Bill, shop: Workshop, *, recovered: bool, repair: str | None
    ) -> None:
        self._record = record
        self._draft = draft
        self._bill = bill
        self._shop = shop
        self._recovered = recovered
        self._generator: IGenerator | None = None
        self._retries = 0
        self._asked = False
        self._reported: Usage | None = None
        self._repair = repair
        self._pump: asyncio.Task[Delta] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self.abandoned = False
        """The provider did not let go in time; it was left alone."""

    @property
    def _job(self) -> Job:
        return self._record.job

    async def answer(self) -> None:
        """Bring the job to the stage `produced`, its text told and whole.

        Raises:
            ProviderError, QuotaExceededError, InterruptedJobError: it does not get there.
        """
        spec = self._job.spec
        self._generator = self._shop.factory.create(spec.provider, spec.model)
        move = first_move(self._job.stage, self._progress(), self._abilities(self._generator))
        last = await self._ask_until_whole(self._generator, move)
        if spec.schema is not None:
            last = await self._fit(self._generator, spec.schema, last)
        assert last.finish is not None
        result = structured.fitting(self._draft.text, spec.schema) if spec.schema is not None else None
        # Only what is stored to its last word is whole.
        await self._record.teller.flush()
        await self._record.save(stage="produced", finish=last.finish, result=result, call_usage=self._counted())

    async def stop(self) -> None:
        """Leave the provider: close the stream, and have it produce no further; what takes long goes on behind."""
        await self.leave()
        response_id = self._job.response_id
        if response_id is not None and self._job.stage == "attached":
            self._stopping = asyncio.get_running_loop().create_task(self._have_it_stop(response_id), name="stop")
            await asyncio.wait({self._stopping}, timeout=self._shop.settings.cancel_s * _LAST_WORD_SHARE)

    async def leave(self) -> None:
        """Close the stream and nothing else: the answer is to be taken up again."""
        if self._pump is not None and not self._pump.done():
            await self._leave(self._pump)

    async def aclose(self) -> None:
        """Close the connections to the provider, once it has stopped; bounded in time."""
        if self._stopping is not None:
            await asyncio.wait({self._stopping}, timeout=self._shop.settings.cancel_s * _STOP_SHARE)
            self._stopping.cancel()
        if self._generator is not None:
            try:
                async with asyncio.timeout(self._shop.settings.cancel_s * _LAST_WORD_SHARE):
                    await self._generator.aclose()
            except TimeoutError:
                log.warning("provider connection left open", extra={"job_id": self._job.id})

    async def _have_it_stop(self, response_id: str) -> None:
        """Tell the provider that the answer is wanted no more, until it has heard: what it produces is paid."""
        spec = self._job.spec
        for wait_s in _STOP_RETRY_S:
            try:
                self._generator = self._generator or self._shop.factory.create(spec.provider, spec.model)
                async with asyncio.timeout(self._shop.settings.cancel_s * _ONE_TRY_SHARE):
                    self._reported = await self._generator.stop(response_id) or self._reported
            except (ProviderError, TimeoutError) as error:
                log.warning("provider not stopped", extra={"job_id": self._job.id, "reason": type(error).__name__})
                if isinstance(error, ProviderError) and not error.transient:
                    return
                await asyncio.sleep(wait_s)
            else:
                return

    async def settle_unfinished(self, *, worst: bool) -> None:
        """Settle a call that did not bring its answer, if one was made.

        Args:
            worst: nobody can tell what the provider produced; else what it told is what it produced.
        """
        if self._job.stage not in ("dispatched", "attached"):
            return
        usage = self._counted()
        if worst and usage.estimated and not (self._generator is not None and self._generator.free):
            usage = msgspec.structs.replace(usage, output_tokens=self._job.output_tokens_max)
        await self._bill.settle(usage)

    async def settle_unsold(self) -> None:
        """Settle a call that the provider turned away: it cost nothing but what the provider told."""
        if self._job.stage in ("dispatched", "attached"):
            await self._bill.settle(self._reported or Usage(input_tokens=0, output_tokens=0, estimated=True))

    async def _ask_until_whole(self, generator: IGenerator, move: Move) -> Delta:
        while True:
            if move == "give_up":
                hint = "Start again." if generator.free else "Start again; that may pay twice."
                raise InterruptedJobError("the server stopped in the middle of this answer", hint=hint)
            try:
                return await self._make(generator, move)
            except ProviderError as error:
                move = await self._after(error, generator)

    async def _make(self, generator: IGenerator, move: Move) -> Delta:
        """Make a call, or take one up, and take in what it answers."""
        match move:
            case "reattach":
                assert self._job.response_id is not None
                self._record.tell(Step(step="generating", reattached=True))
                stream = generator.reattach(self._job.response_id, self._draft.cursor)
            case "continue":
                await self._continue()
                stream = generator.stream_generate(self._prompt(), self._options(self._draft.text))
            case _:
                if move == "ask":
                    await self._dispatch(self._job.input_tokens, self._job.spec.max_output_tokens)
                self._record.tell(Step(step="generating"))
                stream = generator.stream_generate(self._prompt(), self._options(""))
        return await self._take(stream)

    async def _after(self, error: ProviderError, generator: IGenerator) -> Move:
        """Return how to go on after a failure, when it is time to; raise what cannot be mended."""
        move = next_move(error, self._progress(), self._abilities(generator))
        if move == "give_up":
            if self._recovered and isinstance(error, StreamLostError):
                raise InterruptedJobError(
                    "the provider does not have the rest of this answer any more",
                    hint="Start again; that pays for the whole answer.",
                ) from error
            raise error
        self._retries += 1
        wait_s = delay_s(self._retries, error.delay_s, self._shop.ids)
        if wait_s is None:
            raise error
        log.info(
            "provider asked again",
            extra={"job_id": self._job.id, "move": move, "code": error.code, "wait_ms": round(wait_s * 1000)},
        )
        self._record.tell(Step(step="generating", retry_in_ms=round(wait_s * 1000)))
        await asyncio.sleep(wait_s)
        return move

    async def _fit(self, generator: IGenerator, schema: dict[str, object], last: Delta) -> Delta:
        """Have an answer that does not fit the schema made once more, as a second attempt."""
        self._record.tell(Step(step="validating"))
        wrong = structured.misfit(self._draft.text, schema)
        if wrong is None:
            return last
        if self._job.attempt > 1:
            raise OutputInvalidError(
                "the answer does not fit the schema, also when asked again", hint="Simplify the schema or the prompt."
            )
        await self._bill.settle(self._counted())
        self._repair = structured.repair_prompt(self._job.spec.prompt, schema, self._draft.text, wrong)
        await self._dispatch(
            await self._bill.count_prompt(self._repair), self._job.spec.max_output_tokens, attempt=self._job.attempt + 1
        )
        self._draft.clear()
        last = await self._ask_until_whole(generator, "again")
        return await self._fit(generator, schema, last)

    async def _continue(self) -> None:
        """Pay for what came, and begin another call that goes on after it."""
        # After a crash of ours nobody knows how much the provider went on to produce.
        await self.settle_unfinished(worst=self._recovered and not self._asked)
        self._record.tell(Step(step="generating", continued=True))
        written = await self._bill.count(self._draft.text)
        input_tokens = await self._bill.count_prompt(self._prompt() + self._draft.text)
        self._draft.tokens = 0
        await self._dispatch(input_tokens, max(1, self._job.spec.max_output_tokens - written))

    async def _dispatch(self, input_tokens: int, output_tokens_max: int, attempt: int = 1) -> None:
        """Hold the worst case of a call, and store that it is about to be made."""
        call, attempt = self._job.call + 1, max(attempt, self._job.attempt)
        await self._bill.reserve(call, input_tokens, output_tokens_max)
        # What this call goes on after is to be found by whoever takes it up.
        await self._record.teller.flush()
        await self._record.save(
            stage="dispatched",
            call=call,
            attempt=attempt,
            input_tokens=input_tokens,
            output_tokens_max=output_tokens_max,
            response_id=None,
        )
        self._record.teller.attempt = attempt
        self._reported = None

    async def _take(self, stream: AsyncGenerator[Delta, None]) -> Delta:
        """Take in a stream in a task of its own, which can be left alone when it does not end."""
        settings = self._shop.settings
        paced_stream = paced(
            stream, first_s=settings.first_byte_s, gap_s=settings.gap_s, bytes_max=settings.text_bytes_max
        )
        self._asked = True
        self._pump = asyncio.get_running_loop().create_task(self._take_in(paced_stream), name="provider")
        await asyncio.wait({self._pump})
        return self._pump.result()

    async def _take_in(self, stream: AsyncGenerator[Delta, None]) -> Delta:
        spec, job = self._job.spec, self._job
        facts = {"gen_ai.provider.name": spec.provider, "gen_ai.request.model": spec.model, "job_id": job.id}
        numbers = {"call": job.call, "attempt": job.attempt, "retries": self._retries}
        with self._shop.tracer.span("provider call", {**facts, **numbers}) as span:
            try:
                last = await self._take_in_all(stream)
                span.note({"gen_ai.response.finish_reasons": last.finish or ""})
                return last
            finally:
                span.note(self._bill.facts_of(self._counted()))

    async def _take_in_all(self, stream: AsyncGenerator[Delta, None]) -> Delta:
        loop = asyncio.get_running_loop()
        told_s = loop.time()
        async with aclosing(stream):
            async for step in stream:
                if self.abandoned:
                    break
                if step.response_id is not None and step.response_id != self._job.response_id:
                    await self._record.save(stage="attached", response_id=step.response_id)
                self._reported = step.usage or self._reported
                if step.text:
                    self._draft.add(step.text, step.cursor)
                    self._draft.tokens += await self._bill.count(step.text)
                    self._retries = 0
                    await self._record.teller.chunk(step.text, step.cursor)
                    if loop.time() - told_s >= self._shop.settings.metadata_s:
                        told_s = loop.time()
                        self._record.tell(await self._bill.so_far(self._draft))
                if step.finish is not None:
                    return step
        raise StreamLostError("the provider ended the answer without a reason", hint="Start again.")

    def _prompt(self) -> str:
        return self._repair or self._job.spec.prompt

    def _options(self, prefix: str) -> Options:
        job = self._job
        return Options(max_output_tokens=job.output_tokens_max, schema=job.spec.schema, prefix=prefix)

    def _counted(self) -> Usage:
        """Return what the newest call used: as the provider told, else as counted here."""
        if self._reported is not None:
            return self._reported
        # Counted here it may be more than the provider counts, but no more than was held is ever paid for it.
        output_tokens = min(self._draft.tokens, self._job.output_tokens_max)
        return Usage(input_tokens=self._job.input_tokens, output_tokens=output_tokens, estimated=True)

    def _progress(self) -> Progress:
        return Progress(
            named=self._job.response_id is not None,
            has_text=self._draft.chars > 0,
            retries=self._retries,
            continued=self._job.call - self._job.attempt,
            retries_max=self._shop.settings.retries_max,
        )

    def _abilities(self, generator: IGenerator) -> Abilities:
        return Abilities(generator.reattaches, generator.continues, generator.free, self._shop.settings.pay_again)

    async def _leave(self, pump: asyncio.Task[Delta]) -> None:
        """End a pump; one that does not end is left alone, and nothing it still says is taken in."""
        pump.cancel()
        _, pending = await asyncio.wait({pump}, timeout=self._shop.settings.cancel_s * _LEAVE_SHARE)
        if pending:
            self.abandoned = True
            log.warning("provider did not let go", extra={"job_id": self._job.id})
            pump.add_done_callback(_forget)
        else:
            _forget(pump)


def _forget(pump: asyncio.Task[Delta]) -> None:
    """Take what a task that was left alone ends with: nobody else does."""
    if not pump.cancelled():
        pump.exception()
