"""`generation.stream` and `event_log`: nothing is shown before it is stored, and every reader hears all of it once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.core.job import Job, JobEvent, JobId, JobSpec
from canvas_server.core.job_event import Complete, Result, Step, text_of
from canvas_server.generation.event_log import EventLog, Teller
from canvas_server.generation.stream import Feeds
from canvas_server.storage.jobs import SqliteJobStore
from canvas_server.storage.transactions import open_memory

JOB = JobId("job")


class SlowStore(SqliteJobStore):
    """Counts its writes, takes its time, and refuses when told to."""

    writes = 0
    refusals = 0
    gate: asyncio.Event | None = None

    async def append(self, batches: Sequence[tuple[JobId, Sequence[JobEvent]]]) -> None:
        self.writes += 1
        if self.refusals:
            self.refusals -= 1
            raise StorageUnavailableError("the disk is full")
        if self.gate is not None:
            await self.gate.wait()
        await super().append(batches)


async def prepare(store: SqliteJobStore, job_id: JobId = JOB) -> tuple[Feeds, Teller]:
    spec = JobSpec(prompt="x", provider="demo", model="demo", max_output_tokens=1)
    await store.create(Job(id=job_id, user="ada", kind="human", spec=spec, created_unix_ms=0))
    feeds = Feeds(store)
    return feeds, Teller(job_id, feeds.open(job_id, 0), EventLog(store))


async def read(feeds: Feeds, after_seq: int = 0, leave_after: int | None = None) -> list[JobEvent]:
    heard: list[JobEvent] = []
    async for told in feeds.follow(JOB, after_seq):
        assert not isinstance(told, int)
        heard += told
        if leave_after is not None and len(heard) >= leave_after:
            break
    return heard


def end() -> Complete:
    return Complete(total_tokens=0, cost=0, result=Result(finish="stop", chars=0))


async def test_nothing_is_shown_before_it_is_stored() -> None:
    async with open_memory() as database:
        store = SlowStore(database)
        feeds, teller = await prepare(store)
        store.gate = asyncio.Event()
        await teller.chunk("one", None)
        await asyncio.sleep(0)
        assert teller.feed.last_seq == 0
        store.gate.set()
        await teller.flush()
        assert [event.seq for event in await store.read_events(JOB, 0, 9)] == [1]
        assert teller.feed.last_seq == 1
        feeds.close(JOB)


async def test_what_comes_during_a_write_goes_into_the_next_one_together() -> None:
    async with open_memory() as database:
        store = SlowStore(database)
        _, teller = await prepare(store)
        store.gate = asyncio.Event()
        await teller.chunk("first", None)
        await asyncio.sleep(0)
        for number in range(100):
            await teller.chunk(f" {number}", number)
        store.gate.set()
        await teller.flush()
        events = await store.read_events(JOB, 0, 9)
        assert [text_of(event) for event in events] == ["first", "".join(f" {number}" for number in range(100))]
        assert events[1].cursor == 99, "the provider goes on after the newest of them"
        assert store.writes == 2


async def test_other_things_are_told_in_their_place() -> None:
    async with open_memory() as database:
        store = SlowStore(database)
        _, teller = await prepare(store)
        await teller.chunk("a", None)
        teller.tell(Step(step="validating"))
        await teller.chunk("b", None)
        teller.tell(end())
        await teller.flush()
        kinds = [event.kind for event in await store.read_events(JOB, 0, 9)]
        assert kinds == ["chunk", "step", "chunk", "complete"]


async def test_a_long_piece_is_cut_into_events_that_any_reader_takes() -> None:
    async with open_memory() as database:
        store = SlowStore(database)
        _, teller = await prepare(store)
        text = "\x01😀é" * 100_000
        await teller.chunk(text, None)
        await teller.flush()
        events = await store.read_events(JOB, 0, 99)
        assert "".join(map(text_of, events)) == text
        assert max(len(event.data) for event in events) < 256 * 1024


async def test_a_store_that_is_busy_for_a_while_loses_nothing() -> None:
    async with open_memory() as database:
        store = SlowStore(database)
        _, teller = await prepare(store)
        store.refusals = 2
        await teller.chunk("kept", None)
        await teller.flush()
        assert [text_of(event) for event in await store.read_events(JOB, 0, 9)] == ["kept"]


async def test_a_store_that_stays_refused_is_told_to_who_tells() -> None:
    async with open_memory() as database:
        store = SlowStore(database)
        _, teller = await prepare(store)
        store.refusals = 1_000
        await teller.chunk("lost", None)
        with pytest.raises(StorageUnavailableError):
            await teller.flush()
        with pytest.raises(StorageUnavailableError):
            await teller.chunk("more", None)
        assert teller.feed.last_seq == 0


@settings(max_examples=40)
@given(
    pieces=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=60),
    readers=st.lists(st.tuples(st.integers(0, 70), st.integers(1, 30)), min_size=1, max_size=6),
)
def test_whoever_comes_goes_and_comes_back_hears_every_event_once(
    pieces: list[str], readers: list[tuple[int, int]]
) -> None:
    async def check() -> None:
        async with open_memory() as database:
            feeds, teller = await prepare(SlowStore(database))

            async def reader(begin_after: int, leave_after: int) -> list[JobEvent]:
                for _ in range(begin_after):
                    await asyncio.sleep(0)
                heard: list[JobEvent] = []
                while not heard or heard[-1].kind != "complete":
                    heard += await read(feeds, heard[-1].seq if heard else 0, leave_after)
                return heard

            reading = [asyncio.create_task(reader(*times)) for times in readers]
            for piece in pieces:
                await teller.chunk(piece, None)
                await asyncio.sleep(0)
            teller.tell(end())
            await teller.flush()
            feeds.close(JOB)
            for heard in await asyncio.gather(*reading):
                assert [event.seq for event in heard] == list(range(1, len(heard) + 1))
                assert "".join(text_of(event) for event in heard if event.kind == "chunk") == "".join(pieces)

    asyncio.run(check())


async def test_a_reader_far_behind_reads_the_store() -> None:
    async with open_memory() as database:
        feeds, teller = await prepare(SlowStore(database))
        for number in range(2_000):
            teller.tell(Step(step="generating", retry_in_ms=number))
        teller.tell(end())
        await teller.flush()
        assert len(await read(feeds)) == 2_001
        for behind in (511, 512, 513, 514):
            assert len(await read(feeds, 2_001 - behind)) == behind


async def test_a_reader_of_a_job_that_stops_here_is_let_go() -> None:
    async with open_memory() as database:
        feeds, teller = await prepare(SlowStore(database))
        await teller.chunk("so far", None)
        await teller.flush()
        reading = asyncio.create_task(read(feeds))
        await asyncio.sleep(0.01)
        feeds.close(JOB)
        assert [text_of(event) for event in await reading] == ["so far"]
