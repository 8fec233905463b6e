"""`canvas_server.doctor`: what is found in a folder, a database and an address, and that looking changes nothing."""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from canvas_server.config import load
from canvas_server.core.errors import StorageUnavailableError
from canvas_server.doctor import DATABASE_NAME, LOCK_NAME, Finding, examine
from canvas_server.storage import folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def findings(data: Path, environ: Mapping[str, str] | None = None, **flags: object) -> dict[str, Finding]:
    """Examine, with port 0 unless told otherwise, and return the finding of each check."""
    given = {"storage.data_dir": str(data), "server.port": 0} | {
        name.replace("__", "."): value for name, value in flags.items()
    }
    environ = environ or {}
    found = tuple(examine(lambda: load(environ=environ, flags=given, directory=data), environ))
    assert len({finding.check for finding in found}) == len(found)
    return {finding.check: finding for finding in found}


def make_database(path: Path, *, migrations: tuple[str, ...] = ("0001",)) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("CREATE TABLE canvas (text TEXT)")
        database.executemany("INSERT INTO alembic_version VALUES (?)", [(one,) for one in migrations])
        database.executemany("INSERT INTO canvas VALUES (?)", [("x" * 500,)] * 100)
        database.commit()


def test_the_doctor_looks_at_the_files_that_the_store_keeps() -> None:
    assert (DATABASE_NAME, LOCK_NAME) == (folder.DATABASE_NAME, folder.LOCK_NAME)


def test_a_new_folder_of_our_own_is_ready(data: Path) -> None:
    found = findings(data)

    assert not [finding for finding in found.values() if finding.level == "fail"]
    assert found["data folder"] == Finding("data folder", "ok", f"{data} is ours alone")
    assert found["database"].detail == "canvas.db will be made at first start"
    assert found["lock"].detail == "no server runs here"


def test_an_absent_folder_will_be_made(data: Path) -> None:
    assert findings(data / "a" / "b")["data folder"].detail == f"{data}/a/b will be made at first start"


def test_a_file_in_the_place_of_the_folder_fails(data: Path) -> None:
    (data / "file").touch()

    assert findings(data / "file")["data folder"].level == "fail"
    assert findings(data / "file" / "below")["data folder"].level == "fail"


@pytest.mark.parametrize(
    ("mode", "level", "with_database"),
    [(0o700, "ok", "ok"), (0o755, "ok", "ok"), (0o770, "warn", "fail"), (0o777, "warn", "fail")],
)
def test_a_folder_that_others_may_write_in_is_told(data: Path, mode: int, level: str, with_database: str) -> None:
    data.chmod(mode)
    assert findings(data)["data folder"].level == level
    make_database(data / "canvas.db")
    assert findings(data)["data folder"].level == with_database


def test_the_doctor_refuses_the_folders_that_the_store_refuses(data: Path) -> None:
    (data.parent / "elsewhere").touch()
    (data / "token").symlink_to(data.parent / "elsewhere")

    found = findings(data)["data folder"]

    with pytest.raises(StorageUnavailableError, match="token") as refusal:
        folder.lock_folder(data)
    assert (found.level, found.detail) == ("fail", str(refusal.value))
    assert found.mend.lower() in refusal.value.hint.lower()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_doctor_tells_root_that_it_may_use_the_folder_of_another_but_not_what_a_third_put_there(data: Path) -> None:
    os.chown(data, 12_345, -1)
    assert findings(data)["data folder"].level == "ok"
    (data / "presets").mkdir()
    os.chown(data / "presets", 54_321, -1)
    assert f"{data}/presets belongs to another user" in findings(data)["data folder"].detail


@pytest.mark.parametrize(("mode", "level"), [(0o600, "ok"), (0o640, "warn"), (0o644, "warn")])
def test_a_database_that_others_may_read_is_told(data: Path, mode: int, level: str) -> None:
    make_database(data / "canvas.db")
    (data / "canvas.db").chmod(mode)

    assert findings(data)["database file"].level == level


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every file")
def test_a_database_that_may_not_be_written_to_fails(data: Path) -> None:
    make_database(data / "canvas.db")
    (data / "canvas.db").chmod(0o400)

    assert findings(data)["database file"].level == "fail"


def test_an_ephemeral_server_needs_no_folder(data: Path) -> None:
    found = findings(data / "absent", storage__ephemeral=True)

    assert found["data folder"].detail == "not used: storage.ephemeral is set"
    assert "database" not in found


def test_a_sound_database_is_read_without_leaving_a_trace(data: Path) -> None:
    make_database(data / "canvas.db")
    before = sorted(data.iterdir())

    found = findings(data)

    assert found["database"].detail == "quick_check finds nothing"
    assert found["migrations"].detail == "at 0001; the server brings it up to date when it starts"
    assert sorted(data.iterdir()) == before


def test_a_database_in_use_is_read_with_what_its_wal_holds(data: Path) -> None:
    make_database(data / "canvas.db")
    with closing(sqlite3.connect(data / "canvas.db")) as server:
        server.execute("UPDATE alembic_version SET version_num = '0002'")
        server.commit()

        assert findings(data)["migrations"].detail.startswith("at 0002;")


@pytest.mark.parametrize("migrations", [(), ("0001", "0002")])
def test_a_database_without_its_one_migration_version_fails(data: Path, migrations: tuple[str, ...]) -> None:
    make_database(data / "canvas.db", migrations=migrations)

    assert findings(data)["migrations"].level == "fail"


def test_a_database_of_another_program_fails(data: Path) -> None:
    with closing(sqlite3.connect(data / "canvas.db")) as database:
        database.execute("CREATE TABLE other (x)")

    assert findings(data)["migrations"].level == "fail"


def test_a_damaged_page_fails(data: Path) -> None:
    path = data / "canvas.db"
    make_database(path)
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xff" * 4096
    path.write_bytes(content)

    assert findings(data)["database"].level == "fail"


def test_a_file_that_is_no_database_fails(data: Path) -> None:
    (data / "canvas.db").write_bytes(b"garbage" * 1000)

    found = findings(data)["database"]

    assert (found.level, found.mend) == ("fail", "restore it from a backup; keep this file")


def test_a_lock_that_is_held_names_its_server(data: Path) -> None:
    with (data / ".lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert findings(data)["lock"] == Finding(
            "lock", "warn", "a server runs here, pid 4711", "stop it before you start another"
        )


def test_a_lock_that_a_killed_server_left_does_not_matter(data: Path) -> None:
    (data / ".lock").write_text(f"{os.getpid()}\n")

    assert findings(data)["lock"].level == "ok"


def test_a_busy_port_fails_unless_our_own_server_has_it(data: Path, busy_port: int) -> None:
    assert findings(data, server__port=busy_port)["address"].level == "fail"

    with (data / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert findings(data, server__port=busy_port)["address"].level == "warn"


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 300, "a..b"])
def test_a_host_that_is_not_ours_fails(data: Path, host: str) -> None:
    assert findings(data, server__mode="lan", server__host=host)["address"].level == "fail"


def test_a_server_that_asks_nobody_for_credentials_is_told(data: Path) -> None:
    assert "nobody is asked" in findings(data, server__auth=False)["exposure"].detail
    assert "exposure" not in findings(data, server__host="localhost")


def test_a_variable_that_nothing_reads_is_told(data: Path) -> None:
    found = findings(data, {"CANVAS_SERVR_PORT": "1", "CANVAS_SERVER_HOST": "localhost", "HOME": "/"})

    assert found["environment"] == Finding(
        "environment", "warn", "nothing reads CANVAS_SERVR_PORT", "correct or unset these variables"
    )


def test_settings_that_cannot_be_used_do_not_hide_what_needs_none(data: Path) -> None:
    found = findings(data, {"CANVAS_SERVER_PROT": "1"})

    assert found["settings"].level == "fail"
    assert {"python", "sqlite", "libraries"} <= found.keys()
    assert "database" not in found
