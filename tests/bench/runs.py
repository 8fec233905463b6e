"""Single measurements over HTTP, and how they are repeated: in turns, so that what drifts meets all alike."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from itertools import count
from statistics import median_low
from time import perf_counter
from typing import Final, NamedTuple, TypeVar

import uvloop

from tests.bench.edits import TEXT, Edits
from tests.bench.listeners import Listener, Sink, Stopwatch, listening, sinking, until
from tests.bench.load import close, create, write_for, write_once
from tests.bench.report import Beside, Row, Value
from tests.bench.servers import Server

WRITERS: Final = 32
BATCH_WRITERS: Final = 4

SINGLE: Final = "single POSTs"
BATCHES: Final = "50 a POST"
LINES: Final = "50 lines of NDJSON"
WAYS: Final[Mapping[str, tuple[Callable[[Edits], bytes], int]]] = {
    SINGLE: (Edits.single, WRITERS),
    BATCHES: (Edits.batch, BATCH_WRITERS),
    LINES: (Edits.lines, BATCH_WRITERS),
}
"""How operations are sent to one document, and over how many connections, by its name."""

UNDER_WAY_MAX: Final = 100
"""Requests sent on a connection before the first is answered: the server would end it at a few more."""

_WAITED_MAX: Final = 0.05
"""Share of the time that the server or the load may wait for its core, before it is told."""

_CALM_WARM: Final = 50
"""Edits before the first whose delay counts."""

_numbers: Final = count(1)

Measured = TypeVar("Measured")


class Plan(NamedTuple):
    """How much to measure."""

    seconds: float
    """Of each measurement of a rate."""
    rounds: int
    what: re.Pattern[str]
    """Only what has this in its name."""


class Rate(NamedTuple):
    """How fast something went."""

    per_s: float
    cpu_us: float
    """Processor time of the server for each."""
    server_busy: float = 0.0
    """Share of its time that the server had a core. Far below 1 it was waiting for the load or the disk."""
    load_busy: float = 0.0
    oddities: str = ""
    """What should not be: conflicts, listeners given up, requests refused, a core that others used too."""


class Delays(NamedTuple):
    """How long deliveries took."""

    p50_ms: float
    p99_ms: float


def in_turns(plan: Plan, measures: Mapping[str, Callable[[], Measured]]) -> dict[str, Sequence[Measured]]:
    """Run the wanted measurements one after the other, and all again in each round."""
    wanted = [name for name in measures if plan.what.search(name)]
    rounds = [{name: measures[name]() for name in wanted} for _ in range(plan.rounds)]
    return {name: [told[name] for told in rounds] for name in wanted}


def middle(rates: Sequence[Rate]) -> Rate:
    """Return the median run."""
    return sorted(rates)[(len(rates) - 1) // 2]


def middle_delays(delays: Sequence[Delays]) -> Delays:
    """Return the medians."""
    return Delays(median_low([each.p50_ms for each in delays]), median_low([each.p99_ms for each in delays]))


def rate_row(what: str, unit: str, rate: Rate, besides: Sequence[Beside] = ()) -> Row:
    """Return a rate as a row."""
    values = [
        Value("rate", rate.per_s, f"{unit}/s"),
        Value("server CPU each", rate.cpu_us, "µs"),
        Value("server busy", rate.server_busy * 100, "%"),
        Value("load busy", rate.load_busy * 100, "%"),
    ]
    return Row(what, values, besides, rate.oddities)


def answered(server: Server, request: Callable[[Edits], bytes], operations: int, plan: Plan) -> Rate:
    """Write to a server that tells nobody; count operations."""
    return loaded(_answered(server, partial(request, Edits("bench")), operations, plan.seconds))


def delivered(
    server: Server,
    request: Callable[[Edits], bytes],
    plan: Plan,
    *,
    writers: int,
    listeners: int = 1,
    canvases: int = 1,
) -> Rate:
    """Return how fast edits go until the last listener has the last one.

    Args:
        server: a whole one.
        request: makes requests of edits.
        plan: says for how long.
        writers: of all canvases together.
        listeners: of each canvas.
        canvases: how many.
    """
    with new_canvases(server, canvases) as refs:
        return loaded(_delivered(server, refs, request, plan.seconds, writers, listeners))


def calm_delays(server: Server, listeners: int, plan: Plan, *, text: str = TEXT, edits_per_s: int = 100) -> Delays:
    """Return how long deliveries take from just before the request is written, at a calm pace."""
    with new_canvases(server, 1, text) as (ref,):
        took_ms = sorted(loaded(_calm(server, ref, listeners, plan.seconds, edits_per_s)))
    assert len(took_ms) == round(edits_per_s * plan.seconds) * listeners
    return Delays(took_ms[len(took_ms) // 2], took_ms[int(len(took_ms) * 0.99)])


def loaded(load: Coroutine[None, None, Measured]) -> Measured:
    """Run load; the garbage is not collected meanwhile, for its pauses would be told as the server's."""
    gc.disable()
    try:
        return uvloop.run(load)
    finally:
        gc.enable()


def crowded(server: float, load: float) -> str:
    """Say which shares of the time the server and the load waited for their cores, if one is not small."""
    if max(server, load) <= _WAITED_MAX:
        return ""
    return f"others ran: the server waited {server:.0%} of the time for its core, the load {load:.0%}"


@contextmanager
def new_canvases(server: Server, number: int, text: str = TEXT) -> Iterator[Sequence[str]]:
    """Give new canvases; they are closed in the end."""
    refs = [f"bench-{next(_numbers)}" for _ in range(number)]
    for ref in refs:
        create(server.port, ref, text)
    yield refs
    for ref in refs:
        close(server.port, ref)


class Meter:
    """Takes the time and what both sides used of it."""

    def __init__(self, server: Server) -> None:
        self._server, self._load = server, Server(0, os.getpid())
        self._server_before, self._load_before = server.used(), self._load.used()
        self._began_s = perf_counter()

    def rate(self, number: int, oddities: Mapping[str, int] | None = None) -> Rate:
        took_s = perf_counter() - self._began_s
        server = self._server.used() - self._server_before
        load = self._load.used() - self._load_before
        told = [f"{count:,} {what}" for what, count in (oddities or {}).items() if count]
        others = crowded(server.waited_s / took_s, load.waited_s / took_s)
        told += [others] if others else []
        cpu_us = server.cpu_s / number * 1e6
        return Rate(number / took_s, cpu_us, server.cpu_s / took_s, load.cpu_s / took_s, ", ".join(told))


async def _answered(server: Server, request: Callable[[], bytes], operations: int, seconds: float) -> Rate:
    await write_for(server.port, WRITERS, warm_s(seconds), [request])
    meter = Meter(server)
    written = await write_for(server.port, WRITERS, seconds, [request])
    return meter.rate(written.answers * operations)


async def _delivered(
    server: Server,
    refs: Sequence[str],
    request: Callable[[Edits], bytes],
    seconds: float,
    writers: int,
    listeners: int,
) -> Rate:
    async with AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(listening(server.port, ref)) for ref in refs]
        others = [
            sink
            for ref in refs
            for sink in await stack.enter_async_context(sinking(server.port, partial(Sink, ref), listeners - 1))
        ]
        edits = [Edits(ref, listener) for ref, listener in zip(refs, heard, strict=True)]
        sources = [partial(request, each) for each in edits]
        await write_for(server.port, writers, warm_s(seconds), sources)
        await _heard_all(server, edits, [*heard, *others], b"warm")
        acks, meter = sum(listener.acks for listener in heard), Meter(server)
        written = await write_for(server.port, writers, seconds, sources)
        await _heard_all(server, edits, [*heard, *others], b"last")
        acks = sum(listener.acks for listener in heard) - acks
        return meter.rate(acks, _oddities(heard, others, written.refused))


async def _heard_all(
    server: Server, edits: Sequence[Edits], listeners: Sequence[Listener | Sink], op_id: bytes
) -> None:
    """Write one more edit to each canvas and wait until all have heard it."""
    for listener in listeners:
        listener.awaited = b'"op_id":"%s"' % op_id
    for each in edits:
        await write_once(server.port, each.last(op_id))
    await until(lambda: all(not listener.awaited or listener.ended for listener in listeners))


def _oddities(heard: Sequence[Listener], others: Sequence[Sink], refused: int) -> Mapping[str, int]:
    there = [sink for sink in others if not sink.ended]
    for sink in there:
        assert abs(sink.received_bytes / heard[0].received_bytes - 1) < 0.01, "listeners heard different things"
    return {
        "conflicts": sum(listener.conflicts for listener in heard),
        "listeners given up": len(others) - len(there) + sum(listener.ended for listener in heard),
        "requests refused": refused,
    }


async def _calm(server: Server, ref: str, listeners: int, seconds: float, edits_per_s: int) -> list[float]:
    loop = asyncio.get_running_loop()
    async with (
        listening(server.port, ref) as first,
        sinking(server.port, partial(Stopwatch, ref), listeners - 1) as others,
    ):
        first_s = first.acks_s = list[float]()
        edits = Edits(ref, first)
        sent_s: list[float] = []
        transport, _protocol = await loop.create_connection(asyncio.Protocol, "127.0.0.1", server.port)
        async for _ in paced(_CALM_WARM + round(edits_per_s * seconds), edits_per_s):
            sent_s.append(perf_counter())
            await until(lambda: len(sent_s) - len(first_s) < UNDER_WAY_MAX)
            transport.write(edits.calm())
        heard_s = [first_s, *(sink.acks_s for sink in others)]
        await until(lambda: all(len(each) == len(sent_s) for each in heard_s))
        transport.close()
    return [
        (came_s - at_s) * 1000
        for each in heard_s
        for came_s, at_s in zip(each[_CALM_WARM:], sent_s[_CALM_WARM:], strict=True)
    ]


async def paced(number: int, per_s: int) -> AsyncIterator[int]:
    """Yield numbers at an even pace; late ones follow at once."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for each in range(number):
        await asyncio.sleep(max(0.0, began_s + each / per_s - loop.time()))
        yield each


def warm_s(seconds: float) -> float:
    """Return how long to write before what is measured."""
    return min(1.0, seconds / 3)
