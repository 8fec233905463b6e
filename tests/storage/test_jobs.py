"""The `JobStore` and the `ResponseCache`: one suite for the file and for memory."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from canvas_server.core.errors import NotFoundError, StorageCorruptError
from canvas_server.core.job import GenerationLog, Job, JobEvent, JobId, JobSpec
from canvas_server.core.job_ports import CachedAnswer, JobTally
from canvas_server.core.usage import Usage
from canvas_server.storage.answers import SqliteResponseCache
from canvas_server.storage.database import open_database
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.transactions import Transactions, open_memory


@pytest.fixture(params=["file", "memory"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Transactions]:
    if request.param == "file":
        async with open_database(tmp_path) as on_disk:
            yield on_disk
    else:
        async with open_memory() as in_memory:
            yield in_memory


@pytest.fixture
def store(database: Transactions) -> SqliteJobStore:
    return SqliteJobStore(database)


def job(number: int = 1, **fields: object) -> Job:
    spec = JobSpec(prompt="Écris 😀", provider="demo", model="demo", max_output_tokens=10, schema={"type": "object"})
    made = Job(id=JobId(f"job-{number}"), user="ada", kind="human", spec=spec, created_unix_ms=number)
    return msgspec.structs.replace(made, **fields)


def event(seq: int, data: bytes = b'{"type":"chunk"}', cursor: int | None = None) -> JobEvent:
    return JobEvent(seq, 1, "chunk", data, cursor)


def log_line(done: Job) -> GenerationLog:
    return GenerationLog(
        job_id=done.id,
        user=done.user,
        provider="demo",
        model="demo",
        state="completed",
        step="complete",
        code=None,
        duration_ms=5,
        input_tokens=1,
        output_tokens=2,
        cost_micros=3,
        ended_unix_ms=4,
    )


async def test_a_job_comes_back_as_it_was_stored(store: SqliteJobStore) -> None:
    made = job(idempotency_key="k", usage=Usage(input_tokens=1, output_tokens=2), result={"a": [1, None, "é"]})
    assert await store.create(made, [event(1), event(2, cursor=7)]) == made
    assert await store.load(made.id) == made
    assert await store.read_events(made.id, 0, 10) == [event(1), event(2, cursor=7)]
    assert await store.find("ada", "k") == made
    assert await store.find("bob", "k") is None


async def test_a_key_names_one_job_of_each_user(store: SqliteJobStore) -> None:
    first = await store.create(job(1, idempotency_key="k"))
    assert await store.create(job(2, idempotency_key="k"), [event(1)]) == first
    with pytest.raises(NotFoundError):
        await store.load(JobId("job-2"))
    assert await store.read_events(JobId("job-2"), 0, 10) == []
    other = job(3, idempotency_key="k", user="bob")
    assert await store.create(other) == other
    assert await store.create(job(4)) == job(4), "jobs without a key are never the same"
    assert await store.create(job(5)) == job(5)


async def test_jobs_are_listed_newest_first_and_by_user(store: SqliteJobStore) -> None:
    for number in range(1, 6):
        await store.create(job(number, user="bob" if number == 3 else "ada"))
    await store.save(job(5, state="completed", ended_unix_ms=9))
    assert [one.id for one in await store.list("ada", active=False, limit=3)] == ["job-5", "job-4", "job-2"]
    assert [one.id for one in await store.list("ada", active=True, limit=9)] == ["job-4", "job-2", "job-1"]
    assert len(await store.list(None, active=False, limit=9)) == 5
    assert [one.id for one in await store.unfinished()] == ["job-1", "job-2", "job-3", "job-4"]


async def test_a_change_and_what_it_tells_are_stored_together(store: SqliteJobStore, database: Transactions) -> None:
    await store.create(job())
    done = job(state="completed", call=1, ended_unix_ms=5)
    assert await store.save(done, [event(1)], log_line(done))
    assert await store.load(done.id) == done
    assert await store.read_events(done.id, 0, 9) == [event(1)]
    rows = await database.read(lambda connection: connection.execute("SELECT * FROM generation_log").fetchall())
    assert [row[1:] for row in rows] == [msgspec.structs.astuple(log_line(done))]


async def test_nobody_changes_what_has_ended(store: SqliteJobStore, database: Transactions) -> None:
    await store.create(job())
    done = job(state="cancelled", ended_unix_ms=5)
    await store.save(done)
    assert not await store.save(job(state="running"), [event(1)], log_line(done))
    await store.append([(done.id, [event(1)])])
    assert await store.load(done.id) == done
    assert await store.read_events(done.id, 0, 9) == []
    count = await database.read(lambda connection: connection.execute("SELECT count(*) FROM generation_log").fetchone())
    assert count == (0,)


async def test_nobody_changes_what_was_called_again_since(store: SqliteJobStore) -> None:
    await store.create(job())
    assert await store.save(job(call=2, state="running"))
    assert not await store.save(job(call=1, state="failed", ended_unix_ms=1))
    assert await store.save(job(call=2, state="failed", ended_unix_ms=1))


async def test_events_of_many_jobs_are_appended_at_once_and_read_by_pages(store: SqliteJobStore) -> None:
    for number in range(1, 101):
        await store.create(job(number))
    await store.append([(JobId(f"job-{number}"), [event(seq) for seq in range(1, 4)]) for number in range(1, 101)])
    assert [one.seq for one in await store.read_events(JobId("job-77"), 0, 2)] == [1, 2]
    assert [one.seq for one in await store.read_events(JobId("job-77"), 2, 2)] == [3]


async def test_old_jobs_are_forgotten_with_their_events_and_their_log_stays(
    store: SqliteJobStore, database: Transactions
) -> None:
    for number in (1, 2, 3):
        await store.create(job(number), [event(1)])
    for number in (1, 2):
        ended = job(number, state="completed", ended_unix_ms=number * 100)
        await store.save(ended, [], log_line(ended))
    assert await store.forget(150) == 1
    assert await store.read_events(JobId("job-1"), 0, 9) == []
    assert len(await store.list(None, active=False, limit=9)) == 2
    count = await database.read(lambda connection: connection.execute("SELECT count(*) FROM generation_log").fetchone())
    assert count == (2,)


async def test_a_job_that_cannot_be_read_is_damage_and_not_a_missing_job(
    store: SqliteJobStore, database: Transactions
) -> None:
    await store.create(job())

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE job SET body = ?", (b'{"id": 1}',))

    await database.write(spoil)
    with pytest.raises(StorageCorruptError):
        await store.load(JobId("job-1"))


async def test_an_answer_is_told_until_its_time_is_over(database: Transactions) -> None:
    cache = SqliteResponseCache(database)
    answer = CachedAnswer(text="voilà", usage=Usage(input_tokens=1, output_tokens=2), finish="stop", result={"a": 1})
    await cache.put("k", answer, 0, 100)
    assert await cache.get("k", 99) == answer
    assert await cache.get("k", 100) is None
    assert await cache.get("other", 0) is None
    await cache.put("later", answer, 100, 200)
    rows = await database.read(lambda connection: connection.execute("SELECT key FROM cached_answer").fetchall())
    assert rows == [("later",)], "what is over is let go"


async def test_a_spoilt_answer_is_none(database: Transactions) -> None:
    cache = SqliteResponseCache(database)
    await database.write(
        lambda connection: connection.execute("INSERT INTO cached_answer VALUES ('k', ?, 100)", (b"{",)).close()
    )
    assert await cache.get("k", 0) is None


async def test_the_tally_tells_open_jobs_by_state_and_ended_ones_by_provider_and_state(store: SqliteJobStore) -> None:
    assert await store.tally() == JobTally({}, {})
    for number, state in enumerate(("queued", "queued", "running"), 1):
        await store.create(job(number, state=state))
    ended = msgspec.structs.replace(job(3), state="completed", ended_unix_ms=4)
    assert await store.save(ended, log=log_line(ended))
    other = msgspec.structs.replace(log_line(job(4)), provider="local", state="failed")
    await store.create(job(4))
    assert await store.save(msgspec.structs.replace(job(4), state="failed", ended_unix_ms=5), log=other)
    expected = JobTally({"queued": 2}, {("demo", "completed"): 1, ("local", "failed"): 1})
    assert await store.tally() == expected
    assert await store.forget(5) == 1
    assert await store.tally() == expected, "what was forgotten still counts"
