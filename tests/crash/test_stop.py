"""Signals amid work: all that was acked is on disk, all are told, and it ends in time (PROTOCOL section 8)."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from random import Random
from threading import Timer
from typing import Final, NamedTuple

import pytest

from tests.crash.clients import Client, Recorder, Worker, Writer
from tests.crash.crowd import Crowd, Told
from tests.crash.lineage import Lineage, version_of
from tests.crash.lives import REFS, START
from tests.crash.saved import newest_text, saved_canvas
from tests.crash.servers import Server, Servers
from tests.crash.serving_process import Durability, Life
from tests.crash.streamer import Streamer
from tests.proof.findings import Findings
from tests.proof.lane import amount
from tests.upload import Answer

WRITERS: Final = amount(ci=12, hand=50)
LISTENERS: Final = amount(ci=50, hand=200)
STREAMERS: Final = amount(ci=3, hand=5)
PAUSE_S: Final = 0.1
"""Between two requests of a writer, on average."""
DOWN_S_MAX: Final = 10.0
SLACK_S: Final = amount(ci=10, hand=0)
"""What a busy machine may take longer."""
"""How long a server may take to end, as the protocol promises."""


class Stop(NamedTuple):
    """A way to stop a server.

    Attributes:
        signals: one right after the other.
        disk_fails_s: for so long after the first the disk takes nothing.
        durability: of the server.
    """

    signals: tuple[signal.Signals, ...]
    disk_fails_s: float = 0.0
    durability: Durability = "checkpoint"


STOPS: Final = (
    Stop((signal.SIGTERM,)),
    Stop((signal.SIGTERM,), durability="journal"),
    Stop((signal.SIGINT,)),
    Stop((signal.SIGHUP,)),
    Stop((signal.SIGTERM, signal.SIGTERM)),
    Stop((signal.SIGINT, signal.SIGINT)),
    Stop((signal.SIGTERM,), disk_fails_s=1.5),
)
"""All of these lose nothing."""
FAILING_FOR_GOOD: Final = Stop((signal.SIGTERM,), disk_fails_s=60.0)


class Stopped(NamedTuple):
    """What a stop came to.

    Attributes:
        code: the exit code.
        down_s: from the first signal to the end.
        acked: how many operations were acked.
        lost: how many of them are not on disk.
        unheard: how many are on disk of which no ack was heard; only after a second signal that is right.
    """

    code: int
    down_s: float
    acked: int
    lost: int
    unheard: int


class Scene:
    """A server at work: writers, listeners, streamed requests, and one who records."""

    def __init__(self, server: Server, stop: Stop, random: Random) -> None:
        self._server = server
        self._stop = stop
        with Client(server.port) as client:
            self.lineages = {ref: _create(client, ref) for ref in REFS}
        self._crowd = Crowd(server.port, list(islice(cycle(REFS), LISTENERS)))
        self._recorder = Recorder(server.port, self.lineages, lambda _count: None)
        self._writers: list[Worker] = [
            Writer(server.port, self.lineages, Random(random.random()), f"writer-{number}", PAUSE_S)
            for number in range(WRITERS)
        ]
        self._streamers = [
            Streamer(server.port, ref, self.lineages[ref], f"streamer-{number}")
            for number, ref in zip(range(STREAMERS), cycle(REFS), strict=False)
        ]

    def play(self, work_s: float) -> tuple[int, float]:
        """Let all work, stop the server, check what all were told; return the exit code and how long it took."""
        self._crowd.begin()
        with self._recorder.listening(lambda: None):
            for worker in [*self._writers, *self._streamers]:
                worker.start()
            time.sleep(work_s)
            code, down_s = _end(self._server, self._stop)
        for writer in self._writers:
            writer.finish()
        told, in_order = self._crowd.told(), len(self._stop.signals) == 1
        _check_told(told, in_order=in_order, saved=code == 0)
        ended = {event["op_id"] for one in told[: len(REFS)] for event in one.events() if "op_id" in event.data}
        for streamer in self._streamers:
            answer = streamer.answer()
            if in_order:
                _check_streamed(streamer.op_ids, answer, ended)
        return code, down_s


def stopped(servers: Servers, data_dir: Path, stop: Stop, random: Random) -> Stopped:
    """Stop a server amid work, and compare what was told with what is on disk."""
    with servers.running(Life(data_dir=str(data_dir), durability=stop.durability, interval_s=0.5)) as server:
        scene = Scene(server, stop, random)
        code, down_s = scene.play(random.uniform(0.1, 1.0))
    heard = {ref: len(lineage.acked) for ref, lineage in scene.lineages.items()}
    lost = sum(len(_recover(data_dir, ref, lineage)) for ref, lineage in scene.lineages.items())
    unheard = sum(max(0, len(lineage.acked) - heard[ref]) for ref, lineage in scene.lineages.items())
    return Stopped(code, down_s, sum(heard.values()), lost, unheard if len(stop.signals) == 1 else 0)


def _create(client: Client, ref: str) -> Lineage:
    status, state = client.ask("PUT", f"/canvas/{ref}", {"content": START})
    assert status == 201
    return Lineage(version_of(state["version"]), START)


def _end(server: Server, stop: Stop) -> tuple[int, float]:
    started_s = time.monotonic()
    with _failing_disk(server.pid, stop.disk_fails_s):
        for number in stop.signals:
            server.signal(number)
        code = server.ending().code
    return code, time.monotonic() - started_s


@contextmanager
def _failing_disk(pid: int, fails_s: float) -> Iterator[None]:
    """Have no file of the process grow for a while."""
    if not fails_s:
        yield
        return
    free = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def mend() -> None:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, free)

    timer = Timer(fails_s, mend)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _check_streamed(op_ids: list[str], answer: Answer | None, ended: set[str]) -> None:
    """Hold the answer of a streamed request against the outcomes that were told."""
    assert answer is not None, "the connection was cut"
    assert (answer.status, answer.body["code"]) == (503, "DRAINING")
    assert set(op_ids[: answer.body["accepted_ops"]]) <= ended, "an accepted operation has no outcome"


def _check_told(told: list[Told], *, in_order: bool, saved: bool) -> None:
    """Hold what the listeners were told against each other, and against the order: acks, their checkpoint, goodbye.

    Args:
        told: by the server, to each.
        in_order: whether the server had the time to end the streams.
        saved: whether it said in the end that all is on disk.
    """
    longest = {one.ref: one for one in sorted(told, key=lambda one: len(one.frames))}
    for one in told:
        assert one.frames[2:-1] == longest[one.ref].frames[2:-1][: len(one.frames) - 3], (
            "two were told different things"
        )
    if not in_order:
        return
    for one in told:
        assert one.in_order, "a stream was cut off"
        assert len(one.frames) == len(longest[one.ref].frames), "one was told less"
        goodbye = Told(one.ref, one.frames[-1:], in_order).events()[0]
        assert (goodbye.type, goodbye["reason"]) == ("bye", "shutdown")
    for one in longest.values() if saved else ():
        states = [event for event in one.events() if event.type in ("ack", "checkpoint")]
        seqs = [version_of(event["server_version"]).seq for event in states]
        assert states[-1].type == "checkpoint", "something was told after the last checkpoint"
        assert seqs[-1] == max(seqs), "the last checkpoint does not cover all"


def _recover(data_dir: Path, ref: str, lineage: Lineage) -> list[str]:
    """Return the ids of the operations that were acked and are not on disk."""
    loaded = saved_canvas(data_dir, ref)
    unheard = [json.loads(op.event) for op in loaded.recent if op.seq > lineage.head.version.seq]
    return [acked.op_id for acked in lineage.recover(loaded.canvas.version, newest_text(loaded), unheard)]


@pytest.mark.promise("R14")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=3_600))
def test_however_a_server_is_stopped_nothing_acked_is_lost_and_all_are_told(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    rounds, random = amount(ci=20, hand=200), Random(8)
    ends = [stopped(servers, tmp_path / f"{number}", stop, random) for number, stop in zip(range(rounds), cycle(STOPS))]
    down_s = sorted(end.down_s for end in ends)
    findings.tell("R14", f"stops of {WRITERS} writers, {LISTENERS} listeners", rounds, goal="exit 0, all told")
    findings.tell("R14", "acked operations lost", sum(end.lost for end in ends), goal="0")
    findings.tell("R14", "signal to end, p99", f"{down_s[len(down_s) * 99 // 100]:.2f} s", goal=f"{DOWN_S_MAX:.0f} s")
    assert [(end.code, end.lost, end.unheard) for end in ends] == [(0, 0, 0)] * rounds
    assert down_s[-1] <= DOWN_S_MAX + SLACK_S
    assert sum(end.acked > WRITERS for end in ends) >= rounds / 2, "too little was written"


@pytest.mark.promise("R14")
@pytest.mark.slow
def test_a_server_whose_disk_fails_for_good_says_so_in_time_and_loses_nothing_it_told_durable(
    servers: Servers, tmp_path: Path, findings: Findings
) -> None:
    end = stopped(servers, tmp_path, FAILING_FOR_GOOD, Random(9))
    findings.tell("R14", "signal to end, with a dead disk", f"{end.down_s:.2f} s", goal=f"{DOWN_S_MAX:.0f} s")
    assert end.code == 1
    assert end.lost > 0
    assert end.down_s <= DOWN_S_MAX + SLACK_S
