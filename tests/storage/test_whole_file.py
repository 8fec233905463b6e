from __future__ import annotations

import os
import random
import resource
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from canvas_server.core.errors import StorageUnavailableError
from canvas_server.storage.whole_file import replace_file
from tests.crash.programs import require
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.storage.replacing_process import whole

ROOT: Final = Path(__file__).parents[2]
REPLACING: Final = [sys.executable, "-m", "tests.storage.replacing_process"]


def test_a_file_is_made_for_its_owner_alone_and_a_mode_that_it_has_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    replace_file(file, b"one")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"one", 0o600)
    file.chmod(0o644)
    replace_file(file, b"two")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"two", 0o644)


def test_a_link_still_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_bytes(b"one")
    (tmp_path / "link").symlink_to("notes.md")
    replace_file(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "notes.md").read_bytes() == b"two"


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"one")
    reader.join()
    assert heard == [b"one"]
    assert pipe.is_fifo()


@pytest.mark.promise("R8")
def test_on_a_full_disk_the_old_file_stays_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    """An export replaced a good copy by as much of the new one as the disk still took."""
    file = tmp_path / "notes.md"
    replace_file(file, b"old")
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, free[1]))
    try:
        with pytest.raises(StorageUnavailableError):
            replace_file(file, b"new" * 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.promise("R8")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=900))
def test_whoever_reads_while_the_writer_is_killed_finds_a_whole_file(tmp_path: Path, findings: Findings) -> None:
    file, reads, writes = tmp_path / "notes.md", 0, 0
    replace_file(file, whole(0))
    chance = random.Random(11)
    for _ in range(amount(ci=5, hand=200)):
        with subprocess.Popen([*REPLACING, str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            until_s = time.monotonic() + chance.uniform(0.05, 0.4)
            while time.monotonic() < until_s:
                found = file.read_bytes()
                assert found == whole(int(found.partition(b"\n")[0])), "torn"
                reads += 1
            process.kill()
            writes += int(process.stdout.read().split()[-1])
        found = file.read_bytes()
        assert found == whole(int(found.partition(b"\n")[0])), "torn"
    findings.tell("R8", "reads of a file that is replaced by a process that is killed", reads, goal="0 torn")
    findings.tell("R8", "times it was replaced", writes)
    assert min(reads, writes) >= amount(ci=50, hand=5_000), "too little was done"


@pytest.mark.promise("R8")
@pytest.mark.slow
def test_a_file_is_synced_before_it_takes_its_name_and_the_name_after_it(tmp_path: Path) -> None:
    require("strace")
    file, trace = tmp_path / "folder" / "notes.md", tmp_path / "trace"
    file.parent.mkdir()
    code = (
        "import sys, pathlib; from canvas_server.storage.whole_file import replace_file; "
        "replace_file(pathlib.Path(sys.argv[1]), b'x')"
    )
    calls = "trace=write,fsync,fdatasync,rename,renameat,renameat2"
    subprocess.run(
        ["strace", "-f", "-y", "-qq", "-e", calls, "-o", str(trace), sys.executable, "-c", code, str(file)],
        cwd=ROOT,
        check=True,
    )
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines() if str(file.parent) in line]
    assert [line.partition("(")[0].removesuffix("at").removesuffix("at2") for line in lines] == [
        "write",
        "fsync",
        "rename",
        "fsync",
    ]
    assert f"<{file.parent}/.canvas-" in lines[1]
    assert f"<{file.parent}>" in lines[3]
