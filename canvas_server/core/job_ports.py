"""The doors to what jobs, money and files need kept; see `ports` for the rules of all doors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from canvas_server.core.job import GenerationLog, Job, JobEvent, JobId, JobState
from canvas_server.core.quota import Account, Standing
from canvas_server.core.usage import Price, Usage


class JobTally(msgspec.Struct, frozen=True):
    """How many jobs there are, and were."""

    open: Mapping[JobState, int]
    """That have not ended, by state; a state that no job is in may be missing."""
    ended: Mapping[tuple[str, JobState], int]
    """All that ever ended, by provider and state, forgotten ones too: no number ever becomes smaller."""


class JobStore(Protocol):
    """Durable jobs with their events.

    Every method may raise `StorageUnavailableError` (nothing was changed) and `StorageCorruptError`. What writes is
    durable when it returns and goes on to its end when its caller is cancelled.
    """

    async def create(self, job: Job, events: Sequence[JobEvent] = ()) -> Job:
        """Store a new job with its first events, all or nothing.

        Returns:
            the job; or the one that its user made before under the same idempotency key, and nothing is stored.
        """
        ...

    async def find(self, user: str, idempotency_key: str) -> Job | None:
        """Return the job that a user made under a key."""
        ...

    async def load(self, job_id: JobId) -> Job:
        """Return a job.

        Raises:
            NotFoundError: there is none.
        """
        ...

    async def list(self, user: str | None, *, active: bool, limit: int) -> Sequence[Job]:
        """Return the newest jobs, newest first.

        Args:
            user: whose; everybody's if None.
            active: only those that have not ended.
            limit: at most so many.
        """
        ...

    async def unfinished(self) -> Sequence[Job]:
        """Return all jobs that have not ended, oldest first."""
        ...

    async def save(self, job: Job, events: Sequence[JobEvent] = (), log: GenerationLog | None = None) -> bool:
        """Replace a job and append events and a line of the generation log, all or nothing.

        Returns:
            False, and nothing is changed, where the job has ended already or was called more often than `job.call`: a
            worker that was given up cannot write any more.
        """
        ...

    async def append(self, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
        """Append events to several jobs in one transaction; those of jobs that have ended are left out."""
        ...

    async def read_events(self, job_id: JobId, after_seq: int, limit: int) -> Sequence[JobEvent]:
        """Return at most `limit` events after `after_seq`, in order."""
        ...

    async def forget(self, before_unix_ms: int) -> int:
        """Remove jobs that ended before a moment, with their events; return how many."""
        ...

    async def tally(self) -> JobTally:
        """Return how many jobs there are, everybody's, at one moment."""
        ...


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One paid call that is about to be made."""

    job_id: JobId
    number: int
    """From 1; a job that is continued after a crash makes another call."""
    user: str
    month: str
    price: Price
    estimate_micros: int
    """Its worst case."""
    quota_micros: int
    """What the user may spend in a month unless an admin set something else."""
    unlimited: bool
    """An admin asks: the quota does not hold."""
    now_unix_ms: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one call: a line of the bill."""

    job_id: JobId
    call: int
    user: str
    month: str
    price: Price
    usage: Usage
    cost_micros: int
    state: str
    """reserved, settled or released."""
    created_unix_ms: int
    settled_unix_ms: int | None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What all users together used of one provider, since the first call."""

    provider: str
    told: Usage = Usage(input_tokens=0, output_tokens=0)
    """As providers reported it; nothing of it ever becomes less."""
    told_micros: int = 0
    estimated: Usage = Usage(input_tokens=0, output_tokens=0, estimated=True)
    """Settled as estimated here; moves over to `told` when a report comes."""
    estimated_micros: int = 0
    month_micros: int = 0
    """What was spent in the month that was asked about."""
    reserved_micros: int = 0
    """What is held now, whatever the month."""


class LedgerTally(msgspec.Struct, frozen=True):
    """What all accounts sum to."""

    spending: Sequence[Spending]
    """By provider, in the order of their names."""
    refusals: int
    """Calls that a quota did not allow, since the first; never becomes smaller."""


class LedgerStore(Protocol):
    """Durable accounts; the errors are those of `JobStore`.

    Rule: what is reserved and spent never passes the quota, whatever runs at the same time.
    """

    async def reserve(self, call: Call) -> Standing | None:
        """Hold the worst case of a call in one conditional statement.

        Reserving the same call again changes nothing.

        Returns:
            where the user stands afterwards; None, with nothing held and the refusal stored, if
            `amount + reserved + estimate >= quota` and the quota holds.
        """
        ...

    async def settle(self, job_id: JobId, call: int, usage: Usage, cost_micros: int, now_unix_ms: int) -> Standing:
        """Turn what was held for a call into what it cost, in the month it was reserved in.

        Once: again changes nothing, but for one that was settled with an estimate and is now told by the provider.
        """
        ...

    async def release(self, job_id: JobId, call: int) -> None:
        """Let go of what was held for a call that was never sent; nothing happens if it was settled or released."""
        ...

    async def find(self, job_id: JobId, call: int) -> Entry | None:
        """Return the line of the bill of a call, with the price that was in force when it was reserved."""
        ...

    async def open_calls(self) -> Sequence[tuple[JobId, int]]:
        """Return the calls that are reserved and not settled."""
        ...

    async def standing(self, user: str, month: str, quota_micros: int) -> Standing:
        """Return where a user stands; `quota_micros` holds unless an admin set something else."""
        ...

    async def accounts(self, user: str, month: str) -> Sequence[Account]:
        """Return the accounts of a month, the total first, then by provider."""
        ...

    async def entries(self, user: str, month: str, provider: str | None, limit: int) -> Sequence[Entry]:
        """Return the newest lines of the bill, newest first."""
        ...

    async def set_quota(self, user: str, month: str, quota_micros: int, now_unix_ms: int) -> None:
        """Set what a user may spend, from `month` on."""
        ...

    async def tally(self, month: str) -> LedgerTally:
        """Return what all accounts sum to at one moment; `month` is the one to tell by itself."""
        ...


class CachedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer that may be told again."""

    text: str
    usage: Usage
    finish: str
    result: dict[str, object] | None = None


class ResponseCache(Protocol):
    """Whole answers by the digest of what was asked; the errors are those of `JobStore`."""

    async def get(self, key: str, now_unix_ms: int) -> CachedAnswer | None:
        """Return an answer whose time is not over."""
        ...

    async def put(self, key: str, answer: CachedAnswer, now_unix_ms: int, until_unix_ms: int) -> None:
        """Keep an answer until its time is over, and let go those whose time is over now."""
        ...


class JsonFiles(Protocol):
    """Named JSON objects, each replaced as a whole: presets, saved dialogues.

    Names are checked by the caller's rule before any file is touched; the errors are those of `JobStore`, and
    `StorageCorruptError` where a file is there that cannot be read.
    """

    async def names(self) -> Sequence[str]:
        """Return the names there are, sorted; whatever else lies there is left out."""
        ...

    async def load(self, name: str) -> Mapping[str, object] | None:
        """Return an object; None if there is none."""
        ...

    async def save(self, name: str, value: Mapping[str, object]) -> None:
        """Put an object under a name; of two at once the one asked for last stays."""
        ...

    async def delete(self, name: str) -> bool:
        """Remove an object; return whether there was one."""
        ...
