"""kill -9 at random moments: what was told durable is there, nothing is forked, and clients can mend the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import IO, Final

import pytest

from canvas_server.core.version import Version, parse_etag
from tests.crash.clients import Client, Recorder, Writer
from tests.crash.lineage import Lineage
from tests.serving import Json

ROOT: Final = Path(__file__).parents[2]
REFS: Final = ("one", "two", "three")
START: Final = "# One\n\nIt begins 🦊.\n\n# Two\n\nIt goes on.\n"
WRITERS: Final = 3
OPS_MAX: Final = 100
"""Operations in one request, at most."""
EVENTS_MAX: Final = 250
"""A server lives for at most so many events."""


class Server:
    """A running server; killed at most once."""

    def __init__(self, pid: int, port: int, told: IO[str]) -> None:
        self.port = port
        self._pid = pid
        self._told = told
        self._is_killed = False

    def kill(self) -> None:
        if not self._is_killed:
            self._is_killed = True
            os.kill(self._pid, signal.SIGKILL)

    def end(self) -> None:
        """Return when it is dead."""
        self.kill()
        while self._told.readline() != "killed\n":
            pass


class Servers:
    """Starts servers, one at a time."""

    def __init__(self, to: IO[str], told: IO[str]) -> None:
        self._to = to
        self._told = told

    def start(self, data_dir: Path, durability: str) -> Server:
        print(f"{data_dir}\t{durability}", file=self._to, flush=True)
        pid = int(self._told.readline())
        return Server(pid, int(self._told.readline().rpartition(":")[2]), self._told)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.killed_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Servers(process.stdin, process.stdout)


class Lives:
    """One folder, and one server after the other that serves it.

    Attributes:
        forgotten: for each restart, how many acked operations of all canvases the server had forgotten.
    """

    def __init__(self, servers: Servers, data_dir: Path, durability: str, random: Random) -> None:
        self._servers = servers
        self._data_dir = data_dir
        self._durability = durability
        self._random = random
        self._lineages: dict[str, Lineage] = {}
        self.forgotten: list[int] = []

    def live(self) -> None:
        """Start a server, hold it to what the one before told, write, and kill it while it is busy."""
        server = self._servers.start(self._data_dir, self._durability)
        last_event = self._random.randint(len(REFS), EVENTS_MAX)
        try:
            with Client(server.port) as client:
                forgotten = self._recover(client) if self._lineages else self._create(client)
                recorder = Recorder(
                    server.port, self._lineages, lambda count: server.kill() if count == last_event else None
                )
                with recorder.listening(server.kill):
                    self._send_again(client, forgotten)
                    self._write(server.port)
        finally:
            server.end()

    def _create(self, client: Client) -> dict[str, list[str]]:
        for ref in REFS:
            status, state = client.ask("PUT", f"/canvas/{ref}", {"content": START})
            assert status == 201
            self._lineages[ref] = Lineage(_version_of(state), START)
        return {}

    def _recover(self, client: Client) -> dict[str, list[str]]:
        """Return for each canvas the ids of the operations that were acked and are forgotten."""
        forgotten = {}
        for ref, lineage in self._lineages.items():
            state = client.ask("GET", f"/canvas/{ref}?unit=codepoint")[1]
            version = _version_of(state)
            heard_seq = min(lineage.head.version.seq, version.seq)
            unheard = client.ask("GET", f"/canvas/{ref}/ops?after={heard_seq}&limit=1000&unit=codepoint")[1]["events"]
            forgotten[ref] = lineage.recover(version, state["content"], unheard)
        self.forgotten.append(sum(map(len, forgotten.values())))
        return forgotten

    def _send_again(self, client: Client, forgotten: Mapping[str, list[str]]) -> None:
        """Send operations again that are forgotten, behind some that are not; the recorder checks what they come to.

        The last of all is now and then another one under the old name: it must not come to the old version.
        """
        for ref, op_ids in forgotten.items():
            lineage = self._lineages[ref]
            again = [lineage.sent[op_id] for op_id in lineage.acked[-3:] + op_ids]
            if op_ids and self._random.random() < 0.5:
                again[-1] = lineage.change(op_ids[-1])
            for start in range(0, len(again), OPS_MAX):
                client.submit(ref, again[start : start + OPS_MAX])

    def _write(self, port: int) -> None:
        """Write until the server is gone."""
        names = (f"life-{len(self.forgotten)}-writer-{number}" for number in range(WRITERS))
        writers = [Writer(port, self._lineages, Random(self._random.random()), name) for name in names]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.finish()


def _version_of(state: Json) -> Version:
    version = parse_etag(state["version"])
    assert version is not None
    return version


def check_lives(servers: Servers, data_dir: Path, durability: str, rounds: int, seed: int) -> list[int]:
    """Let one server more live than there are rounds; return for each round what was forgotten."""
    lives = Lives(servers, data_dir, durability, Random(seed))
    for _ in range(rounds + 1):
        lives.live()
    print(f"{durability}: {rounds} kills, forgotten {sorted(lives.forgotten)}")
    return lives.forgotten


def test_a_killed_server_forgets_nothing_it_told_durable_and_clients_bring_back_the_rest(
    servers: Servers, tmp_path: Path
) -> None:
    assert any(check_lives(servers, tmp_path, "checkpoint", 5, seed=1))


def test_a_killed_server_with_a_journal_forgets_nothing_it_acked(servers: Servers, tmp_path: Path) -> None:
    assert not any(check_lives(servers, tmp_path, "journal", 5, seed=2))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_killed_servers_forget_nothing_they_told_durable(servers: Servers, tmp_path: Path) -> None:
    forgotten = check_lives(servers, tmp_path, "checkpoint", 50, seed=3)
    assert sum(map(bool, forgotten)) >= 25, "too few kills came while something was unsaved"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_killed_servers_with_a_journal_forget_nothing_they_acked(servers: Servers, tmp_path: Path) -> None:
    assert not any(check_lives(servers, tmp_path, "journal", 20, seed=4))
