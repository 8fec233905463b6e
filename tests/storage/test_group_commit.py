"""Writes that wait share a commit, and nobody notices but the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event

import pytest

from canvas_server.core.errors import ExistsError, StorageUnavailableError
from canvas_server.storage.database import Database, open_database
from canvas_server.storage.group_commit import GROUP_MAX
from tests.crash import faults

Work = Callable[[sqlite3.Connection], int]


def insert(number: int, seen: list[int] | None = None) -> Work:
    """Return work that inserts a number and returns how many there were before."""

    def work(connection: sqlite3.Connection) -> int:
        before = int(connection.execute("SELECT count(*) FROM number").fetchone()[0])
        connection.execute("INSERT INTO number VALUES (?)", (number,))
        if seen is not None:
            seen.append(number)
        return before

    return work


def insert_and_refuse(connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO number VALUES (-1)")
    raise ExistsError("refused")


def make_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE number (number UNIQUE)")


def on_disk(path: Path) -> list[int]:
    """Return the numbers that a connection of its own finds."""
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM number ORDER BY rowid")]


class Gate:
    """Work that waits in the thread until it may go on, while other work gathers."""

    def __init__(self) -> None:
        self.reached = Event()
        self.open = Event()

    def __call__(self, _connection: sqlite3.Connection) -> int:
        self.reached.set()
        assert self.open.wait(10)
        return -1


async def gathered(database: Database, *works: Work) -> list[int | BaseException]:
    """Have works wait together, and return what came of each."""
    gate = Gate()
    first = asyncio.ensure_future(database.write(gate))
    await asyncio.to_thread(gate.reached.wait, 10)
    tasks = [asyncio.ensure_future(database.write(work)) for work in works]
    await asyncio.sleep(0.01)
    gate.open.set()
    await first
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def in_thread(database: Database, act: Callable[[sqlite3.Connection], None]) -> None:
    """Do something with the connection that writes, where it may be touched and outside of any transaction."""
    writer = database._writer
    await asyncio.get_running_loop().run_in_executor(writer._executor, act, writer._connection)


async def commits_of(database: Database) -> list[str]:
    """Return a list that takes in every commit from now on."""
    done: list[str] = []
    trace = lambda statement: done.append(statement) if statement == "COMMIT" else None  # noqa: E731
    await in_thread(database, lambda connection: connection.set_trace_callback(trace))
    return done


def deny_commits(action: int, what: str | None, *_rest: str | None) -> int:
    return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK


async def test_what_waits_is_committed_together_in_order(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        commits = await commits_of(database)
        told = await gathered(database, *(insert(number) for number in range(20)))
        assert told == list(range(20)), "each sees those before it"
        assert len(commits) == 2, "the gate's and one for all"
        assert on_disk(database.path) == list(range(20))


async def test_a_group_has_a_bound(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        commits = await commits_of(database)
        await gathered(database, *(insert(number) for number in range(GROUP_MAX + 1)))
        assert len(commits) == 3
        assert on_disk(database.path) == list(range(GROUP_MAX + 1))


async def test_one_that_fails_has_changed_nothing_and_harms_no_other(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        told = await gathered(database, insert(1), insert_and_refuse, insert(2), insert(1), insert(3))
        assert told[0] == 0
        assert isinstance(told[1], ExistsError)
        assert told[2] == 1
        assert isinstance(told[3], sqlite3.IntegrityError)
        assert told[4] == 2
        assert on_disk(database.path) == [1, 2, 3]


async def test_what_is_of_one_kind_is_done_in_one_go_in_order(tmp_path: Path) -> None:
    done: list[Sequence[int]] = []

    def insert_all(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        done.append(numbers)
        connection.executemany("INSERT INTO number VALUES (?)", [(number,) for number in numbers])

    async with open_database(tmp_path) as database:
        await database.write(make_table)
        commits, gate = await commits_of(database), Gate()
        first = asyncio.ensure_future(database.write(gate))
        await asyncio.to_thread(gate.reached.wait, 10)
        asked = [
            asyncio.ensure_future(database.write(insert(number)))
            if number == 4
            else asyncio.ensure_future(database.write_among(number, insert_all))
            for number in (1, 2, 3, 4, 5, 3, 6)
        ]
        await asyncio.sleep(0.01)
        gate.open.set()
        told = await asyncio.gather(first, *asked, return_exceptions=True)
        assert done[:2] == [[1, 2, 3], [5, 3, 6]]
        assert [type(one) for one in told if isinstance(one, Exception)] == [sqlite3.IntegrityError]
        assert on_disk(database.path) == [1, 2, 3, 4, 5, 6]
        before = len(commits)
        await asyncio.gather(*(database.write_among(number, insert_all) for number in range(10, 30)))
        assert len(commits) <= before + 2
        assert on_disk(database.path)[6:] == list(range(10, 30))


async def test_nobody_is_told_before_the_commit(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        seen: list[int] = []
        before, within = Gate(), Gate()
        first = asyncio.ensure_future(database.write(before))
        await asyncio.to_thread(before.reached.wait, 10)
        tasks = [asyncio.ensure_future(database.write(work)) for work in (insert(1, seen), within, insert(2, seen))]
        await asyncio.sleep(0.01)
        before.open.set()
        await first
        assert await asyncio.to_thread(within.reached.wait, 10)
        assert seen == [1]
        assert not any(task.done() for task in tasks), "the first of the group has run, and is not committed"
        assert on_disk(database.path) == []
        within.open.set()
        await asyncio.gather(*tasks)
        assert on_disk(database.path) == [1, 2]


async def test_a_database_that_is_locked_is_told_to_all_at_once(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(9.5):
                told = await asyncio.gather(*(database.write(insert(n)) for n in range(5)), return_exceptions=True)
        assert all(isinstance(error, StorageUnavailableError) for error in told), told
        assert len(set(map(id, told))) == 5, "an error of its own for each"
        assert on_disk(database.path) == []
        assert await database.write(insert(7)) == 0


async def test_a_commit_that_fails_has_made_nothing_durable(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        await in_thread(database, lambda connection: connection.set_authorizer(deny_commits))
        told = await asyncio.gather(*(database.write(insert(number)) for number in range(4)), return_exceptions=True)
        assert all(isinstance(error, Exception) for error in told), told
        await in_thread(database, lambda connection: connection.set_authorizer(None))
        assert on_disk(database.path) == []
        assert await database.write(insert(1)) == 0


def insert_large(connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO number VALUES (?)", (bytes(700 * 1024),))
    return 0


async def test_a_write_for_which_the_database_may_not_grow_fails_alone(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        pages = await database.write(lambda c: int(c.execute("PRAGMA page_count").fetchone()[0]))
        await database.write(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 4}").fetchone())
        told = await gathered(database, insert(1), insert_large, insert(2))
        assert isinstance(told[1], StorageUnavailableError)
        assert (told[0], told[2]) == (0, 1)
        assert on_disk(database.path) == [1, 2]


async def test_on_a_full_disk_what_still_has_room_is_written(tmp_path: Path) -> None:
    """There it is the commit that fails, and none of the works."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(faults.small_disk(tmp_path / "disk"))
        except faults.UnableError as error:
            pytest.skip(str(error))
        async with open_database(folder) as database:
            await database.write(make_table)
            told = await gathered(database, insert(1), insert_large, insert(2))
            assert isinstance(told[1], StorageUnavailableError)
            assert (told[0], told[2]) == (0, 1)
            assert on_disk(database.path) == [1, 2]


async def test_a_caller_that_goes_away_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        gate = Gate()
        tasks = [asyncio.ensure_future(database.write(work)) for work in (gate, insert(1), insert(2), insert(3))]
        await asyncio.sleep(0.01)
        tasks[2].cancel()
        await asyncio.sleep(0)
        gate.open.set()
        assert await tasks[1] == 0
        assert await tasks[3] == 2
        with pytest.raises(asyncio.CancelledError):
            await tasks[2]
        assert on_disk(database.path) == [1, 2, 3], "what was asked for is done"


async def test_closing_waits_for_all_that_waits(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(make_table)
        tasks = [asyncio.ensure_future(database.write(insert(number))) for number in range(GROUP_MAX * 2)]
        await asyncio.sleep(0)
    assert [task.done() and task.result() for task in tasks] == list(range(GROUP_MAX * 2))
    assert on_disk(tmp_path / "canvas.db") == list(range(GROUP_MAX * 2))
