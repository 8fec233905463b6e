"""What a journal costs: authors who each wait for the ack of one edit before they send the next, in both modes."""

from __future__ import annotations

import asyncio
import random
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
THINK_S: Final = 0.1


class Load(NamedTuple):
    """Who writes.

    Attributes:
        authors: in all.
        canvases: they write in.
        think_s: how long an author waits between an ack and the next edit, on average.
    """

    authors: int
    canvases: int
    think_s: float = 0.0


LOADS: Final = {
    "1 author": Load(1, 1),
    f"{WRITERS} authors of one document": Load(WRITERS, 1),
    f"{CANVASES} documents, an author each": Load(CANVASES, CANVASES),
    f"{CANVASES} documents, an author each who types": Load(CANVASES, CANVASES, THINK_S),
}
"""By what they are called."""

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
            f"{mode}: {name}": partial(_waited, server, load, plan)
            for name, load in LOADS.items()
            for mode, server in servers.items()
        }
        told = {name: _middle(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [
        _row(f"{mode}: {name}", load, told[f"{mode}: {name}"], told[f"{CHECKPOINT}: {name}"])
        for name, load in LOADS.items()
        for mode in servers
    ]
    note = (
        "Documents of 52 KB; each author sends an edit, hears its ack and sends the next, at once or, who types, "
        f"some {THINK_S:g} s later. SQLite on disk. One author alone waits for nothing but the disk: that row "
        f"has no goal for its rate. {CANVASES} who send at once wait for each other in either mode, for {CANVASES} "
        "divided by the rate: that row has no goal for the wait."
    )
    return Group("What a journal costs", note, rows)


def _row(name: str, load: Load, waited: Waited, without: Waited) -> Row:
    rate, acks = waited
    values = [
        Value("rate", rate.per_s, "edits/s"),
        Value("p50", acks.p50_ms, "ms"),
        Value("p99", acks.p99_ms, "ms"),
        Value("server CPU each", rate.cpu_us, "µs"),
    ]
    if waited is without:
        return Row(name, values, (), rate.oddities)
    besides = [
        Beside(rate.per_s / without.rate.per_s, "of checkpoints", None if load.authors == 1 else SHARE_GOAL),
        Beside(without.rate.cpu_us / rate.cpu_us, "by server CPU"),
    ]
    if load.authors < CANVASES or load.think_s:
        besides.append(Beside(acks.p50_ms, "ms to an ack, median", ACK_MS_GOAL, at_most=True))
    return Row(name, values, besides, rate.oddities)


def _middle(runs: Sequence[Waited]) -> Waited:
    return Waited(middle([run.rate for run in runs]), middle_delays([run.acks for run in runs]))


def _waited(server: Server, load: Load, plan: Plan) -> Waited:
    with new_canvases(server, load.canvases) as refs:
        return loaded(_write(server, refs, load, plan.seconds))


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
        think_s: how long it waits before the next, on average.
        goes_on: whether to send another.
    """

    def __init__(self, office: _Office, think_s: float, goes_on: Callable[[], bool]) -> None:
        self._office = office
        self._think_s = think_s
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
        if not self._goes_on():
            self._transport.close()
            self.stopped.set_result(None)
        elif self._think_s:
            asyncio.get_running_loop().call_later(random.uniform(0.0, 2.0 * self._think_s), self._send)
        else:
            self._send()


async def _write(server: Server, refs: Sequence[str], load: Load, seconds: float) -> Waited:
    async with AsyncExitStack() as stack:
        offices = [await stack.enter_async_context(_office(server.port, ref)) for ref in refs]
        await _write_for(server.port, offices, load, warm_s(seconds))
        conflicts, meter = sum(office.conflicts for office in offices), Meter(server)
        took_ms = await _write_for(server.port, offices, load, seconds)
        conflicts = sum(office.conflicts for office in offices) - conflicts
        rate = meter.rate(len(took_ms), {"conflicts": conflicts})
        took_ms.sort()
    return Waited(rate, Delays(took_ms[len(took_ms) // 2], took_ms[int(len(took_ms) * 0.99)]))


async def _write_for(port: int, offices: Sequence[_Office], load: Load, seconds: float) -> list[float]:
    """Return how long each author waited each time."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    pairs = [
        await loop.create_connection(
            partial(_Author, offices[number % len(offices)], load.think_s, lambda: loop.time() < end_s),
            "127.0.0.1",
            port,
        )
        for number in range(load.authors)
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
