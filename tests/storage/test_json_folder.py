"""JSON objects as files: whole, durable, the later of two, and nothing but our own plain files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import resource
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas_server.core.dialogue import is_dialogue_id
from canvas_server.core.errors import ExistsError, StorageCorruptError, StorageUnavailableError, TooLargeError
from canvas_server.core.job_ports import JsonFiles
from canvas_server.core.preset import is_preset_id
from canvas_server.storage.json_folder import JsonFolder, open_json_folder
from canvas_server.storage.json_memory import JsonMemory
from canvas_server.system import SystemClock
from tests.proof.lane import amount
from tests.storage.json_saving_process import whole

ROOT: Final = Path(__file__).parents[2]
SAVING: Final = [sys.executable, "-m", "tests.storage.json_saving_process"]
BYTES_MAX: Final = 10_000
UUID: Final = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"

BAD_NAMES: Final = {
    "nothing": "",
    "this folder": ".",
    "the folder above": "..",
    "a way out": "../canvas",
    "a way out with backslashes": "..\\canvas",
    "an absolute path": "/etc/passwd",
    "an escaped way out": "%2e%2e%2fcanvas",
    "NUL": "notes\0",
    "a newline": "notes\n",
    "a hidden file": ".notes",
    "a space at the end": "notes ",
    "a stream of Windows": "notes:more",
    "a device": "CON",
    "a device with an ending": "nul.txt",
    "a numbered device": "Com7",
    "a look-alike": "nοtes",  # a Greek omicron
    "a wide full stop": "．．",
    "an accent": "né",
    "too long": "n" * 129,
}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[JsonFolder]:
    async with open_json_folder(tmp_path / "objects", is_dialogue_id, BYTES_MAX, SystemClock()) as opened:
        yield opened


@pytest.fixture(params=["folder", "memory"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JsonFiles]:
    """Every kind of JSON files there is."""
    if request.param == "memory":
        yield JsonMemory(is_dialogue_id, BYTES_MAX)
        return
    async with open_json_folder(tmp_path / "objects", is_dialogue_id, BYTES_MAX, SystemClock()) as opened:
        yield opened


def put(tmp_path: Path, name: str, content: bytes | str) -> Path:
    """Put a file into the folder, as anybody might."""
    file = tmp_path / "objects" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


async def test_what_was_saved_is_loaded_listed_and_deleted(files: JsonFiles) -> None:
    assert (await files.load("notes"), await files.names(), await files.delete("notes")) == (None, [], False)
    await files.save("notes", {"text": "é😀", "count": 3})
    await files.save("a.b-c_1", {})
    assert await files.names() == ["a.b-c_1", "notes"]
    assert await files.load("notes") == {"text": "é😀", "count": 3}
    await files.save("notes", {"text": "other"})
    assert await files.load("notes") == {"text": "other"}
    assert (await files.delete("notes"), await files.load("notes"), await files.names()) == (True, None, ["a.b-c_1"])


async def test_what_was_loaded_is_its_own_copy(files: JsonFiles) -> None:
    await files.save("notes", {"list": [1]})
    loaded = await files.load("notes")
    assert loaded is not None
    assert isinstance(loaded["list"], list)
    loaded["list"].append(2)
    assert await files.load("notes") == {"list": [1]}


async def test_an_object_that_is_too_large_is_refused_and_the_old_one_stays(files: JsonFiles) -> None:
    await files.save("notes", {"text": "old"})
    with pytest.raises(TooLargeError):
        await files.save("notes", {"text": "x" * BYTES_MAX})
    assert await files.load("notes") == {"text": "old"}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
async def test_a_bad_name_reaches_no_file(files: JsonFiles, name: str) -> None:
    assert not is_dialogue_id(name)
    for asked in (files.load(name), files.save(name, {}), files.delete(name)):
        with pytest.raises(ValueError, match="checked"):
            await asked


@pytest.mark.parametrize(
    "name",
    [UUID.upper(), f"{{{UUID}}}", UUID.replace("-", ""), f"urn:uuid:{UUID}", f"{UUID}\n", UUID.replace("a", "а")],
)
def test_a_uuid_has_one_spelling(name: str) -> None:
    assert is_preset_id(UUID)
    assert not is_preset_id(name)


async def test_of_a_hundred_saves_at_once_the_one_asked_for_last_stays(files: JsonFiles) -> None:
    await asyncio.gather(*(files.save("notes", {"number": number}) for number in range(100)))
    assert await files.load("notes") == {"number": 99}


async def test_a_save_goes_on_when_whoever_waits_for_it_is_cancelled(folder: JsonFolder) -> None:
    before = [asyncio.create_task(folder.save("other", {"number": number})) for number in range(10)]
    saving = asyncio.create_task(folder.save("notes", {"text": "kept"}))
    await asyncio.sleep(0)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    await asyncio.gather(*before)
    assert await folder.load("notes") == {"text": "kept"}


async def test_the_folder_is_made_when_it_is_needed_and_all_is_for_its_owner_alone(
    folder: JsonFolder, tmp_path: Path
) -> None:
    assert await folder.names() == []
    assert not (tmp_path / "objects").exists()
    await folder.save("notes", {"text": "x"})
    file = tmp_path / "objects" / "notes.json"
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == '{\n  "text": "x"\n}\n'


async def test_links_are_never_followed(folder: JsonFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"secret": true}')
    put(tmp_path, "other.json", "{}").with_name("notes.json").symlink_to(secret)
    assert await folder.names() == ["other"]
    assert await folder.load("notes") is None
    assert not await folder.delete("notes")
    await folder.save("notes", {"text": "mine"})
    assert secret.read_text() == '{"secret": true}'
    assert not (tmp_path / "objects" / "notes.json").is_symlink()
    assert await folder.load("notes") == {"text": "mine"}


async def test_what_is_not_ours_is_ignored_with_one_warning_each(
    folder: JsonFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "notes.json", "{}")
    put(tmp_path, "readme.txt", "hello")
    put(tmp_path, "CON.json", "{}")
    put(tmp_path, "bad.json.corrupt-123", "oops")
    (tmp_path / "objects" / "sub.json").mkdir()
    os.mkfifo(tmp_path / "objects" / "pipe.json")
    (tmp_path / "objects" / "link.json").symlink_to("notes.json")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "objects" / "sock.json"))
    with caplog.at_level(logging.WARNING):
        assert await folder.names() == await folder.names() == ["notes"]
        assert [await folder.load(name) for name in ("link", "pipe", "sock", "sub")] == [None] * 4
    told = [vars(record)["file"] for record in caplog.records]
    assert sorted(told) == ["CON.json", "link.json", "pipe.json", "readme.txt", "sock.json", "sub.json"]


async def test_what_a_cut_off_write_left_is_removed_at_the_start(tmp_path: Path) -> None:
    left, kept = put(tmp_path, ".canvas-abc", "{"), put(tmp_path, "notes.json", "{}")
    async with open_json_folder(kept.parent, is_dialogue_id, BYTES_MAX, SystemClock()):
        assert (left.exists(), kept.exists()) == (False, True)


async def test_a_name_that_differs_only_in_case_is_refused(folder: JsonFolder) -> None:
    await folder.save("Notes", {"text": "first"})
    with pytest.raises(ExistsError):
        await folder.save("notes", {"text": "second"})
    await folder.save("Notes", {"text": "third"})
    assert await folder.names() == ["Notes"]
    assert await folder.load("Notes") == {"text": "third"}


CORRUPT: Final = {
    "empty": b"",
    "cut off": b'{"text": "x',
    "not an object": b"[]",
    "null": b"null",
    "no number": b'{"a": NaN}',
    "not UTF-8": b'{"a": "\xff"}',
    "half a surrogate pair": rb'{"a": "\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "too deep": b'{"a":' * 33 + b"1" + b"}" * 33,
    "far too deep": b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    "too large": b'{"a": "' + b"x" * BYTES_MAX + b'"}',
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
async def test_a_file_that_cannot_be_right_is_refused_by_name_and_kept_when_it_is_replaced(
    folder: JsonFolder, tmp_path: Path, content: bytes
) -> None:
    file = put(tmp_path, "notes.json", content)
    with pytest.raises(StorageCorruptError, match=r"^notes\.json: "):
        await folder.load("notes")
    assert file.read_bytes() == content
    await folder.save("notes", {"text": "new"})
    assert await folder.load("notes") == {"text": "new"}
    (kept,) = file.parent.glob("notes.json.corrupt-*")
    assert kept.read_bytes() == content
    assert await folder.names() == ["notes"]


@given(content=st.binary(max_size=200) | st.text(max_size=50).map(str.encode) | st.just(b'{"a": [1, {"b": "c"}]}'))
def test_whatever_bytes_lie_there_are_loaded_as_what_they_say_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any" / "notes.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)

    async def load() -> object:
        async with open_json_folder(file.parent, is_dialogue_id, BYTES_MAX, SystemClock()) as opened:
            return await opened.load("notes")

    try:
        loaded = asyncio.run(load())
    except StorageCorruptError:
        pass
    else:
        assert loaded == json.loads(content)
    assert file.read_bytes() == content


async def test_on_a_full_disk_the_old_object_stays_and_nothing_lies_beside_it(
    folder: JsonFolder, tmp_path: Path
) -> None:
    await folder.save("notes", {"text": "old"})
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, free[1]))
    try:
        with pytest.raises(StorageUnavailableError, match=r"^notes\.json cannot be written"):
            await folder.save("notes", {"text": "new" * 1_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    assert [file.name for file in (tmp_path / "objects").iterdir()] == ["notes.json"]
    assert await folder.load("notes") == {"text": "old"}


async def test_a_folder_that_is_none_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file")
    with pytest.raises(StorageUnavailableError) as caught:
        async with open_json_folder(tmp_path / "objects", is_dialogue_id, BYTES_MAX, SystemClock()):
            pass
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=900))
def test_whatever_moment_the_server_is_killed_in_the_object_is_whole_and_the_last_one_told_of_or_newer(
    tmp_path: Path,
) -> None:
    chance, told_in_all = random.Random(13), 0
    path = tmp_path / "objects"
    for _ in range(amount(ci=4, hand=100)):
        with subprocess.Popen([*SAVING, str(path), "notes"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.02, 0.3))
            process.kill()
            told = [int(line) for line in process.stdout.read().splitlines()[:-1]]
        told_in_all += len(told)
        assert whole_number(path / "notes.json") >= max(told, default=0)
        assert [file.name for file in path.iterdir() if file.suffix == ".json"] == ["notes.json"]
    assert told_in_all > amount(ci=20, hand=500), "too little was done"


def whole_number(file: Path) -> int:
    """Return the number of the object in a file, which must be whole."""
    found = json.loads(file.read_bytes())
    number = found["number"]
    assert isinstance(number, int)
    assert found == whole(number), "torn"
    return number
