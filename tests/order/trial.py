"""A crowd of clients against one server after the other, and what all of them together must agree on."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from math import inf
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec

from tests.crash.clients import Client as Asker
from tests.crash.servers import ROOT, Server, Servers
from tests.crash.serving_process import Durability
from tests.crash.serving_process import Life as ServerLife
from tests.model.history import Acked, Life, Record, Violation, check
from tests.order.address import Address, announce
from tests.order.book import Book
from tests.order.client import Orders, Report
from tests.order.ear import Ear
from tests.order.follower import version_of
from tests.serving import Json

REFS: Final = ("one", "two", "three")
START: Final = "# One\n\nIt begins 🦊.\n\n# Two\n\nIt goes on.\n"
CLIENTS: Final = 16
CUT_BYTES: Final = 20_000
LOSSES: Final = 0.15


class Course(NamedTuple):
    """How a trial runs.

    Attributes:
        ops: how many operations all clients send together.
        kills: how often the server is killed meanwhile.
    """

    durability: Durability
    ops: int
    kills: int
    seed: int
    run_s_max: float


class Result(NamedTuple):
    """What was found.

    Attributes:
        kills: how often the server was killed while clients were at it.
        records: of all clients.
        violations: what no order explains.
        ends: by op_id, how many ends one listener heard that was never cut; only without kills.
        attempts: by op_id, how many requests with it were accepted, and of how many nobody knows.
        arrivals: by how, how many connections of all clients began so.
        versions: how many were told of, each of one text.
        unplaced_reads: reads of versions that a crash took back before anybody was told of them.
        histories: by ref, the acks of the server that lived last.
    """

    kills: int
    records: list[Record]
    violations: list[Violation]
    ends: Mapping[str, int]
    attempts: Mapping[str, tuple[int, int]]
    arrivals: Counter[str]
    versions: int
    unplaced_reads: int
    histories: Mapping[str, list[Json]]


class Trial:
    """One run of a crowd.

    Args:
        servers: starts them.
        folder: empty.
        course: how it runs.
    """

    def __init__(self, servers: Servers, folder: Path, course: Course) -> None:
        self._servers = servers
        self._folder = folder
        self._course = course
        self._random = Random(course.seed)
        self._address_file = folder / "address"
        self._lives: list[Life] = []
        self._ending = ExitStack()
        self._recorder = Ear(self._address_file, REFS, "codepoint", self._random, 0)

    def run(self) -> Result:
        """Run it."""
        with self._ending:
            server = self._start()
            self._recorder.start()
            server = self._play(server)
            self._recorder.stop()
            histories = {ref: list(history(server.port, ref)) for ref in REFS}
        return self._result(list(self._reports()), histories)

    def _start(self) -> Server:
        """Start a server, look at what it holds, and let the clients in."""
        life = ServerLife(data_dir=str(self._folder / "data"), durability=self._course.durability, interval_s=0.5)
        server = self._ending.enter_context(self._servers.running(life))
        with Asker(server.port) as client:
            if not self._lives:
                for ref in REFS:
                    assert client.ask("PUT", f"/canvas/{ref}", {"content": START})[0] == 201
            heads = {ref: version_of(client.ask("GET", f"/canvas/{ref}")[1]["version"]) for ref in REFS}
        began_s = announce(self._address_file, Address(len(self._lives), server.port))
        self._lives.append(Life(began_s if self._lives else -inf, heads))
        return server

    def _restart(self, server: Server) -> Server:
        """Kill the server, let clients know it, and start another one."""
        server.kill()
        server.ending()
        announce(self._address_file, Address(len(self._lives), 0))
        return self._start()

    def _play(self, server: Server) -> Server:
        """Let the crowd in, and kill the server now and then while it is busy; return the one that lives at the end."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.order.crowd", str(self._folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as crowd:
            assert crowd.stdin is not None
            assert crowd.stderr is not None
            try:
                crowd.stdin.write(msgspec.json.encode(self._orders()))
                crowd.stdin.close()
                for number in range(self._course.kills):
                    share = (number + self._random.uniform(0.3, 1.0)) / (self._course.kills + 1)
                    if self._await_ends(round(share * self._course.ops), crowd):
                        server = self._restart(server)
                told = crowd.stderr.read().decode()
                assert crowd.wait(self._course.run_s_max) == 0, told[-4000:]
                return server
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(crowd.pid, signal.SIGKILL)

    def _orders(self) -> list[Orders]:
        return [
            Orders(
                name=f"client-{number}",
                seed=self._random.getrandbits(32),
                address_file=str(self._address_file),
                refs=self._random.sample(REFS, 2),
                unit="utf16" if number % 2 else "codepoint",
                ops=self._course.ops // CLIENTS,
                losses=LOSSES,
                cut_bytes=CUT_BYTES,
                run_s_max=self._course.run_s_max,
            )
            for number in range(CLIENTS)
        ]

    def _await_ends(self, count: int, crowd: subprocess.Popen[bytes]) -> bool:
        """Wait until so many operations have an end; return whether the crowd is still at it."""
        with self._recorder.changed:
            while len(self._recorder.outcomes) < count and crowd.poll() is None:
                self._recorder.changed.wait(0.1)
                self._recorder.check()
        return crowd.poll() is None

    def _reports(self) -> Iterator[Report]:
        for number in range(CLIENTS):
            report = pickle.loads((self._folder / f"client-{number}").read_bytes())
            assert isinstance(report, Report)
            yield report

    def _result(self, reports: list[Report], histories: Mapping[str, list[Json]]) -> Result:
        book = Book(self._lives)
        book.add({ref: follower.heard for ref, follower in self._recorder.followers.items()})
        for report in reports:
            book.add(report.heard)
        for ref, acks in histories.items():
            book.add_history(ref, acks)
        records = [record for report in reports for record in report.records]
        placed = [record for record in records if book.can_place(record)]
        return Result(
            kills=len(self._lives) - 1,
            records=records,
            violations=check(placed, book.lives()),
            ends={} if self._course.kills else {op: len(ends) for op, ends in self._recorder.outcomes.items()},
            attempts={op_id: counts for report in reports for op_id, counts in report.attempts.items()},
            arrivals=Counter(arrival.how for report in reports for arrival in report.arrivals),
            versions=book.versions,
            unplaced_reads=len(records) - len(placed),
            histories=histories,
        )


def history(port: int, ref: str) -> Iterator[Json]:
    """Yield the acks of a canvas, all there are."""
    after: int | None = 0
    with Asker(port) as client:
        while after is not None:
            status, page = client.ask("GET", f"/canvas/{ref}/ops?after={after}&limit=1000")
            assert status == 200, page
            yield from page["events"]
            after = page.get("next_after")


def acked(records: list[Record]) -> dict[str, set[str]]:
    """Return the ETags that were acked, by op_id."""
    etags: dict[str, set[str]] = {}
    for record in records:
        if isinstance(record.outcome, Acked):
            etags.setdefault(record.op_id, set()).add(record.outcome.version.etag)
    return etags
