"""A commit that is told durable is on disk whole, also where one before it could not be synced.

When a sync fails, Linux forgets what it could not write, keeps it readable, and has the next sync succeed. So a retry
of the sync proves nothing: what was written must be written again. SQLite does, by the way that it goes back: a commit
whose sync failed never moved the end of the log (`mxFrame`), so the next one starts at the same place and writes its
own frames over it; those that lie behind its end have checksums that no longer continue it. Here the writes are
watched, and a disk is played that forgets.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.crash.clients import Client
from tests.crash.faults import Ground, seldom_unsynced
from tests.crash.programs import require
from tests.crash.servers import LISTENS, ROOT
from tests.crash.syscalls import Writes, place_of, steps, traced
from tests.listener import Listener
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import append

REF: Final = "notes"
TRIED: Final = amount(ci=120, hand=1_000)
ACK: Final = r"\"type\":\"ack\""
ERROR: Final = r"\"type\":\"error\""
SIZES: Final = (1, 9_000, 10, 30_000)
"""Characters of an operation, so that a commit is now longer, now shorter than the one that failed before it."""


def trace(folder: Path) -> list[str]:
    """Return what strace saw of a server with a journal of which one sync in ten fails."""
    serve = [
        sys.executable,
        "-m",
        "canvas_server",
        "serve",
        "--no-auth",
        "--port",
        "0",
        "--data-dir",
        str(folder / "data"),
    ]
    command = traced(["fiu-run", "-x", *serve], folder / "trace")
    environment = {**os.environ, "CANVAS_STORAGE_DURABILITY": "journal"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listens = LISTENS.fullmatch(process.stdout.readline())
        assert listens is not None
        pid = int((folder / "data" / ".lock").read_text())
        try:
            port = int(listens[1])
            with Client(port) as client:
                version = client.ask("PUT", f"/canvas/{REF}", {})[1]["version"]
                with seldom_unsynced(Ground(folder / "data", pid)):
                    write_one_by_one(port, client, version)
        finally:
            os.kill(pid, signal.SIGTERM)
    return (folder / "trace").read_text(errors="replace").splitlines()


def write_one_by_one(port: int, client: Client, version: str) -> None:
    with Listener(port, f"/api/v2/canvas/{REF}/ops:listen") as listener:
        for number in range(TRIED):
            text = "x" * SIZES[number % len(SIZES)]
            client.submit(REF, [append(text, op_id=f"op-{number}", client_version=version, scope="range")])
            while listener.next().data.get("op_id") != f"op-{number}":
                pass


@pytest.mark.promise("R3")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=600))
def test_what_a_disk_forgot_over_a_failed_sync_is_written_again_before_anything_is_told(
    tmp_path: Path, findings: Findings
) -> None:
    require("strace")
    require("fiu-run")
    log, disk = tmp_path / "data" / "canvas.db-wal", Writes()
    acked = refused = again = 0
    line = ""

    def read_lines() -> Iterator[str]:
        nonlocal line, refused
        for line in trace(tmp_path):
            if ERROR in line:
                refused += 1
                disk.fail()
            yield line

    for step in steps(read_lines(), log, ACK):
        if step == "written" and (place := place_of(line)):
            before = disk.forgotten
            disk.write(*place)
            again += before - disk.forgotten
        elif step == "synced":
            disk.sync()
        elif step == "told":
            acked += 1
            assert disk.holes == [], "told durable over bytes that the disk forgot"
    findings.tell("R3", "commits after one whose sync failed, whole on a disk that forgets", acked, goal="all")
    findings.tell("R3", "writes done again after a sync that failed", again)
    assert acked >= TRIED / 2
    assert refused >= TRIED / 50
    assert again >= refused
