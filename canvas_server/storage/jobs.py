"""Jobs, their events and the log of generations, kept in SQLite.

Rule: a job that has ended, or was called again since, is never written by whoever still holds an older state of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from canvas_server.core.errors import NotFoundError
from canvas_server.core.job import ENDED, GenerationLog, Job, JobEvent, JobId
from canvas_server.core.job_ports import JobTally
from canvas_server.storage.failures import DamageError
from canvas_server.storage.row_groups import RowGroups
from canvas_server.storage.transactions import Transactions

_ENDED: Final = ", ".join(f"'{state}'" for state in sorted(ENDED))

_INSERT: Final = """
    INSERT INTO job (id, user, idempotency_key, state, call, body, created_unix_ms, ended_unix_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user, idempotency_key) DO NOTHING
"""
_UPDATE: Final = f"""
    UPDATE job SET state = ?, call = ?, body = ?, ended_unix_ms = ?
    WHERE id = ? AND call <= ? AND state NOT IN ({_ENDED})
"""  # noqa: S608 - the states are our own
_EVENTS: Final = RowGroups.inserting("job_event", ("job_id", "seq", "attempt", "kind", "data", "cursor"))
_LOG: Final = """
    INSERT INTO generation_log (job_id, user, provider, model, state, step, code, duration_ms, input_tokens,
    output_tokens, cost_micros, ended_unix_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# The index over the ends of jobs holds those that have none, too.
_COUNT_OPEN: Final = "SELECT state, COUNT(*) FROM job WHERE ended_unix_ms IS NULL GROUP BY state"
_COUNT_ENDED: Final = "SELECT provider, state, COUNT(*) FROM generation_log GROUP BY provider, state"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Job).decode


class SqliteJobStore:
    """The `JobStore` of one machine.

    Args:
        database: open, and left open.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def create(self, job: Job, events: Sequence[JobEvent] = ()) -> Job:
        """Store a new job; return it, or the one that its user made before under the same idempotency key."""
        return await self._database.write(partial(_create, job=job, events=events))

    async def find(self, user: str, idempotency_key: str) -> Job | None:
        """Return the job that a user made under a key."""
        return await self._database.read(partial(_find, user=user, key=idempotency_key))

    async def load(self, job_id: JobId) -> Job:
        """Return a job."""
        job = await self._database.read(partial(_load, job_id=job_id))
        if job is None:
            raise NotFoundError(f"there is no job {job_id}", hint="List your jobs with GET on the jobs.")
        return job

    async def list(self, user: str | None, *, active: bool, limit: int) -> Sequence[Job]:
        """Return the newest jobs, newest first."""
        conditions = [f"state NOT IN ({_ENDED})"] if active else []
        values: list[str | int] = []
        if user is not None:
            conditions.append("user = ?")
            values.append(user)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"SELECT body FROM job {where} ORDER BY created_unix_ms DESC, id LIMIT ?"  # noqa: S608 - no foreign text
        return await self._database.read(partial(_jobs, query=query, values=[*values, limit]))

    async def unfinished(self) -> Sequence[Job]:
        """Return all jobs that have not ended, oldest first."""
        query = f"SELECT body FROM job WHERE state NOT IN ({_ENDED}) ORDER BY created_unix_ms, id"  # noqa: S608 - as above
        return await self._database.read(partial(_jobs, query=query, values=[]))

    async def save(self, job: Job, events: Sequence[JobEvent] = (), log: GenerationLog | None = None) -> bool:
        """Replace a job and append events and a line of the generation log, all or nothing."""
        return await self._database.write(partial(_save, job=job, events=events, log=log))

    async def append(self, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
        """Append events to several jobs in one transaction; those of jobs that have ended are left out."""
        await self._database.write(partial(_append, batches=batches))

    async def read_events(self, job_id: JobId, after_seq: int, limit: int) -> Sequence[JobEvent]:
        """Return at most `limit` events after `after_seq`, in order."""
        return await self._database.read(partial(_events, job_id=job_id, after_seq=after_seq, limit=limit))

    async def forget(self, before_unix_ms: int) -> int:
        """Remove jobs that ended before a moment, with their events; return how many."""
        return await self._database.write(partial(_forget, before_unix_ms=before_unix_ms))

    async def tally(self) -> JobTally:
        """Return how many jobs there are, everybody's, at one moment."""
        return await self._database.read(_tally)


def _create(connection: sqlite3.Connection, job: Job, events: Sequence[JobEvent]) -> Job:
    values = (
        job.id,
        job.user,
        job.idempotency_key,
        job.state,
        job.call,
        _encode(job),
        job.created_unix_ms,
        job.ended_unix_ms,
    )
    if connection.execute(_INSERT, values).rowcount:
        _insert_events(connection, [(job.id, event) for event in events])
        return job
    assert job.idempotency_key is not None
    made_before = _find(connection, job.user, job.idempotency_key)
    assert made_before is not None
    return made_before


def _find(connection: sqlite3.Connection, user: str, key: str) -> Job | None:
    row = connection.execute("SELECT body FROM job WHERE user = ? AND idempotency_key = ?", (user, key)).fetchone()
    return row and _read(row[0])


def _load(connection: sqlite3.Connection, job_id: JobId) -> Job | None:
    row = connection.execute("SELECT body FROM job WHERE id = ?", (job_id,)).fetchone()
    return row and _read(row[0])


def _jobs(connection: sqlite3.Connection, query: str, values: Sequence[str | int]) -> Sequence[Job]:
    return [_read(body) for (body,) in connection.execute(query, values)]


def _save(connection: sqlite3.Connection, job: Job, events: Sequence[JobEvent], log: GenerationLog | None) -> bool:
    values = (job.state, job.call, _encode(job), job.ended_unix_ms, job.id, job.call)
    if not connection.execute(_UPDATE, values).rowcount:
        return False
    _insert_events(connection, [(job.id, event) for event in events])
    if log is not None:
        connection.execute(_LOG, msgspec.structs.astuple(log))
    return True


def _append(connection: sqlite3.Connection, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
    marks = ", ".join("?" * len(batches))
    query = f"SELECT id FROM job WHERE id IN ({marks}) AND state NOT IN ({_ENDED})"  # noqa: S608 - no foreign text
    living = {row[0] for row in connection.execute(query, [job_id for job_id, _ in batches])}
    _insert_events(connection, [(job_id, event) for job_id, events in batches if job_id in living for event in events])


def _insert_events(connection: sqlite3.Connection, events: Sequence[tuple[JobId, JobEvent]]) -> None:
    _EVENTS.run(connection, [(job_id, *msgspec.structs.astuple(event)) for job_id, event in events])


def _events(connection: sqlite3.Connection, job_id: JobId, after_seq: int, limit: int) -> Sequence[JobEvent]:
    query = "SELECT seq, attempt, kind, data, cursor FROM job_event WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?"
    rows = connection.execute(query, (job_id, after_seq, limit)).fetchall()
    return [JobEvent(*row) for row in rows]


def _forget(connection: sqlite3.Connection, before_unix_ms: int) -> int:
    return connection.execute("DELETE FROM job WHERE ended_unix_ms < ?", (before_unix_ms,)).rowcount


def _tally(connection: sqlite3.Connection) -> JobTally:
    ended = {(provider, state): count for provider, state, count in connection.execute(_COUNT_ENDED)}
    return JobTally(dict(connection.execute(_COUNT_OPEN).fetchall()), ended)


def _read(body: bytes) -> Job:
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise DamageError(f"a job cannot be read: {error}") from error
