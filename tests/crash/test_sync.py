"""Power that fails costs no more than a crash: what is told durable was synced to the disk before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.crash.clients import Client
from tests.crash.faults import Ground, seldom_unsynced
from tests.crash.programs import require
from tests.crash.saved import saved_text
from tests.crash.servers import LISTENS, ROOT, starting_servers
from tests.crash.serving_process import Durability, Life
from tests.crash.syscalls import Step, steps, traced
from tests.listener import Listener
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import append

REF: Final = "notes"
TELLING: Final[dict[Durability, str]] = {"journal": "ack", "checkpoint": "checkpoint"}
"""What says that an operation is on disk."""
COMMITS: Final = 30
SYNCS_TRIED: Final = amount(ci=150, hand=300)


def trace(folder: Path, durability: Durability) -> list[Step]:
    """Return what a server did for operations of which each was sent after the one before was told durable."""
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
    environment = {**os.environ, "CANVAS_STORAGE_DURABILITY": durability, "CANVAS_CHECKPOINT_INTERVAL_S": "0.01"}
    command = traced(serve, folder / "trace")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listens = LISTENS.fullmatch(process.stdout.readline())
        assert listens is not None
        try:
            write_one_by_one(int(listens[1]), TELLING[durability])
        finally:
            os.kill(int((folder / "data" / ".lock").read_text()), signal.SIGTERM)
    lines = (folder / "trace").read_text(errors="replace").splitlines()
    return list(steps(lines, folder / "data" / "canvas.db-wal", rf"\"type\":\"{TELLING[durability]}\""))


def write_one_by_one(port: int, telling: str) -> None:
    with Client(port) as client:
        version = client.ask("PUT", f"/canvas/{REF}", {})[1]["version"]
        with Listener(port, f"/api/v2/canvas/{REF}/ops:listen") as listener:
            listener.expect("snapshot")
            for number in range(COMMITS):
                client.submit(REF, [append("x", op_id=f"op-{number}", client_version=version, scope="range")])
                listener.expect(telling)


@pytest.mark.promise("R3")
@pytest.mark.slow
@pytest.mark.parametrize("durability", TELLING)
def test_nothing_is_told_durable_before_what_was_written_of_it_is_synced(
    tmp_path: Path, findings: Findings, durability: Durability
) -> None:
    require("strace")
    done = trace(tmp_path, durability)
    on_disk = False
    for step in done:
        assert step != "told" or on_disk, "told before it was synced"
        on_disk = step == "synced" or (step == "told" and on_disk)
    findings.tell("R3", f"syncs for {COMMITS} commits, {durability}", done.count("synced"), goal=f"at least {COMMITS}")
    assert done.count("told") == COMMITS
    assert done.count("synced") >= COMMITS
    assert done.count("written") >= COMMITS


@pytest.mark.promise("R3")
@pytest.mark.slow
def test_what_was_acked_is_on_disk_though_one_sync_in_ten_fails(tmp_path: Path, findings: Findings) -> None:
    require("fiu-run")
    data_dir = tmp_path / "data"
    life = Life(data_dir=str(data_dir), durability="journal")
    with starting_servers(tmp_path / "log", "fiu-run", "-x") as servers, servers.running(life) as server:
        told = write_and_hear(server.port, Ground(data_dir, server.pid))
    acked = [op_id for op_id, is_acked in told.items() if is_acked]
    saved = saved_text(data_dir, REF).split()
    findings.tell("R3", f"commits refused, of {SYNCS_TRIED} with one sync in ten failing", len(told) - len(acked))
    findings.tell("R3", "commits told durable and there", len(acked), goal="all")
    assert set(acked) <= set(saved) <= set(told)
    assert [op_id for op_id in saved if told[op_id]] == acked
    assert len(told) - len(acked) >= SYNCS_TRIED / 50


def write_and_hear(port: int, ground: Ground) -> dict[str, bool]:
    """Send operations while syncs fail now and then; return for each whether it was acked."""
    told = {}
    with Client(port) as client:
        version = client.ask("PUT", f"/canvas/{REF}", {})[1]["version"]
        with Listener(port, f"/api/v2/canvas/{REF}/ops:listen") as listener, seldom_unsynced(ground):
            listener.expect("snapshot")
            for number in range(SYNCS_TRIED):
                op_id = f"op-{number}"
                client.submit(REF, [append(f"{op_id} ", op_id=op_id, client_version=version, scope="range")])
                while (event := listener.next()).data.get("op_id") != op_id:
                    pass
                told[op_id] = event.type == "ack"
    return told
