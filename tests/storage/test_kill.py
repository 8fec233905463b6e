from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import IO

import pytest

from canvas_server.core.ports import LoadedCanvas
from canvas_server.storage.canvases import open_store
from tests.storage.author import REF, Author, inserted

ROOT = Path(__file__).parents[2]


class Saving:
    """Processes that save until they are killed, one at a time."""

    def __init__(self, to: IO[str], told: IO[str]) -> None:
        self._to = to
        self._told = told
        self.pid = 0

    def kill(self, data_dir: Path, after_lines: int) -> int:
        """Start one, kill it once it told some seqs durable, and return the last that it told in its life."""
        print(data_dir, file=self._to, flush=True)
        self.pid = int(self._told.readline())
        seqs = [self._told.readline() for _ in range(after_lines)]
        os.kill(self.pid, signal.SIGKILL)
        # The last line is empty, or was cut short and ends in the newline that is told before `killed`.
        seqs += list(iter(self._told.readline, "killed\n"))[:-1]
        return int(seqs[-1])


@pytest.fixture(scope="module")
def saving() -> Iterator[Saving]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.storage.saving_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Saving(process.stdin, process.stdout)


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


async def _rounds(saving: Saving, data_dir: Path, rounds: int, random: Random) -> None:
    for _ in range(rounds):
        durable_seq = saving.kill(data_dir, random.randint(1, 60))
        check_is_saved_state(await loaded_from(data_dir), durable_seq)


async def test_a_killed_process_leaves_a_whole_checkpoint_and_none_told_durable_is_lost(
    saving: Saving, tmp_path: Path
) -> None:
    await _rounds(saving, tmp_path, 5, Random(1))


@pytest.mark.slow
async def test_many_killed_processes_lose_nothing_that_was_told_durable(saving: Saving, tmp_path: Path) -> None:
    await _rounds(saving, tmp_path, 25, Random(2))


async def test_what_a_killed_process_saved_can_be_read_without_a_server(saving: Saving, tmp_path: Path) -> None:
    durable_seq = saving.kill(tmp_path, 20)
    check_is_saved_state(await loaded_from(tmp_path, readonly=True), durable_seq)


async def test_a_killed_holder_never_blocks_the_next(saving: Saving, tmp_path: Path) -> None:
    saving.kill(tmp_path, 1)
    assert (tmp_path / ".lock").read_text() == f"{saving.pid}\n"
    async with open_store(tmp_path) as store:
        await store.check()
