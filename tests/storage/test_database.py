from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlmodel import select

from canvas_server.core.errors import CanvasError, StorageCorruptError, StorageUnavailableError
from canvas_server.storage import migrations
from canvas_server.storage.database import open_database
from canvas_server.storage.folder import lock_folder, unlock_folder
from canvas_server.storage.tables import CanvasRow


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def page_bytes(connection: sqlite3.Connection) -> int:
    count, size = (connection.execute(f"PRAGMA page_{name}").fetchone()[0] for name in ("count", "size"))
    return int(count * size)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
async def test_the_folder_and_all_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "data"
    async with open_database(data_dir) as database:
        await database.write(lambda connection: connection.execute("PRAGMA user_version = 2"))
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        assert modes(data_dir) == dict.fromkeys([".lock", "canvas.db", "canvas.db-shm", "canvas.db-wal"], 0o600)


async def test_closing_leaves_the_database_alone_without_its_log(tmp_path: Path) -> None:
    async with open_database(tmp_path):
        pass
    assert modes(tmp_path).keys() == {".lock", "canvas.db"}
    assert (tmp_path / ".lock").read_text() == ""


async def test_a_path_with_odd_characters_is_only_a_path(tmp_path: Path) -> None:
    data_dir = tmp_path / "a b%20?mode=memory#\u00e9"
    async with open_database(data_dir) as database:
        size_bytes = (data_dir / "canvas.db").stat().st_size
        assert size_bytes > 0
        assert await database.read(page_bytes) == size_bytes
        async with database.session() as session:
            assert (await session.exec(select(CanvasRow))).all() == []


async def test_a_second_opener_is_told_which_process_uses_the_folder(tmp_path: Path) -> None:
    async with open_database(tmp_path):
        with pytest.raises(StorageUnavailableError, match=f"process {os.getpid()}"):
            async with open_database(tmp_path):
                pass
    async with open_database(tmp_path):
        pass


PRAGMAS = {"foreign_keys": 1, "busy_timeout": 2000, "cell_size_check": 1, "trusted_schema": 0}


async def test_every_connection_has_its_pragmas(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:

        def read(connection: sqlite3.Connection) -> dict[str, int]:
            names = (*PRAGMAS, "synchronous", "journal_mode")
            return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

        assert await database.write(read) == PRAGMAS | {"synchronous": 2, "journal_mode": "wal"}
        assert (await database.read(read)).items() >= PRAGMAS.items()
        async with database.session() as session:
            connection = await session.connection()
            for name, value in PRAGMAS.items():
                assert (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one() == value


async def test_work_that_fails_is_rolled_back_and_the_next_is_not_in_its_transaction(tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (id)")
        raise ZeroDivisionError

    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone()[0])

    async with open_database(tmp_path) as database:
        with pytest.raises(ZeroDivisionError):
            await database.write(fail)
        assert await database.write(count) == 0


async def test_our_own_wrong_statements_are_not_taken_for_failures_of_the_disk(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        with pytest.raises(sqlite3.ProgrammingError):
            await database.write(lambda connection: connection.execute("SELECT ?", (1, 2)))


def _other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        migrations.upgrade(path)
        connection.execute("CREATE TABLE theirs (id)")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


NOT_OURS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("not a database " * 1000),
    "nothing at all": lambda path: path.write_bytes(b""),
    "the database of another program": _other_program,
    "a file that was cut": _cut,
    "a damaged header": lambda path: path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:]),
}


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("what", NOT_OURS)
async def test_a_file_that_is_not_our_database_is_refused_and_left_as_it_is(
    tmp_path: Path, what: str, readonly: bool
) -> None:
    async with open_database(tmp_path):
        pass
    path = tmp_path / "canvas.db"
    await asyncio.to_thread(NOT_OURS[what], path)
    before = path.read_bytes()
    with pytest.raises(StorageCorruptError, match=r"canvas\.db"):
        async with open_database(tmp_path, readonly=readonly):
            pass
    assert path.read_bytes() == before


async def test_a_log_without_its_database_is_not_mixed_into_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "canvas.db-wal").write_bytes(b"log")
    with pytest.raises(StorageCorruptError, match="log"):
        async with open_database(tmp_path):
            pass
    assert not (tmp_path / "canvas.db").exists()


async def test_a_database_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "canvas.db.new").write_bytes(b"half")
    async with open_database(tmp_path):
        assert not (tmp_path / "canvas.db.new").exists()


async def test_a_schema_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write(lambda connection: connection.execute("UPDATE alembic_version SET version_num = '9999'"))
    for readonly in (False, True):
        with pytest.raises(StorageUnavailableError, match="newer") as refusal:
            async with open_database(tmp_path, readonly=readonly):
                pass
        assert refusal.value.hint


async def test_a_folder_that_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailableError, match="file") as refusal:
        async with open_database(tmp_path / "file" / "data"):
            pass
    assert refusal.value.hint


async def test_opening_that_failed_gives_the_folder_back(tmp_path: Path) -> None:
    path = tmp_path / "canvas.db"
    path.write_text("not a database")
    with pytest.raises(CanvasError):
        async with open_database(tmp_path):
            pass
    path.unlink()
    async with open_database(tmp_path):
        pass


async def test_reading_makes_neither_folder_nor_file(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match=r"canvas\.db"):
        async with open_database(tmp_path / "data", readonly=True):
            pass
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o755])
def test_a_new_folder_that_was_open_to_others_is_closed_to_them(tmp_path: Path, mode: int) -> None:
    (tmp_path / "presets").mkdir()
    tmp_path.chmod(mode)
    unlock_folder(lock_folder(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
@pytest.mark.parametrize("shared", [False, True])
async def test_a_database_that_lies_where_others_may_write_is_not_adopted(
    tmp_path: Path, mode: int, *, shared: bool
) -> None:
    data_dir = tmp_path / "data"
    async with open_database(data_dir):
        pass
    data_dir.chmod(mode)
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="others may write") as refusal:
            async with open_database(data_dir, shared=shared):
                pass
        assert f"chmod 700 {data_dir}" in refusal.value.hint
    assert stat.S_IMODE(data_dir.stat().st_mode) == mode
    data_dir.chmod(0o700)
    async with open_database(data_dir, shared=shared):
        pass


def test_a_database_planted_while_the_folder_is_being_closed_is_not_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    closed = Path.chmod

    def chmod(path: Path, mode: int) -> None:
        (tmp_path / "canvas.db").touch()
        closed(path, mode)

    monkeypatch.setattr(Path, "chmod", chmod)
    with pytest.raises(StorageUnavailableError, match="others may write"):
        lock_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["canvas.db", "canvas.db-wal", ".lock", "token", "server.json", "tls", "presets"])
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_what_another_user_put_into_the_folder_is_not_used(tmp_path: Path, name: str, mode: int) -> None:
    path = tmp_path / name
    path.mkdir() if name in ("tls", "presets") else path.touch()
    os.chown(path, 12_345, -1)
    tmp_path.chmod(mode)
    with pytest.raises(StorageUnavailableError, match=name if mode != 0o777 else "belongs|others") as refusal:
        lock_folder(tmp_path)
    assert refusal.value.hint
    assert (tmp_path / name).stat().st_uid == 12_345


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_root_uses_the_folder_of_another_user_with_what_both_put_there(tmp_path: Path) -> None:
    async with open_database(tmp_path):
        pass
    for path in (tmp_path, tmp_path / "canvas.db"):
        os.chown(path, 12_345, -1)
    async with open_database(tmp_path):
        pass


@pytest.mark.parametrize("name", ["canvas.db", "canvas.db-wal", "canvas.db-shm", "token"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_name_that_is_opened_and_is_no_plain_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir(mode=0o700)
    match kind:
        case "link":
            (tmp_path / "elsewhere").touch()
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)
    with pytest.raises(StorageUnavailableError, match=rf"{name} is no plain file") as refusal:
        lock_folder(path.parent)
    assert refusal.value.hint


@pytest.mark.parametrize(("mode", "then"), [(0o660, 0o600), (0o602, 0o600), (0o666, 0o600), (0o644, 0o644)])
async def test_what_others_may_write_is_closed_to_them(tmp_path: Path, mode: int, then: int) -> None:
    async with open_database(tmp_path):
        pass
    for name in ("canvas.db", "token"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    async with open_database(tmp_path):
        assert modes(tmp_path) == {
            ".lock": 0o600,
            **dict.fromkeys(("canvas.db", "canvas.db-wal", "canvas.db-shm", "token"), then),
        }


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(StorageUnavailableError, match="belongs to another user"):
        lock_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".lock").symlink_to(elsewhere)
    with pytest.raises(StorageUnavailableError):
        async with open_database(tmp_path / "data"):
            pass
    assert elsewhere.read_text() == "mine"


async def test_a_shared_database_is_opened_beside_a_server_and_written_to(tmp_path: Path) -> None:
    async with open_database(tmp_path), open_database(tmp_path, shared=True) as beside:
        await beside.write(lambda connection: connection.execute("UPDATE identity_count SET count = 7"))
        assert await beside.read(
            lambda connection: connection.execute("SELECT count FROM identity_count").fetchone()
        ) == (7,)
