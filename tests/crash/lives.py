"""One folder, and one server after the other that serves it until it is killed, each held to what was told before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Timer
from typing import Final, NamedTuple

from tests.crash.clients import Client, Reader, Recorder, Worker, Writer
from tests.crash.kill_points import Point
from tests.crash.lineage import Acked, Lineage, version_of
from tests.crash.servers import Server, Servers
from tests.crash.serving_process import Durability, Life

REFS: Final = ("one", "two", "three")
START: Final = "# One\n\nIt begins 🦊.\n\n# Two\n\nIt goes on.\n"
WRITERS: Final = 3
OPS_MAX: Final = 100
"""Operations in one request, at most."""
LIFE_S_MAX: Final = 20.0
"""No server lives longer, whatever was planned for it."""


class Plan(NamedTuple):
    """How servers are to live and die; of several deaths the first that comes counts.

    Attributes:
        durability: of all of them.
        interval_s: of their checkpoints.
        events_max: dies as the client hears an event, of at most that number.
        moment_s_max: dies at a moment within so many seconds of work.
        points: dies by itself at one of them.
        saves_max: in which save that is, at most.
        pauses_s: how long each writer rests between two requests, on average; one of them is drawn for each life.
    """

    durability: Durability
    interval_s: float = 0.05
    events_max: int | None = None
    moment_s_max: float | None = None
    points: tuple[Point, ...] = ()
    saves_max: int = 20
    pauses_s: tuple[float, ...] = (0.0,)


class Loss(NamedTuple):
    """What one kill cost.

    Attributes:
        ops: the acked operations that were forgotten, for each canvas.
        oldest_s: for how long the oldest of them had been acked when the kill came.
    """

    ops: tuple[int, ...]
    oldest_s: float


class Lives:
    """One server after the other on the same folder.

    Attributes:
        losses: of each kill that a restart came after.
        died: where the servers died that did so by themselves.
    """

    def __init__(self, servers: Servers, data_dir: Path, plan: Plan, random: Random) -> None:
        self._servers = servers
        self._data_dir = data_dir
        self._plan = plan
        self._random = random
        self._killed_s = 0.0
        self.lineages: dict[str, Lineage] = {}
        self.losses: list[Loss] = []
        self.died: list[str] = []

    def live(self) -> None:
        """Start a server, hold it to what the one before told, write, and let it be killed while it is busy."""
        with self._servers.running(self._life()) as server:
            with Client(server.port) as client:
                forgotten = self._recover(client) if self.lineages else self._create(client)
                recorder = Recorder(server.port, self.lineages, self._after_event(server))
                with recorder.listening(server.kill), self._killing(server):
                    self._send_again(client, forgotten)
                    self._work(server.port)
            self._killed_s = server.killed_s
            self.died += [line for line in server.ending().told if line.startswith("died ")]

    def _life(self) -> Life:
        plan = self._plan
        return Life(
            data_dir=str(self._data_dir),
            durability=plan.durability,
            interval_s=plan.interval_s,
            point=self._random.choice(plan.points) if plan.points else None,
            at_save=self._random.randint(1, plan.saves_max),
        )

    def _after_event(self, server: Server) -> Callable[[int], None]:
        events_max = self._plan.events_max
        last_event = self._random.randint(len(REFS), events_max) if events_max else None
        return lambda count: server.kill() if count == last_event else None

    @contextmanager
    def _killing(self, server: Server) -> Iterator[None]:
        """Kill the server at the moment that is drawn, unless it is dead by then."""
        moment_s_max = self._plan.moment_s_max
        timer = Timer(self._random.uniform(0, moment_s_max) if moment_s_max else LIFE_S_MAX, server.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _create(self, client: Client) -> dict[str, list[Acked]]:
        for ref in REFS:
            status, state = client.ask("PUT", f"/canvas/{ref}", {"content": START})
            assert status == 201
            self.lineages[ref] = Lineage(version_of(state["version"]), START)
        return {}

    def _recover(self, client: Client) -> dict[str, list[Acked]]:
        """Return for each canvas the operations that were acked and are forgotten."""
        forgotten = {}
        for ref, lineage in self.lineages.items():
            state = client.ask("GET", f"/canvas/{ref}?unit=codepoint")[1]
            version = version_of(state["version"])
            heard_seq = min(lineage.head.version.seq, version.seq)
            unheard = client.ask("GET", f"/canvas/{ref}/ops?after={heard_seq}&limit=1000&unit=codepoint")[1]["events"]
            forgotten[ref] = lineage.recover(version, state["content"], unheard)
        heard_s = [acked.heard_s for lost in forgotten.values() for acked in lost]
        oldest_s = max(0.0, self._killed_s - min(heard_s)) if heard_s else 0.0
        self.losses.append(Loss(tuple(map(len, forgotten.values())), oldest_s))
        return forgotten

    def _send_again(self, client: Client, forgotten: Mapping[str, list[Acked]]) -> None:
        """Send operations again that are forgotten, behind some that are not; the recorder checks what they come to.

        The last of all is now and then another one under the old name: it must not come to the old version.
        """
        for ref, lost in forgotten.items():
            lineage = self.lineages[ref]
            again = [lineage.sent[acked.op_id] for acked in lineage.acked[-3:] + lost]
            if lost and self._random.random() < 0.5:
                again[-1] = lineage.change(lost[-1].op_id)
            for start in range(0, len(again), OPS_MAX):
                client.submit(ref, again[start : start + OPS_MAX])

    def _work(self, port: int) -> None:
        """Write and read until the server is gone."""
        pause_s = self._random.choice(self._plan.pauses_s)
        names = (f"life-{len(self.losses)}-writer-{number}" for number in range(WRITERS))
        workers: list[Worker] = [
            Writer(port, self.lineages, Random(self._random.random()), name, pause_s) for name in names
        ]
        workers.append(Reader(port, self.lineages))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.finish()
