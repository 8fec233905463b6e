"""A thousand listeners that come back at once, each to hear what it missed, while somebody goes on editing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from statistics import median_low
from time import perf_counter
from typing import Final, NamedTuple

from tests.bench.edits import TEXT, Edits
from tests.bench.listeners import Listener, Sink, listening, until
from tests.bench.load import create, write_once
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import UNDER_WAY_MAX, Plan, in_turns, loaded, paced
from tests.bench.servers import Server, running

_COUNT: Final = 1000
_MISSED: Final = 20
_EDITS_PER_S: Final = 20
_EDITS_MAX: Final = 60 * _EDITS_PER_S
_QUIET: Final = f"{_COUNT:,} listeners, each missed {_MISSED} edits"
_EDITED: Final = f"the same while {_EDITS_PER_S} edits a second go to all"
_BARE: Final = f"{_COUNT:,} listeners of bare ASGI, which tells one event"


class _Storm(NamedTuple):
    per_s: float
    cpu_us: float
    all_back_ms: float
    worst_delay_ms: float
    """Of an edit meanwhile, to a listener that stayed."""


def reconnects(plan: Plan) -> Group:
    """Measure how fast listeners come back."""
    measures = {
        _QUIET: partial(_fresh, "canvas", partial(_resumed, edited=False)),
        _EDITED: partial(_fresh, "canvas", partial(_resumed, edited=True)),
        _BARE: partial(_fresh, "bare", _storm),
    }
    told = {
        name: _Storm(*(median_low(values) for values in zip(*runs, strict=True)))
        for name, runs in in_turns(plan, measures).items()
    }
    rows = [_row(name, storm, _besides(name, told)) for name, storm in told.items()]
    return Group(
        "Reconnecting", "All connect at the same moment. The delay is of an edit to a listener that stayed.", rows
    )


def _besides(name: str, told: Mapping[str, _Storm]) -> Sequence[Beside]:
    if name != _QUIET or _BARE not in told:
        return []
    return [
        Beside(told[name].per_s / told[_BARE].per_s, "of bare ASGI"),
        Beside(told[_BARE].cpu_us / told[name].cpu_us, "by server CPU"),
    ]


def _row(name: str, storm: _Storm, besides: Sequence[Beside]) -> Row:
    values = [
        Value("rate", storm.per_s, "streams/s"),
        Value("server CPU each", storm.cpu_us, "µs"),
        Value("until the last is back", storm.all_back_ms, "ms"),
    ]
    if storm.worst_delay_ms:
        values.append(Value("worst delay of an edit", storm.worst_delay_ms, "ms"))
    return Row(name, values, besides)


def _fresh(kind: str, measure: Callable[[Server], Coroutine[None, None, _Storm]]) -> _Storm:
    with running(kind) as server:
        create(server.port, "bench", TEXT)
        return loaded(measure(server))


async def _resumed(server: Server, *, edited: bool) -> _Storm:
    async with listening(server.port, "bench") as stayed:
        edits = Edits("bench", stayed)
        last_heard = stayed.version.decode().removeprefix('W/\\"').removesuffix('\\"')
        for _ in range(_MISSED):
            await write_once(server.port, edits.calm())
        await until(lambda: stayed.acks == _MISSED)
        if not edited:
            return await _storm(server, last_heard)
        over = asyncio.Event()
        editing = asyncio.ensure_future(_edit_until(over, server, edits, stayed))
        storm = await _storm(server, last_heard)
        over.set()
        return storm._replace(worst_delay_ms=await editing)


async def _edit_until(over: asyncio.Event, server: Server, edits: Edits, stayed: Listener) -> float:
    """Edit at an even pace; return the longest that a listener waited for one, in ms."""
    sent_s: list[float] = []
    heard_s = stayed.acks_s = list[float]()
    loop = asyncio.get_running_loop()
    transport, _protocol = await loop.create_connection(asyncio.Protocol, "127.0.0.1", server.port)
    async for _ in paced(_EDITS_MAX, _EDITS_PER_S):
        sent_s.append(perf_counter())
        await until(lambda: len(sent_s) - len(heard_s) < UNDER_WAY_MAX)
        transport.write(edits.calm())
        if over.is_set():
            break
    await until(lambda: len(heard_s) == len(sent_s))
    transport.close()
    return max(came_s - at_s for came_s, at_s in zip(heard_s, sent_s, strict=True)) * 1000


async def _storm(server: Server, last_event_id: str = "") -> _Storm:
    loop = asyncio.get_running_loop()
    began_s, before_s = perf_counter(), server.cpu_s
    pairs = await asyncio.gather(
        *(
            loop.create_connection(partial(Sink, "bench", last_event_id), "127.0.0.1", server.port)
            for _ in range(_COUNT)
        )
    )
    sinks = [sink for _transport, sink in pairs]
    await until(lambda: not any(sink.awaited for sink in sinks))
    took_s, cpu_s = perf_counter() - began_s, server.cpu_s - before_s
    assert not any(sink.ended for sink in sinks)
    for transport, _sink in pairs:
        transport.close()
    return _Storm(_COUNT / took_s, cpu_s / _COUNT * 1e6, took_s * 1000, 0.0)
