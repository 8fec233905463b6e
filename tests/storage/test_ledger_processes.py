"""One ledger and several processes: together they keep to the quota, and one that dies leaves its calls told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from canvas_server.core.job import JobId
from canvas_server.core.quota import TOTAL
from canvas_server.storage.database import open_database
from canvas_server.storage.ledger import SqliteLedgerStore
from tests.listener import PATIENCE_S
from tests.storage.billing import MONTH, NOW, USER, books, estimated

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def database_file(tmp_path: Path) -> Path:
    async with open_database(tmp_path):
        pass
    return tmp_path / "canvas.db"


def started(path: Path, name: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage.ledger_process", str(path), name, *more],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def told_by(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE_S)
    return output


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.slow
async def test_two_processes_together_never_pass_the_quota(database_file: Path) -> None:
    with started(database_file, "one") as one, started(database_file, "two") as two:
        for process in (one, two):
            ready(process)
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        allowed = [int(told_by(process)) for process in (one, two)]

    assert sum(allowed) == 142
    async with open_database(database_file.parent) as database:
        assert (await books(database))[USER, MONTH, TOTAL] == (0, 142 * 7)


@pytest.mark.slow
async def test_a_process_killed_between_reserving_and_settling_leaves_the_call_held_and_told(
    database_file: Path,
) -> None:
    with started(database_file, "killed", "kill") as process:
        ready(process)
        told_by(process)
    assert process.returncode == -9

    async with open_database(database_file.parent) as database:
        ledger = SqliteLedgerStore(database)
        assert list(await ledger.open_calls()) == [("killed-0", 1)]
        assert (await books(database))[USER, MONTH, TOTAL] == (0, 7)
        await ledger.settle(JobId("killed-0"), 1, estimated(), 7, NOW)
        assert (await books(database))[USER, MONTH, TOTAL] == (7, 0)
