from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec
import pytest

from canvas_server.core.errors import CanvasError, ExistsError, StorageCorruptError, StorageUnavailableError
from canvas_server.storage import migrations
from canvas_server.storage.archive import verify_backup
from canvas_server.storage.backup import Origin, write_backup
from canvas_server.storage.backup_format import MANIFEST_NAME, FileEntry, Manifest, decode_manifest, encode_manifest
from canvas_server.storage.canvases import open_store
from canvas_server.storage.database import APPLICATION_ID
from canvas_server.storage.folder import lock_folder, unlock_folder
from canvas_server.storage.work_folder import work_folder
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.storage.damage import DATABASE, LOG, cut, flip, save_and_copy
from tests.storage.keeping import (
    DIALOGUE,
    KINDS,
    NOW,
    PRESET,
    STAMP,
    back_up,
    make_sides,
    names_in,
    put_json,
    quiet,
    read_all,
    restore,
)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a crash leaves it, with a log; copy it."""
    folder = tmp_path_factory.mktemp("backup")
    asyncio.run(save_and_copy(folder / "data", folder / "crashed"))
    put_json(folder / "crashed", "crashed")
    return folder / "crashed"


@pytest.fixture
def data_dir(tmp_path: Path, crashed: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(crashed, tmp_path / "crashed")


async def test_what_was_backed_up_comes_back(tmp_path: Path, data_dir: Path) -> None:
    made = back_up(data_dir, tmp_path / "b.zip")
    restored = restore(tmp_path / "b.zip", tmp_path / "new")
    assert await read_all(tmp_path / "new") == await read_all(data_dir)
    assert restored == (made.manifest, None, None)
    assert made.manifest.counts == {"canvases": 3, "operations": 465, "users": 0}
    assert [entry.name for entry in made.manifest.files] == [DATABASE, PRESET, DIALOGUE]
    assert made.manifest.schema == migrations.newest_revision()
    assert made.manifest.created == "2026-11-21T13:55:24.712Z"


def test_a_backup_is_for_its_owner_alone_and_nothing_else_is_left(tmp_path: Path, data_dir: Path) -> None:
    before = names_in(tmp_path)
    assert back_up(data_dir, tmp_path / "b.zip").size_bytes == (tmp_path / "b.zip").stat().st_size
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600
    assert names_in(tmp_path) - before == {"b.zip"}
    restore(tmp_path / "b.zip", tmp_path / "new")
    assert names_in(tmp_path / "new") == {".lock", DATABASE, "presets", "interactions"}
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_file_that_is_there_is_replaced_only_when_that_is_asked_for(tmp_path: Path, data_dir: Path) -> None:
    file = tmp_path / "b.zip"
    file.write_text("mine")
    with pytest.raises(ExistsError):
        back_up(data_dir, file)
    assert file.read_text() == "mine"
    back_up(data_dir, file, replace=True)
    assert verify_backup(file, KINDS, quiet).counts["canvases"] == 3
    with pytest.raises(ExistsError):
        back_up(data_dir, data_dir, replace=True)


def test_a_backup_is_not_paired_of_what_was_before_and_after_a_restore(tmp_path: Path, data_dir: Path) -> None:
    other = back_up(data_dir, tmp_path / "other.zip")
    restored: list[object] = []

    def restore_meanwhile(_what: str, _done: int, _total: int) -> None:
        if not restored:
            restored.append(restore(tmp_path / "other.zip", data_dir, force=True))

    with pytest.raises(StorageUnavailableError, match="restored while"):
        write_backup(Origin(data_dir, KINDS, "0.0", NOW), tmp_path / "b.zip", restore_meanwhile, replace=False)
    assert len(restored) == 1
    assert not (tmp_path / "b.zip").exists()
    assert back_up(data_dir, tmp_path / "b.zip").manifest.counts == other.manifest.counts


def test_only_files_of_ours_are_backed_up(tmp_path: Path, data_dir: Path) -> None:
    (data_dir / "presets" / "README.txt").write_text("not ours")
    (data_dir / "presets" / "no-uuid.json").write_text("{}")
    (data_dir / "interactions" / "link.json").symlink_to(data_dir / PRESET)
    (data_dir / "interactions" / "folder.json").mkdir()
    assert [entry.name for entry in back_up(data_dir, tmp_path / "b.zip").manifest.files] == [
        DATABASE,
        PRESET,
        DIALOGUE,
    ]


@pytest.mark.parametrize("content", [b'{"cut', b"[]", b'{"a": "\xff"}', b'{"a": "' + b"x" * 100_000 + b'"}'])
def test_a_json_file_that_the_server_could_not_read_is_told_and_nothing_backed_up(
    tmp_path: Path, data_dir: Path, content: bytes
) -> None:
    (data_dir / DIALOGUE).write_bytes(content)
    with pytest.raises(StorageCorruptError, match=r"interactions/notes\.json"):
        back_up(data_dir, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE canvas_op SET event = event || 'x' WHERE canvas_id = 2 AND seq = 9", "canvas two: an operation"),
        ("UPDATE canvas_text SET content = content || 'x' WHERE canvas_id = 1", "canvas one: a text"),
        ("DELETE FROM canvas_op WHERE canvas_id = 3 AND seq = 20", "canvas three: operations between 19 and 21"),
        ("DELETE FROM canvas_op WHERE canvas_id = 3 AND seq < 20", "canvas three: operations before 20 are missing"),
        ("DELETE FROM canvas_op WHERE canvas_id = 3 AND seq > 20", "canvas three: its history ends at"),
        ("DELETE FROM canvas_text WHERE canvas_id = 3", "canvas three: it has no text"),
        ("UPDATE canvas SET seq = seq + 1 WHERE id = 1", "canvas one: its history ends at"),
        ("DELETE FROM canvas WHERE id = 1", "belongs to nothing"),
    ],
)
def test_all_damage_is_told_and_nothing_backed_up(tmp_path: Path, data_dir: Path, statement: str, told: str) -> None:
    (data_dir / PRESET).write_text("{")
    with closing(sqlite3.connect(data_dir / DATABASE)) as connection, connection:
        connection.execute(statement)
    with pytest.raises(StorageCorruptError) as error:
        back_up(data_dir, tmp_path / "b.zip")
    assert told in str(error.value)
    assert PRESET in str(error.value)
    assert names_in(tmp_path) == {"crashed"}


@pytest.mark.promise("R9", "R5")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=900))
async def test_a_database_with_a_flipped_bit_is_refused_or_backed_up_as_it_was(
    tmp_path: Path, data_dir: Path, findings: Findings
) -> None:
    right, random, refused = await read_all(data_dir), Random(3), 0
    whole, variants = (data_dir / DATABASE).read_bytes(), amount(ci=60, hand=500)
    for number in range(variants):
        folder = tmp_path / f"{number}"
        shutil.copytree(data_dir, folder)
        (folder / DATABASE).write_bytes(flip(whole, random))
        try:
            back_up(folder, tmp_path / f"{number}.zip")
        except (StorageCorruptError, StorageUnavailableError):
            assert not (tmp_path / f"{number}.zip").exists()
            refused += 1
            continue
        restore(tmp_path / f"{number}.zip", tmp_path / f"{number}-new")
        assert await read_all(tmp_path / f"{number}-new") == right
    findings.tell("R9", f"backups of {variants} databases with a flipped bit", f"{refused} refused", "0 wrong")
    assert refused >= variants / 5


@pytest.mark.promise("R9", "R8")
@pytest.mark.slow
async def test_a_backup_that_is_damaged_is_refused_or_restores_what_was_backed_up(
    tmp_path: Path, data_dir: Path, findings: Findings
) -> None:
    back_up(data_dir, tmp_path / "b.zip")
    right, random, refused = await read_all(data_dir), Random(4), 0
    whole, bad = (tmp_path / "b.zip").read_bytes(), tmp_path / "bad.zip"
    for number in range(200):
        bad.write_bytes((flip, cut)[number % 2](whole, random))
        try:
            restore(bad, tmp_path / f"{number}")
        except CanvasError as error:
            assert "bad.zip" in str(error)  # noqa: PT017 - some are restored
            assert names_in(tmp_path / f"{number}") == {".lock"}
            refused += 1
        else:
            assert await read_all(tmp_path / f"{number}") == right
    findings.tell("R9", "200 backups with a flipped bit or cut", f"{refused} refused", "0 wrong")
    assert refused > 150


EMPTY_SHA256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
"""Of `{}`."""


def trick(file: Path, to: Path, change: str) -> None:
    """Write a backup again with something that a backup does not have."""
    what, _, name = change.partition(":")
    with ZipFile(file) as packed:
        contents = {one: packed.read(one) for one in packed.namelist()}
    manifest = msgspec.json.decode(contents.pop(MANIFEST_NAME), type=Manifest)
    changed = tricky_manifest(manifest, what, name)
    contents = tricky_contents(contents, what, name)
    with ZipFile(to, "w", ZIP_BZIP2 if what == "bzip2" else ZIP_DEFLATED) as packed:
        for one, content in contents.items():
            info = ZipInfo(one)
            info.compress_type = packed.compression
            if (what, name) == ("link", one):
                info.external_attr = 0o120777 << 16
            packed.writestr(info, content)
        if what == "twice":
            packed.writestr(name, contents[name])
        if what != "no manifest":
            packed.writestr(MANIFEST_NAME, encode_manifest(changed))


def tricky_contents(contents: dict[str, bytes], what: str, name: str) -> dict[str, bytes]:
    match what:
        case "named" | "unnamed":
            return {**contents, name: b"{}"}
        case "missing":
            return {one: content for one, content in contents.items() if one != name}
        case "bomb":
            return {**contents, name: contents[name] + bytes(50_000_000)}
        case _:
            return contents


def tricky_manifest(manifest: Manifest, what: str, name: str) -> Manifest:
    files, replace = list(manifest.files), msgspec.structs.replace
    match what:
        case "named":
            return replace(manifest, files=[*files, FileEntry(name, 2, EMPTY_SHA256)])
        case "twice in the manifest":
            return replace(manifest, files=[*files, files[0]])
        case "size":
            shorter = [replace(one, size_bytes=one.size_bytes - (one.name == name)) for one in files]
            return replace(manifest, files=shorter)
        case "schema":
            return replace(manifest, schema=name)
        case "format":
            return replace(manifest, format=int(name))
        case "counts":
            return replace(manifest, counts={"canvases": 4})
        case _:
            return manifest


@pytest.mark.parametrize(
    "change",
    [
        "named:/etc/passwd",
        "named:../out.json",
        "named:interactions/../../out.json",
        "named:interactions/..json",
        "named:presets/nested/a.json",
        "named:tokens/x.json",
        "named:canvas.db-wal",
        "named:.lock",
        "unnamed:interactions/more.json",
        f"missing:{DIALOGUE}",
        f"missing:{DATABASE}",
        f"twice:{DIALOGUE}",
        "twice in the manifest",
        f"link:{DIALOGUE}",
        f"size:{DATABASE}",
        f"bomb:{DIALOGUE}",
        "schema:9999",
        "format:2",
        "counts",
        "no manifest",
        "bzip2",
    ],
)
# zipfile warns of what we make it write.
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_is_no_backup_of_ours_is_refused_and_nothing_is_written(
    tmp_path: Path, data_dir: Path, change: str
) -> None:
    back_up(data_dir, tmp_path / "b.zip")
    trick(tmp_path / "b.zip", tmp_path / "trick.zip", change)
    before = names_in(tmp_path)
    with pytest.raises((StorageCorruptError, StorageUnavailableError), match=r"trick\.zip") as error:
        restore(tmp_path / "trick.zip", tmp_path / "new")
    assert error.value.hint
    assert ("newer" in str(error.value)) == (change in ("schema:9999", "format:2"))
    assert names_in(tmp_path) - before == {"new"}
    assert names_in(tmp_path / "new") == {".lock"}


def test_an_unchanged_copy_of_a_backup_is_no_trick(tmp_path: Path, data_dir: Path) -> None:
    back_up(data_dir, tmp_path / "b.zip")
    trick(tmp_path / "b.zip", tmp_path / "same.zip", "nothing")
    restore(tmp_path / "same.zip", tmp_path / "new")


def test_a_manifest_of_a_newer_format_is_not_taken_for_damage() -> None:
    with pytest.raises(StorageUnavailableError, match="newer"):
        decode_manifest(b'{"format": 2, "parts": []}', Path("b.zip"))


async def test_a_backup_is_not_restored_under_a_server_nor_over_what_is_there(tmp_path: Path, data_dir: Path) -> None:
    back_up(data_dir, tmp_path / "b.zip")
    lock = lock_folder(tmp_path / "new")
    with pytest.raises(StorageUnavailableError, match="in use"):
        restore(tmp_path / "b.zip", tmp_path / "new")
    unlock_folder(lock)
    before = await read_all(data_dir)
    with pytest.raises(ExistsError, match=r"canvas\.db"):
        restore(tmp_path / "b.zip", data_dir)
    assert await read_all(data_dir) == before
    put_json(tmp_path / "new", "mine")
    (tmp_path / "new" / "presets").rename(tmp_path / "presets")
    with pytest.raises(ExistsError, match="interactions"):
        restore(tmp_path / "b.zip", tmp_path / "new")


async def test_what_was_there_is_moved_aside_with_its_log_and_is_whole(tmp_path: Path) -> None:
    old, file = await make_sides(tmp_path)
    shutil.copytree(old, tmp_path / "place")
    restored = restore(file, tmp_path / "place", force=True)
    assert restored.before == f"before-restore-{STAMP}"
    assert await read_all(tmp_path / "place") == await read_all(tmp_path / "newer")
    assert await read_all(tmp_path / "place" / restored.before) == await read_all(old)
    again = restore(file, tmp_path / "place", force=True)
    assert again.before == f"before-restore-{STAMP}-2"


async def test_a_log_without_its_database_is_moved_aside_too(tmp_path: Path) -> None:
    old, file = await make_sides(tmp_path)
    (tmp_path / "place").mkdir()
    shutil.copy(old / LOG, tmp_path / "place" / LOG)
    with pytest.raises(ExistsError):
        restore(file, tmp_path / "place")
    restore(file, tmp_path / "place", force=True)
    assert await read_all(tmp_path / "place") == await read_all(tmp_path / "newer")


async def test_a_backup_of_an_older_schema_is_restored_and_upgraded_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with closing(sqlite3.connect(tmp_path / "old" / DATABASE)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrations.upgrade(tmp_path / "old" / DATABASE, "0001")
    assert back_up(tmp_path / "old", tmp_path / "b.zip").manifest.schema == "0001"
    restore(tmp_path / "b.zip", tmp_path / "new")
    async with open_store(tmp_path / "new") as store:
        await store.check()


def test_there_must_be_something_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="no database"):
        back_up(tmp_path, tmp_path / "b.zip")
    (tmp_path / DATABASE).write_bytes(b"garbage" * 1000)
    with pytest.raises(StorageCorruptError):
        back_up(tmp_path, tmp_path / "b.zip")
    assert names_in(tmp_path) == {DATABASE}


def test_a_backup_into_a_folder_that_is_not_there_is_refused(tmp_path: Path, data_dir: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="cannot be written"):
        back_up(data_dir, tmp_path / "no" / "b.zip")


def test_leftovers_are_removed_but_not_what_another_run_works_in(tmp_path: Path) -> None:
    (tmp_path / ".canvas-backup-left").mkdir()
    (tmp_path / ".canvas-backup-left" / "half").write_text("half")
    (tmp_path / ".canvas-backup-link").symlink_to(tmp_path)
    with work_folder(tmp_path) as first, work_folder(tmp_path) as second:
        (first / "a").write_text("a")
        assert first != second
        assert names_in(tmp_path) == {first.name, second.name, ".canvas-backup-link"}
    assert names_in(tmp_path) == {".canvas-backup-link"}
