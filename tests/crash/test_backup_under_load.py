"""A backup beside a server that is busy: of one moment, complete, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from canvas_server.core.ids import CanvasRef
from canvas_server.core.ports import SavedText
from canvas_server.core.version import Version, genesis
from canvas_server.storage.canvases import open_store
from tests.crash.clients import Client, Recorder, Writer
from tests.crash.lineage import Lineage, version_of
from tests.crash.lives import REFS, START
from tests.crash.saved import newest_text, saved_canvas
from tests.crash.servers import Server, Servers
from tests.crash.serving_process import Durability, Life
from tests.listener import Listener
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.serving import append
from tests.storage.keeping import names_in, restore

ROOT: Final = Path(__file__).parents[2]
BACKUPS: Final = amount(ci=4, hand=50)
WRITERS: Final = amount(ci=8, hand=20)
LIFE_BACKUPS: Final = 10
PAUSE_S: Final = 0.15
MIB: Final = 1024 * 1024
LARGE_BYTES: Final = amount(ci=8 * MIB, hand=100 * MIB)
HUGE_BYTES: Final = amount(ci=32 * MIB, hand=200 * MIB)
GROWTH_BYTES_MAX: Final = 24 * MIB
"""Of memory, from an empty database to a huge one."""
HELD_UP_MAX: Final = 4.0
"""How many times as long p99 of an ack may take, and how much longer than that."""
HELD_UP_S_MAX: Final = 0.5
"""More than other tests on this machine take from it, and far less than a backup that locks others out takes."""


class Kept(NamedTuple):
    """A canvas in a backup.

    Attributes:
        ref: of the canvas.
        version: that the backup has.
        text: that it has.
        durable_seq: that had been told durable when the backup began.
    """

    ref: str
    version: Version
    text: str
    durable_seq: int


def back_up_aside(data_dir: Path, file: Path) -> None:
    """Back up as an operator does, in a process of its own."""
    command = [sys.executable, "-m", "canvas_server", "backup", str(file), "--data-dir", str(data_dir)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=120)


def kept_in(file: Path, folder: Path, durable: dict[str, int]) -> Iterator[Kept]:
    """Restore a backup into a fresh folder, and yield what is there."""
    restore(file, folder)
    with closing(sqlite3.connect(folder / "canvas.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for ref, durable_seq in durable.items():
        loaded = saved_canvas(folder, ref)
        yield Kept(ref, loaded.canvas.version, newest_text(loaded), durable_seq)


class Told(NamedTuple):
    """What the backups of one server's life held, and how much was written in it."""

    kept: list[Kept]
    ops: int


def back_up_a_life(servers: Servers, folder: Path, backups: int) -> Told:
    """Have writers write, back up again and again meanwhile, and compare each backup with what was told by the end."""
    data_dir, lineages, kept = folder / "data", dict[str, Lineage](), list[Kept]()
    folder.mkdir()
    with servers.running(Life(data_dir=str(data_dir), interval_s=0.2)) as server:
        with Client(server.port) as client:
            for ref in REFS:
                state = client.ask("PUT", f"/canvas/{ref}", {"content": START})[1]
                lineages[ref] = Lineage(version_of(state["version"]), START)
        recorder = Recorder(server.port, lineages, lambda _count: None)
        with recorder.listening(server.kill):
            writers = [Writer(server.port, lineages, Random(n), f"writer-{n}", PAUSE_S) for n in range(WRITERS)]
            for writer in writers:
                writer.start()
            try:
                for number in range(backups):
                    durable = {ref: lineage.durable_seq for ref, lineage in lineages.items()}
                    back_up_aside(data_dir, folder / f"{number}.zip")
                    kept += kept_in(folder / f"{number}.zip", folder / f"{number}", durable)
            except BaseException:
                # Else the writers write, and the recorder listens, for ever.
                server.kill()
                raise
            server.signal(signal.SIGTERM)
            for writer in writers:
                writer.finish()
    for one in kept:
        lineages[one.ref].check_kept(one.version, one.text, one.durable_seq)
    assert not [name for name in names_in(folder) if name.startswith(".canvas-")]
    return Told(kept, sum(lineage.head.version.seq for lineage in lineages.values()))


@pytest.mark.promise("R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=1_800))
def test_each_backup_under_load_holds_one_version_that_the_world_saw_and_all_that_was_durable(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    kept, ops = list[Kept](), 0
    # A life has its bound, and a short history is compared sooner.
    for start in range(0, BACKUPS, LIFE_BACKUPS):
        told = back_up_a_life(servers, tmp_path / f"{start}", min(LIFE_BACKUPS, BACKUPS - start))
        kept, ops = kept + told.kept, ops + told.ops
    different = len({one.version for one in kept})
    findings.tell(
        "R9", f"backups under {WRITERS} writers, {ops} operations", BACKUPS, f"{BACKUPS} right, each restored"
    )
    findings.tell("R9", "versions in these backups", f"{different} different, of {len(kept)} canvases")
    print(BACKUPS, WRITERS, ops, different, len(kept))
    assert different > BACKUPS, "nothing was written meanwhile"


def grow(data_dir: Path, size_bytes: int) -> None:
    """Make a database of that size, of texts that hardly can be packed."""

    async def fill() -> None:
        async with open_store(data_dir) as store:
            for number in range(size_bytes // MIB):
                version = genesis(f"{number:016x}")
                text = SavedText(version, random.randbytes(MIB // 2).hex(), (version.etag,))
                await store.create(CanvasRef(f"large-{number}"), "Large", text, 1_000)

    asyncio.run(fill())


class Acks:
    """Writes one operation after the other, and measures how long each ack takes."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        self._stop = threading.Event()
        self.took: list[tuple[float, float]] = []
        """When each was heard, and how long after it was sent."""

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Write until the block ends."""
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def between(self, start_s: float, end_s: float) -> list[float]:
        """Return how long the acks took that were heard in that time, sorted."""
        return sorted(took_s for heard_s, took_s in self.took if start_s <= heard_s <= end_s)

    def _write(self) -> None:
        path = "/api/v2/canvas/notes/ops:listen"
        with Client(self._port) as client, Listener(self._port, path) as listener:
            version = client.ask("GET", "/canvas/notes")[1]["version"]
            while not self._stop.is_set():
                operation = append("word ", client_version=version)
                sent_s = time.perf_counter()
                client.submit("notes", [operation])
                version = listener.expect("ack", op_id=operation["op_id"])["server_version"]
                self.took.append((time.perf_counter(), time.perf_counter() - sent_s))
                self._stop.wait(0.005)


def p99(values: list[float]) -> float:
    return values[int(0.99 * (len(values) - 1))]


@pytest.mark.promise("R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=600))
@pytest.mark.parametrize("durability", ["checkpoint", "journal"])
def test_a_backup_holds_up_no_ack(servers: Servers, tmp_path: Path, findings: Findings, durability: Durability) -> None:
    grow(tmp_path / "data", LARGE_BYTES)
    took_s = []
    with servers.running(Life(data_dir=str(tmp_path / "data"), durability=durability, interval_s=0.2)) as server:
        with Client(server.port) as client:
            assert client.ask("PUT", "/canvas/notes", {})[0] == 201
        acks = Acks(server)
        with acks.going_on():
            time.sleep(amount(ci=3, hand=8))
            began_s = time.perf_counter()
            for number in range(amount(ci=2, hand=2)):
                started_s = time.perf_counter()
                back_up_aside(tmp_path / "data", tmp_path / f"{number}.zip")
                took_s.append(time.perf_counter() - started_s)
            ended_s = time.perf_counter()
            time.sleep(amount(ci=3, hand=8))
        log_bytes = (tmp_path / "data" / "canvas.db-wal").stat().st_size
    beside = acks.between(began_s, ended_s)
    alone = sorted(acks.between(0, began_s) + acks.between(ended_s, time.perf_counter()))
    size = f"{LARGE_BYTES // MIB} MiB"
    findings.tell("R9", f"backup of {size}, process started to exit", f"{min(took_s):.1f} s")
    told = f"{p99(beside) * 1e3:.0f} ms beside, {p99(alone) * 1e3:.0f} ms without"
    findings.tell("R9", f"p99 of an ack, {durability}, a backup of {size}", told)
    print(durability, size, [f"{one:.1f} s" for one in took_s], told, len(beside), len(alone), log_bytes)
    assert len(beside) > 50
    assert p99(beside) <= HELD_UP_MAX * p99(alone) + HELD_UP_S_MAX


def peak_bytes(*command: str) -> int:
    """Return what a command takes of memory at most, as the kernel tells of it since the program began."""
    program = "import sys, canvas_server.cli as c; c.main(sys.argv[1:], standalone_mode=False)"
    program += "; print(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", program, *command], check=True, capture_output=True, text=True, cwd=ROOT
    )
    peak = re.search(r"^VmHWM:\s*([0-9]+) kB$", done.stdout, re.MULTILINE)
    assert peak is not None
    return int(peak[1]) * 1024


@pytest.mark.promise("R9")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=600))
def test_memory_does_not_grow_with_the_database(tmp_path: Path, findings: Findings) -> None:
    peaks = {}
    for name, size_bytes in (("small", MIB), ("huge", HUGE_BYTES)):
        grow(tmp_path / name, size_bytes)
        data_dir, file = str(tmp_path / name), str(tmp_path / f"{name}.zip")
        peaks[name] = [
            peak_bytes("backup", file, "--data-dir", data_dir),
            peak_bytes("restore", file, "--data-dir", f"{data_dir}-new"),
            peak_bytes("export", "--all", "-o", f"{data_dir}-texts", "--data-dir", data_dir),
        ]
        texts = json.loads((tmp_path / f"{name}-texts" / "canvases.json").read_bytes())["canvases"]
        assert len(texts) == size_bytes // MIB
    told = {name: ", ".join(f"{one / MIB:.0f}" for one in peak) for name, peak in peaks.items()}
    what = f"peak memory of backup, restore, export --all; {HUGE_BYTES // MIB} MiB against 1 MiB"
    findings.tell(
        "R9", what, f"{told['huge']} against {told['small']} MiB", f"under {GROWTH_BYTES_MAX // MIB} MiB more"
    )
    print(told)
    assert all(huge - small < GROWTH_BYTES_MAX for small, huge in zip(peaks["small"], peaks["huge"], strict=True))
