"""What a journal costs: authors who each wait for the ack of one edit before they send the next, in both modes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Final, NamedTuple

from tests.bench.edits import Edits
from tests.bench.hearing import CANVASES
from tests.bench.listeners import PATIENCE_S, Listener, until
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import (
    WRITERS,
    Delays,
    Meter,
    Plan,
    Rate,
    in_turns,
    loaded,
    middle,
    middle_delays,
    new_canvases,
    warm_s,
)
from tests.bench.servers import Server, running

CHECKPOINT: Final = "checkpoints"
JOURNAL: Final = "journal"
SHARE_GOAL: Final = 0.8
ACK_MS_GOAL: Final = 5.0
LOADS: Final = {
    "1 author": (1, 1),
    f"{WRITERS} authors of one document": (WRITERS, 1),
    f"{CANVASES} documents, an author each": (CANVASES, CANVASES),
}
"""Authors and documents by what they are called."""

_END: Final = re.compile(rb'"type":"(?:ack|conflict)".*?"op_id":"op-([0-9]+)"')


class Waited(NamedTuple):
    """How fast edits went whose authors waited, and how long these did."""

    rate: Rate
    acks: Delays


def journal(plan: Plan) -> Group:
    """Measure both modes beside each other."""
    with ExitStack() as stack:
        servers = {
            mode: stack.enter_context(running("canvas", {"storage.durability": durability}))
            for mode, durability in ((CHECKPOINT, "checkpoint"), (JOURNAL, "journal"))
        }
        measures: dict[str, Callable[[], Waited]] = {
            f"{mode}: {load}": partial(_waited, server, authors, canvases, plan)
            for load, (authors, canvases) in LOADS.items()
            for mode, server in servers.items()
        }
        told = {name: _middle(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [_row(name, waited, told.get(name.replace(JOURNAL, CHECKPOINT, 1))) for name, waited in told.items()]
    note = (
        "Documents of 52 KB; each author sends an edit, hears its ack and sends the next. SQLite on disk. "
        "With one author at a time the disk is all there is to wait for: that row has no goal for its rate."
    )
    return Group("What a journal costs", note, rows)


def _row(name: str, waited: Waited, without: Waited | None) -> Row:
    rate, acks = waited
    values = [
        Value("rate", rate.per_s, "edits/s"),
        Value("p50", acks.p50_ms, "ms"),
        Value("p99", acks.p99_ms, "ms"),
        Value("server CPU each", rate.cpu_us, "µs"),
    ]
    if without is None or not name.startswith(JOURNAL):
        return Row(name, values, (), rate.oddities)
    goal = None if name.endswith(": 1 author") else SHARE_GOAL
    besides = [
        Beside(rate.per_s / without.rate.per_s, "of checkpoints", goal),
        Beside(without.rate.cpu_us / rate.cpu_us, "by server CPU"),
    ]
    return Row(name, values, besides, rate.oddities)


def _middle(runs: Sequence[Waited]) -> Waited:
    return Waited(middle([run.rate for run in runs]), middle_delays([run.acks for run in runs]))


def _waited(server: Server, authors: int, canvases: int, plan: Plan) -> Waited:
    with new_canvases(server, canvases) as refs:
        return loaded(_write(server, refs, authors, plan.seconds))


class _Office(Listener):
    """Hears the outcomes of a canvas and tells each to the author who waits for it."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self.edits = Edits(ref, self)
        self.waiting: dict[int, Callable[[], None]] = {}

    def data_received(self, data: bytes) -> None:
        whole = (self._held + data).rpartition(b"\n")[0]
        super().data_received(data)
        for number in _END.findall(whole):
            self.waiting.pop(int(number))()


class _Author(asyncio.Protocol):
    """Writes until it is told to stop, one edit at a time.

    Args:
        office: of its canvas.
        goes_on: whether to send another.
    """

    def __init__(self, office: _Office, goes_on: Callable[[], bool]) -> None:
        self._office = office
        self._goes_on = goes_on
        self.took_ms: list[float] = []
        self.stopped = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        assert b"HTTP/1.1 4" not in data
        assert b"HTTP/1.1 5" not in data, data

    def _send(self) -> None:
        self._sent_s = perf_counter()
        request = self._office.edits.calm()
        self._office.waiting[self._office.edits.made] = self._heard
        self._transport.write(request)

    def _heard(self) -> None:
        self.took_ms.append((perf_counter() - self._sent_s) * 1000)
        if self._goes_on():
            self._send()
        else:
            self._transport.close()
            self.stopped.set_result(None)


async def _write(server: Server, refs: Sequence[str], authors: int, seconds: float) -> Waited:
    async with AsyncExitStack() as stack:
        offices = [await stack.enter_async_context(_office(server.port, ref)) for ref in refs]
        await _write_for(server.port, offices, authors, warm_s(seconds))
        conflicts, meter = sum(office.conflicts for office in offices), Meter(server)
        took_ms = await _write_for(server.port, offices, authors, seconds)
        conflicts = sum(office.conflicts for office in offices) - conflicts
        rate = meter.rate(len(took_ms), {"conflicts": conflicts})
        took_ms.sort()
    return Waited(rate, Delays(took_ms[len(took_ms) // 2], took_ms[int(len(took_ms) * 0.99)]))


async def _write_for(port: int, offices: Sequence[_Office], authors: int, seconds: float) -> list[float]:
    """Return how long each author waited each time."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    pairs = [
        await loop.create_connection(
            partial(_Author, offices[number % len(offices)], lambda: loop.time() < end_s), "127.0.0.1", port
        )
        for number in range(authors)
    ]
    async with asyncio.timeout(seconds + PATIENCE_S):
        await asyncio.gather(*(author.stopped for _transport, author in pairs))
    return [each for _transport, author in pairs for each in author.took_ms]


@asynccontextmanager
async def _office(port: int, ref: str) -> AsyncIterator[_Office]:
    transport, office = await asyncio.get_running_loop().create_connection(lambda: _Office(ref), "127.0.0.1", port)
    await until(lambda: bool(office.version))
    yield office
    transport.close()
