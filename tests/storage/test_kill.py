from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from canvas_server.core.ports import LoadedCanvas
from canvas_server.storage.canvases import open_store
from tests.storage.author import REF, Author, inserted

ROOT = Path(__file__).parents[2]


def start_saving(data_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage.saving_process", str(data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def kill_after(process: subprocess.Popen[str], lines: int) -> int:
    """Kill a saving process once it told some lines; return the last seq it told in its life."""
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    return int([line for line in told + rest if line.endswith("\n")][-1])


async def loaded_from(data_dir: Path, *, readonly: bool = False) -> LoadedCanvas:
    async with open_store(data_dir, readonly=readonly) as store:
        return await store.load(REF, 10_000)


def check_is_saved_state(loaded: LoadedCanvas, durable_seq: int) -> None:
    """Compare with what the author wrote: it is one whole checkpoint, and none that was told durable is missing."""
    author, saved = Author(), [0]
    while author.version.seq < loaded.canvas.version.seq:
        author.write(author.version.seq % 7 + 1)
        saved.append(author.version.seq)
    assert loaded.canvas.version == author.version
    assert loaded.canvas.version.seq >= durable_seq
    after_text = [op for op in loaded.recent if op.seq > loaded.text.version.seq]
    assert loaded.text.content + inserted(after_text) == author.content
    assert loaded.text.version.seq in saved


async def _rounds(data_dir: Path, rounds: int, random: Random) -> None:
    for _ in range(rounds):
        durable_seq = kill_after(start_saving(data_dir), random.randint(1, 60))
        check_is_saved_state(await loaded_from(data_dir), durable_seq)


@pytest.mark.timeout(120)
async def test_a_killed_process_leaves_a_whole_checkpoint_and_none_told_durable_is_lost(tmp_path: Path) -> None:
    await _rounds(tmp_path, 5, Random(1))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_many_killed_processes_lose_nothing_that_was_told_durable(tmp_path: Path) -> None:
    await _rounds(tmp_path, 25, Random(2))


async def test_what_a_killed_process_saved_can_be_read_without_a_server(tmp_path: Path) -> None:
    durable_seq = kill_after(start_saving(tmp_path), 20)
    check_is_saved_state(await loaded_from(tmp_path, readonly=True), durable_seq)


async def test_a_killed_holder_never_blocks_the_next(tmp_path: Path) -> None:
    process = start_saving(tmp_path)
    kill_after(process, 1)
    assert (tmp_path / ".lock").read_text() == f"{process.pid}\n"
    async with open_store(tmp_path) as store:
        await store.check()
