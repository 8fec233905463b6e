from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Event

import msgspec
import pytest

from canvas_server.core.errors import CanvasError, NotFoundError, StorageCorruptError, StorageUnavailableError
from canvas_server.core.ids import CanvasRef
from canvas_server.storage.canvas_rows import text_values
from canvas_server.storage.canvas_writes import FORGOTTEN_OPS_MAX
from canvas_server.storage.canvases import SqliteCanvasStore, open_store
from canvas_server.storage.database import Database, open_database
from tests.storage.author import CREATED, REF, Author, create, inserted


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> SqliteCanvasStore:
    return SqliteCanvasStore(database)


async def run(database: Database, statement: str) -> None:
    await database.write(lambda connection: connection.execute(statement).fetchall())


async def test_what_was_saved_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    author = Author()
    async with open_store(tmp_path) as store:
        key = await create(store)
        await store.save(author.checkpoint(key, 5, full=True))
        await store.save(author.checkpoint(key, 5))
        before = await store.load(REF, 100)
    async with open_store(tmp_path) as store:
        assert await store.load(REF, 100) == before


async def test_the_key_of_a_deleted_canvas_is_never_given_again(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        first = await create(store)
        await store.delete(first)
    async with open_store(tmp_path) as store:
        assert await create(store) > first


async def test_a_deleted_canvas_leaves_no_row_behind(database: Database, store: SqliteCanvasStore) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 5, full=True))
    await store.delete(key)
    tables = ("canvas", "canvas_text", "canvas_op")

    def count(connection: sqlite3.Connection) -> list[int]:
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]

    assert await database.read(count) == [0, 0, 0]


async def test_checkpoints_that_wait_together_are_saved_in_a_few_statements(
    database: Database, store: SqliteCanvasStore
) -> None:
    statements: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(statements.append))
    authors = {await create(store, CanvasRef(f"canvas-{number}")): Author() for number in range(70)}
    statements.clear()
    held, done = Event(), asyncio.ensure_future(database.write(lambda _connection: held.wait(10)))
    saving = [store.save(author.checkpoint(key, 3, full=key % 7 == 0)) for key, author in authors.items()]
    tasks = [asyncio.ensure_future(one) for one in saving]
    await asyncio.sleep(0.01)
    held.set()
    await asyncio.gather(done, *tasks)
    assert sum(statement.startswith("UPDATE canvas ") for statement in statements) == 4
    assert sum(statement.startswith("INSERT INTO canvas_op ") for statement in statements) == 6
    assert statements.count("COMMIT") <= 2
    for number, author in enumerate(authors.values()):
        loaded = await store.load(CanvasRef(f"canvas-{number}"), 100)
        assert loaded.canvas.version == author.version
        assert [op.seq for op in loaded.recent] == [1, 2, 3]


async def test_checkpoints_of_which_one_cannot_be_saved_are_saved_alone(
    database: Database, store: SqliteCanvasStore
) -> None:
    author, other = Author(), Author()
    key, another, gone = [await create(store, CanvasRef(f"canvas-{number}")) for number in range(3)]
    await store.save(author.checkpoint(key, 2))
    held, done = Event(), asyncio.ensure_future(database.write(lambda _connection: held.wait(10)))
    requests = [
        author.checkpoint(key, 1),
        Author().checkpoint(gone, 1),
        author.checkpoint(key, 1),
        other.checkpoint(another, 2),
    ]
    # As after a save whose caller went away: it begins where the one before it does.
    requests[2] = msgspec.structs.replace(requests[2], base_seq=2, ops=[*requests[0].ops, *requests[2].ops])
    tasks = [asyncio.ensure_future(store.delete(gone)), *(asyncio.ensure_future(store.save(one)) for one in requests)]
    await asyncio.sleep(0.01)
    held.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    await done
    assert [type(error) for error in told if error is not None] == [NotFoundError]
    assert isinstance(told[2], NotFoundError)
    assert (await store.get(CanvasRef("canvas-0"))).version == author.version
    assert (await store.get(CanvasRef("canvas-1"))).version == other.version


async def test_a_cancelled_checkpoint_becomes_durable_whole_and_the_next_follows(store: SqliteCanvasStore) -> None:
    author, key = Author(), await create(store)
    requests = [author.checkpoint(key, 3, full=True) for _ in range(20)]
    for request in requests:
        saving = asyncio.create_task(store.save(request))
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    await store.save(author.checkpoint(key, 1))
    loaded = await store.load(REF, 100)
    assert loaded.canvas.version == author.version
    assert [op.seq for op in loaded.recent] == list(range(1, 62))


async def test_after_a_cancelled_checkpoint_the_next_may_start_where_that_one_did(store: SqliteCanvasStore) -> None:
    key = await create(store)
    saving = asyncio.create_task(store.save(Author().checkpoint(key, 3)))
    await asyncio.sleep(0)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    await store.save(Author().checkpoint(key, 5))
    assert (await store.load(REF, 0)).canvas.version.seq == 5


async def test_cancelled_reads_leave_the_next_ones_whole(store: SqliteCanvasStore) -> None:
    key = await create(store)
    readers: list[Callable[[], Coroutine[object, object, object]]] = [
        lambda: store.get(REF),
        lambda: store.list(10, None),
        lambda: store.load(REF, 10),
        lambda: store.read_ops(key, 0, 10),
    ]
    for read in readers:
        for steps in range(6):
            reading = asyncio.create_task(read())
            for _ in range(steps):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert await read() is not None


async def test_closing_waits_for_a_checkpoint_whose_caller_is_gone(tmp_path: Path) -> None:
    author = Author()
    async with open_store(tmp_path) as store:
        key = await create(store)
        saving = asyncio.create_task(store.save(author.checkpoint(key, 50, full=True)))
        await asyncio.sleep(0)
        saving.cancel()
    async with open_store(tmp_path) as store:
        assert (await store.load(REF, 0)).canvas.version == author.version


async def test_many_at_once_are_served(store: SqliteCanvasStore) -> None:
    keys = await asyncio.gather(*(create(store, CanvasRef(f"c{number}")) for number in range(20)))
    authors = [Author() for _ in keys]
    for full in (False, True):
        pairs = zip(authors, keys, strict=True)
        await asyncio.gather(
            *(store.save(author.checkpoint(key, 5, full=full)) for author, key in pairs),
            *(store.load(CanvasRef(f"c{number}"), 100) for number in range(20)),
            *(store.get(CanvasRef(f"c{number}")) for number in range(20)),
        )
    assert {canvas.version.seq for canvas in (await store.list(100, None)).canvases} == {10}


async def test_a_long_history_is_cut_by_a_bounded_step_at_each_checkpoint(tmp_path: Path) -> None:
    author, long = Author(), FORGOTTEN_OPS_MAX + 10
    async with open_store(tmp_path) as store:
        key = await create(store)
        await store.save(author.checkpoint(key, long, full=True))
    async with open_store(tmp_path, history_ops_max=1) as store:
        for first_seq in (FORGOTTEN_OPS_MAX + 1, long + 1):
            await store.save(author.checkpoint(key, 1))
            assert (await store.read_ops(key, 0, 1))[0].seq == first_seq
            assert (await store.load(REF, 0)).canvas.version == author.version


# --- a world that fails ---


@contextmanager
def no_room_to_grow(path: Path) -> Iterator[None]:
    """Let no file of this process grow beyond the size of the database's log."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("canvas.db-wal").stat().st_size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the database's lock for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    path.rename(path.with_name("elsewhere"))
    yield
    path.with_name("elsewhere").rename(path)


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    with moved_away(path):
        path.write_bytes(path.with_name("elsewhere").read_bytes())
        yield


@pytest.mark.parametrize("fault", [no_room_to_grow, locked, moved_away, replaced])
async def test_a_write_that_fails_changes_nothing_and_works_again_when_the_cause_is_gone(
    database: Database, store: SqliteCanvasStore, fault: Callable[[Path], AbstractContextManager[None]]
) -> None:
    author, key = Author(), await create(store)
    await store.save(author.checkpoint(key, 3))
    await run(database, "PRAGMA busy_timeout = 1")
    before, request = await store.load(REF, 100), author.checkpoint(key, 50, full=True)
    with fault(database.path):
        for attempt in (store.save(request), store.check(), store.set_title(key, "No", CREATED), store.delete(key)):
            with pytest.raises(StorageUnavailableError, match=r"canvas\.db") as refusal:
                await attempt
            assert refusal.value.hint
    assert await store.load(REF, 100) == before
    await store.check()
    await store.save(request)
    assert (await store.load(REF, 100)).text == author.text()


async def test_a_full_database_refuses_a_checkpoint_whole(database: Database, store: SqliteCanvasStore) -> None:
    author, key = Author(), await create(store)
    await run(database, "PRAGMA max_page_count = 20")
    request = author.checkpoint(key, 2000, full=True)
    with pytest.raises(StorageUnavailableError, match="full"):
        await store.save(request)
    assert (await store.load(REF, 100)).canvas.version.seq == 0
    await run(database, "PRAGMA max_page_count = 1000000")
    await store.save(request)
    assert (await store.load(REF, 0)).text == author.text()


async def test_reading_goes_on_while_another_program_writes(database: Database, store: SqliteCanvasStore) -> None:
    await create(store)
    with locked(database.path):
        assert (await store.load(REF, 0)).canvas == await store.get(REF)


# --- beside a server ---


async def test_a_reader_beside_a_server_sees_what_is_durable_and_changes_nothing(tmp_path: Path) -> None:
    author = Author()
    async with open_store(tmp_path) as server:
        key = await create(server)
        async with open_store(tmp_path, readonly=True) as reader:
            for full in (False, True):
                await server.save(author.checkpoint(key, 5, full=full))
                loaded = await reader.load(REF, 0)
                assert loaded.text.content + inserted(list(loaded.recent)) == author.content
            for attempt in (reader.save(author.checkpoint(key, 1)), reader.check(), reader.delete(key)):
                with pytest.raises(StorageUnavailableError, match="may not be written to"):
                    await attempt
        assert (await server.get(REF)).version.seq == 10


async def test_a_reader_reads_what_a_stopped_server_left(tmp_path: Path) -> None:
    async with open_store(tmp_path) as server:
        await create(server)
    async with open_store(tmp_path, readonly=True) as reader:
        assert (await reader.load(REF, 0)).text == Author().text()
    async with open_store(tmp_path) as server:
        await server.check()


# --- what cannot be right ---

DAMAGE = {
    "a text that was changed": "UPDATE canvas_text SET content = 'other'",
    "a text of another type": "UPDATE canvas_text SET content = 1",
    "a text that is not UTF-8": "UPDATE canvas_text SET content = CAST(x'ff' AS TEXT)",
    "a text that is missing": "DELETE FROM canvas_text",
    "an operation that was changed": "UPDATE canvas_op SET event = '{}' WHERE seq = 2",
    "an operation without a value": "UPDATE canvas_op SET removed = x'' WHERE seq = 2",
    "an event that became a text": "UPDATE canvas_op SET event = CAST(event AS TEXT) WHERE seq = 2",
    "a name that became bytes": "UPDATE canvas_op SET op_id = CAST(op_id AS BLOB) WHERE seq = 2",
    "an operation of another name": "UPDATE canvas_op SET op_id = 'x' WHERE seq = 2",
    "an operation that is missing": "DELETE FROM canvas_op WHERE seq = 2",
    "a first operation that is missing": "DELETE FROM canvas_op WHERE seq = 1",
    "a last operation that is missing": "DELETE FROM canvas_op WHERE seq = 3",
    "no operation at all": "DELETE FROM canvas_op",
    "another version": "UPDATE canvas SET etag = 'W/\"3-0000000000000000\"'",
    "an older version": "UPDATE canvas SET seq = 2",
    "a newer version": "UPDATE canvas SET seq = 4",
    "a table that is missing": "DROP TABLE canvas_op",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_canvas_is_an_error_that_names_the_file_never_another_text(
    database: Database, store: SqliteCanvasStore, damage: str
) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 3))
    await run(database, DAMAGE[damage])
    with pytest.raises(StorageCorruptError, match=r"canvas\.db") as refusal:
        await store.load(REF, 100)
    assert refusal.value.hint


async def test_a_list_of_canvases_that_cannot_be_read_is_an_error_never_an_empty_list(
    database: Database, store: SqliteCanvasStore
) -> None:
    await create(store)
    await run(database, "DROP TABLE canvas")
    for attempt in (store.get(REF), store.list(10, None)):
        with pytest.raises(StorageCorruptError, match=r"canvas\.db"):
            await attempt


async def test_a_text_of_another_history_than_its_operations_is_damage(
    database: Database, store: SqliteCanvasStore
) -> None:
    key, author, other = await create(store), Author(), Author("other")
    await store.save(author.checkpoint(key, 3))
    await store.save(author.checkpoint(key, 2))
    other.write(3)
    row = text_values(key, other.text())
    await database.write(
        lambda connection: connection.execute("INSERT INTO canvas_text VALUES (?, ?, ?, ?, ?, ?)", row)
    )
    with pytest.raises(StorageCorruptError, match="text"):
        await store.load(REF, 100)


async def test_a_hole_in_the_past_is_an_error(database: Database, store: SqliteCanvasStore) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 6))
    await run(database, "DELETE FROM canvas_op WHERE seq = 3")
    for attempt in (store.read_ops(key, 0, 10), store.read_text(key, 3), store.read_text(key, 5)):
        with pytest.raises(StorageCorruptError, match=r"canvas\.db"):
            await attempt


async def test_a_database_overwritten_while_it_is_open_is_an_error_never_an_empty_canvas(
    database: Database, store: SqliteCanvasStore
) -> None:
    key = await create(store)
    await store.save(Author().checkpoint(key, 3))
    await run(database, "PRAGMA user_version = 1")
    for name in ("canvas.db", "canvas.db-wal"):
        file = database.path.with_name(name)
        file.write_bytes(b"garbage " * (file.stat().st_size // 8))
    with pytest.raises(CanvasError):
        await store.load(REF, 10)
