"""Planted bugs of generation: what is bought, told, written, stopped and paid."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_JOBS: Final = ("tests/generation/test_jobs.py",)
_STREAM: Final = ("tests/generation/test_stream.py",)
_CANCEL: Final = ("tests/generation/test_cancel.py",)
_WRITER: Final = ("tests/generation/test_writer.py",)
_QUEUE: Final = ("tests/generation/test_queue.py",)
_STORE: Final = ("tests/storage/test_jobs.py",)
_MOVES: Final = ("tests/generation/test_moves.py",)
_ENDINGS: Final = ("tests/generation/test_endings.py",)
_LEDGER: Final = ("tests/storage/test_ledger.py", "tests/storage/test_ledger_laws.py")

MUTANTS: Final = (
    Mutant(
        "shown-before-stored",
        "generation/event_log.py",
        "            await self._append([(teller.job_id, events) for teller, events in batches])",
        "            for teller, events in batches:\n                teller.feed.show(events)\n"
        "            await self._append([(teller.job_id, events) for teller, events in batches])",
        _STREAM,
    ),
    Mutant(
        "no-second-try-of-the-store",
        "generation/event_log.py",
        "RETRY_S: Final = (0.1,",
        "RETRY_S: Final = () and (",
        _STREAM,
    ),
    Mutant(
        "events-not-cut",
        "generation/event_log.py",
        "_CHUNK_CHARS_MAX: Final = 16 * 1024",
        "_CHUNK_CHARS_MAX: Final = 16 << 20",
        _STREAM,
    ),
    Mutant(
        "reader-misses-one",
        "generation/stream.py",
        "self._tail[0].seq > seq + 1",
        "self._tail[0].seq > seq + 2",
        _STREAM,
    ),
    Mutant(
        "reader-hears-twice",
        "generation/stream.py",
        "event.seq <= seq, self._tail",
        "event.seq < seq, self._tail",
        _STREAM,
    ),
    Mutant(
        "queue-not-refilled",
        "generation/engine_embedded.py",
        "exc_info=error)\n        self._fill()",
        "exc_info=error)",
        _QUEUE,
    ),
    Mutant(
        "one-user-takes-all",
        "generation/engine_embedded.py",
        "if of_user[run.job.user] < settings.running_per_actor_max:",
        "if True:",
        _QUEUE,
    ),
    Mutant(
        "no-bound-on-waiting",
        "generation/engine_embedded.py",
        "if waiting >= self._shop",
        "if waiting < 0 and self._shop",
        _QUEUE,
    ),
    Mutant("key-used-for-anything", "generation/enqueue.py", "if job.request_digest != digest:", "if False:", _JOBS),
    Mutant(
        "reconnect-starts",
        "web/job_stream.py",
        "        if heard is not None:\n            job_id,",
        "        if False:\n            job_id,",
        _JOBS,
    ),
    Mutant("same-question-bought-twice", "web/job_stream.py", "join=True", "join=False", _JOBS),
    Mutant("spending-get-unguarded", "web/admission.py", " or path == SPENDING_PATH:", ":", _JOBS),
    Mutant(
        "jobs-seen-by-all",
        "web/jobs.py",
        "(caller.admin or job.user == caller.user) and _is_told(job, caller)",
        "True",
        _JOBS,
    ),
    Mutant("lists-of-others", "web/jobs.py", "None if everybody else caller.user", "None", _JOBS),
    Mutant(
        "stream-lost-is-the-end",
        "generation/moves.py",
        'return "reattach"\n    if progress.retries',
        'return "give_up"\n    if progress.retries',
        _JOBS,
    ),
    Mutant(
        "repaired-for-ever", "generation/asking.py", "if self._job.attempt > 1:", "if self._job.attempt > 9:", _JOBS
    ),
    Mutant(
        "repair-in-the-same-attempt",
        "generation/asking.py",
        "attempt=self._job.attempt + 1",
        "attempt=self._job.attempt",
        _JOBS,
    ),
    Mutant(
        "cancel-leaves-the-provider",
        "generation/asking.py",
        "await self._generator.stop(response_id) or self._reported",
        "self._reported",
        _CANCEL,
    ),
    Mutant(
        "cancel-without-refund",
        "generation/ending.py",
        'await self._settle_what_was_produced()\n                await self._store_failure("cancelled"',
        'await self._store_failure("cancelled"',
        _CANCEL,
    ),
    Mutant(
        "cancel-keeps-the-text",
        "generation/ending.py",
        'output.on_cancel == "revert"',
        'output.on_cancel == "keep"',
        _CANCEL,
    ),
    Mutant(
        "waiting-job-not-released",
        "generation/ending.py",
        "        await self._bill.release_unsent()\n",
        "",
        _CANCEL,
    ),
    Mutant("resumes-at-the-start", "generation/writer.py", "offset = self._written", "offset = 0", _WRITER),
    Mutant("half-a-line-end", "generation/writer.py", 'self._half = "\\r" if', 'self._half = "" if', _WRITER),
    Mutant(
        "credentials-kept",
        "generation/writing.py",
        "self._exit.callback(shop.credentials.revoke, token)",
        "pass",
        _WRITER,
    ),
    Mutant(
        "copied-while-written",
        "generation/engine_embedded.py",
        "output is not None and output.ref == ref",
        "False",
        _WRITER,
    ),
    Mutant(
        "ended-job-changed",
        "storage/jobs.py",
        "WHERE id = ? AND call <= ? AND state NOT IN ({_ENDED})",
        "WHERE id = ? AND call <= ?",
        _STORE,
    ),
    Mutant("older-call-writes", "storage/jobs.py", "AND call <= ? AND", "AND ? > 0 AND", _STORE),
    Mutant("answers-for-ever", "storage/answers.py", "AND until_unix_ms > ?", "AND ? >= 0", _STORE),
    Mutant(
        "quota-may-be-reached", "storage/ledger_writes.py", "+ :estimate < :quota)", "+ :estimate <= :quota)", _LEDGER
    ),
    Mutant(
        "what-is-held-not-counted",
        "storage/ledger_writes.py",
        "amount_micros + reserved_micros + :estimate <",
        "amount_micros + :estimate <",
        _LEDGER,
    ),
    Mutant(
        "paid-without-letting-go",
        "storage/ledger_writes.py",
        "reserved_micros = reserved_micros - :held,",
        "reserved_micros = reserved_micros,",
        _LEDGER,
    ),
    Mutant(
        "unknown-call-bought-again",
        "generation/moves.py",
        'if able.free and not progress.has_text:\n        return "again"\n    return "give_up"\n\n\ndef next_move',
        'if not progress.has_text:\n        return "again"\n    return "give_up"\n\n\ndef next_move',
        _MOVES,
    ),
    Mutant(
        "pays-again-unasked",
        "generation/moves.py",
        "able.continues and able.pay_again and",
        "able.continues and",
        _MOVES,
    ),
    Mutant("continued-for-ever", "generation/moves.py", " and progress.continued < progress.retries_max", "", _ENDINGS),
    Mutant(
        "change-cut-in-the-middle",
        "generation/record.py",
        "await to_the_end(self._save(payloads, log, changes))",
        "await self._save(payloads, log, changes)",
        _ENDINGS,
    ),
    Mutant(
        "refused-text-dropped",
        "generation/event_log.py",
        "self._pending = [*self._taken, *self._pending]",
        "pass",
        _ENDINGS,
    ),
    Mutant("billed-twice", "generation/bill.py", "if job.call in self._settled:", "if False:", _ENDINGS),
    Mutant(
        "end-tried-once",
        "generation/ending.py",
        "            if await _said(left,",
        "            if True or await _said(left,",
        _ENDINGS,
    ),
    Mutant(
        "cancel-forgotten-at-a-stop",
        "generation/worker.py",
        "            if self._is_unwanted() and not self._left.is_set():",
        "            if False:",
        _ENDINGS,
    ),
    Mutant(
        "requests-of-a-user-at-once",
        "generation/enqueue.py",
        "self._turns.setdefault(asker.name, asyncio.Lock())",
        "asyncio.Lock()",
        _ENDINGS,
    ),
    Mutant(
        "unstored-job-holds-money",
        "generation/enqueue.py",
        "        except BaseException:\n            await self._shop.costs.release(job.id, 1)\n            raise",
        "        except BaseException:\n            raise",
        _ENDINGS,
    ),
    Mutant(
        "schema-not-counted",
        "generation/request.py",
        "return prompt if schema is None else",
        "return prompt if True else",
        _ENDINGS,
    ),
)
