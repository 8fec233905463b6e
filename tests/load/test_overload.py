"""Too much work is refused, and what is taken is done: the server does not fall over.

The load is open: requests come at their own pace, however slow the answers are, each over a connection that waits for
no other answer. Who finds the server full is refused and does not come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from time import perf_counter
from typing import Final, NamedTuple

import msgspec
import pytest
import uvloop
from msgspec.structs import replace

from canvas_server.config.settings import LimitSettings
from tests.load.clients import reading, request, until
from tests.load.running import IN_MEMORY, Running, at_share, running
from tests.proof.findings import Findings
from tests.proof.lane import BY_HAND, amount
from tests.serving import Json, at

SECONDS: Final = amount(ci=2, hand=20)
"""How long each load lasts."""
OPS: Final = 20
"""In one request: the load itself must cost little."""
CONNECTIONS_MAX: Final = amount(ci=128, hand=512)
AUTHORS: Final = 16
"""Connections by which the capacity is measured."""
CANVASES: Final = 4
LOADS: Final = (0.5, 1.0, 2.0, 4.0)
GOODPUT_SHARE_MIN: Final = 0.8
GOODPUT_SHARE_IN_CI_MIN: Final = 0.3
"""Of two seconds, in which the machine has other work to do."""

_numbers: Final = count(1)


class Outcome(NamedTuple):
    """What became of one load.

    Attributes:
        sent: requests.
        accepted: requests that were answered 202.
        cut: requests that were not answered at all.
        refused_ms: how long each refusal took.
        goodput: operations that were applied, a second.
        efficiency: operations that were applied, a second of processor time; other work on the machine is not in it.
    """

    sent: int
    accepted: int
    cut: int
    refused_ms: list[float]
    goodput: float
    efficiency: float


class Connection(asyncio.Protocol):
    """Sends a request whenever it is told to, and says what came of it.

    Args:
        answered: called with the answer, empty if the server closed without one, and how long it took in ms.
    """

    def __init__(self, answered: Callable[[Connection, bytes, float], None]) -> None:
        self._answered = answered
        self._held = b""
        self._waits = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._sent_s = perf_counter()

    def data_received(self, data: bytes) -> None:
        self._held += data
        if self._held.endswith(b"}"):
            self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits:
            self._tell()

    def send(self, message: bytes) -> None:
        self._waits = True
        self._sent_s = perf_counter()
        self._transport.write(message)

    def close(self) -> None:
        self._waits = False
        self._transport.close()

    def _tell(self) -> None:
        answer, self._held, self._waits = self._held, b"", False
        self._answered(self, answer, (perf_counter() - self._sent_s) * 1000)


class Crowd:
    """Sends requests and takes note of what becomes of them.

    Args:
        server: that is loaded.
        version_of: the newest known version of a canvas.

    Attributes:
        accepted: the op_ids that were accepted.
        cut_count: requests whose connection closed without an answer.
        refused_ms: how long each refusal took.
    """

    def __init__(self, server: Running, version_of: Callable[[str], str]) -> None:
        self._server = server
        self._version_of = version_of
        self._idle: list[Connection] = []
        self._waiting: dict[Connection, list[str]] = {}
        self._refused: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted: list[str] = []
        self.accepted_count = 0
        self.cut_count = 0
        self.refused_ms: list[float] = []

    @property
    def is_done(self) -> bool:
        return not self._waiting and not self._tasks

    async def load(self, per_s: float, seconds: float) -> int:
        """Send requests at an even pace; return how many."""
        loop = asyncio.get_running_loop()
        start_s, sent = loop.time(), 0
        while (now_s := loop.time() - start_s) < seconds:
            for _ in range(int(now_s * per_s) - sent):
                self._send()
                sent += 1
            await asyncio.sleep(0.002)
        return sent

    async def keep_busy(self, authors: int, seconds: float) -> None:
        """Send a request for each answer, by so many authors."""
        end_s = perf_counter() + seconds
        while perf_counter() < end_s:
            while len(self._waiting) + len(self._tasks) < authors:
                self._send()
            await asyncio.sleep(0.001)

    def close(self) -> None:
        for connection in (*self._idle, *self._waiting):
            connection.close()

    def _send(self) -> None:
        if self._idle:
            self._send_over(self._idle.pop())
            return
        task = asyncio.ensure_future(self._send_over_another())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_over_another(self) -> None:
        make = partial(Connection, self._note)
        _, connection = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", self._server.port)
        self._send_over(connection)

    def _send_over(self, connection: Connection) -> None:
        if connection in self._refused:
            return  # before it could ask
        number = next(_numbers)
        ref = f"loaded-{number % CANVASES}"
        operations = [operation(f"op-{number}-{place}") for place in range(OPS)]
        operations[0]["client_version"] = self._version_of(ref)
        self._waiting[connection] = [one["op_id"] for one in operations]
        path = f"/api/v2/canvas/{ref}/ops:stream?unit=codepoint"
        connection.send(request("POST", path, msgspec.json.encode({"ops": operations})))

    def _note(self, connection: Connection, answer: bytes, took_ms: float) -> None:
        op_ids = self._waiting.pop(connection, [])
        if answer.startswith(b"HTTP/1.1 202"):
            self.accepted += op_ids
            self.accepted_count += 1
            self._idle.append(connection)
            return
        if answer:
            assert answer.startswith(b"HTTP/1.1 503"), answer
            assert b"retry-after: " in answer, answer
            self.refused_ms.append(took_ms)
        else:
            self.cut_count += 1
        self._refused.add(connection)
        connection.close()


def operation(op_id: str) -> Json:
    """Return an insertion that no other one is in the way of."""
    content = "A paragraph.\n\n"
    return {"op_id": op_id, "scope": "range", "action": "insert", "target": at("start"), "content": content}


@pytest.mark.promise("R19")
@pytest.mark.slow
@pytest.mark.timeout(amount(ci=300, hand=400))
def test_overload_is_refused_and_what_is_accepted_is_done(findings: Findings) -> None:
    # The retained operations go on being known however many come, so the versions of authors stay good.
    limits = LimitSettings(connections_max=CONNECTIONS_MAX, retained_ops_max=100_000, canvas_bytes_max=64 << 20)
    outcomes = {}
    with running(replace(IN_MEMORY, limits=limits)) as server:
        for number in range(CANVASES):
            server.create(f"loaded-{number}")
        idle_files = server.files
        # Whatever else the machine did meanwhile made one of them smaller.
        capacity = max(uvloop.run(loaded(server, None)).goodput for _ in range(2))
        for load in LOADS:
            # The connections of the load before may not all be closed on the server's side yet, and take up its room.
            uvloop.run(until(lambda: server.files <= idle_files))
            outcomes[load] = uvloop.run(loaded(server, load * capacity))
    tell(findings, capacity, outcomes)
    last, efficiencies = outcomes[LOADS[-1]], [outcome.efficiency for outcome in outcomes.values()]
    assert all(outcome.cut == 0 for outcome in outcomes.values())
    assert len(last.refused_ms) > last.sent / 8, "the load was too small to overload anything"
    assert last.efficiency > (GOODPUT_SHARE_MIN if BY_HAND else GOODPUT_SHARE_IN_CI_MIN) * max(efficiencies)


def tell(findings: Findings, capacity: float, outcomes: Mapping[float, Outcome]) -> None:
    peak = max(outcome.goodput for outcome in outcomes.values())
    thrift = max(outcome.efficiency for outcome in outcomes.values())
    findings.tell("R19", "capacity", f"{capacity:.0f} operations/s, {OPS} a request")
    for load, outcome in outcomes.items():
        share, own_share = outcome.goodput / peak, outcome.efficiency / thrift
        told = f"{share:.0%} of the peak, {own_share:.0%} by processor time, {len(outcome.refused_ms)} refused"
        findings.tell("R19", f"goodput at {load:g} of capacity", told, "80 % of the peak" if load == LOADS[-1] else "")
    refused_ms = at_share(outcomes[LOADS[-1]].refused_ms, 0.99)
    findings.tell("R19", f"refusals at {LOADS[-1]:g} of capacity took, p99", f"{refused_ms:.0f} ms", "under 100 ms")


async def loaded(server: Running, ops_per_s: float | None) -> Outcome:
    """Load a server, at its own pace if none is given; every accepted operation must come to its end."""
    targets = [f"/api/v2/canvas/loaded-{number}/ops:listen?unit=codepoint" for number in range(CANVASES)]
    async with reading(server.port, targets, keeps_op_ids=True) as readers:
        known = {f"loaded-{number}": reader for number, reader in enumerate(readers)}
        crowd = Crowd(server, lambda ref: f'W/"{known[ref].last_id}"')
        started_s, used_s = perf_counter(), server.cpu_s
        if ops_per_s is None:
            await crowd.keep_busy(AUTHORS, SECONDS)
            sent = 0
        else:
            sent = await crowd.load(ops_per_s / OPS, SECONDS)
        await until(lambda: crowd.is_done)
        await until(lambda: sum(reader.acks for reader in readers) >= len(crowd.accepted))
        took_s, used_s = perf_counter() - started_s, server.cpu_s - used_s
        crowd.close()
        ended = [op_id for reader in readers for op_id in reader.ended]
        assert sorted(ended) == sorted(crowd.accepted)
        return Outcome(
            sent, crowd.accepted_count, crowd.cut_count, crowd.refused_ms, len(ended) / took_s, len(ended) / used_s
        )
