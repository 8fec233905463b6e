"""Memory: what an idle listener and an open canvas cost the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median_low
from typing import Final

import uvloop

from tests.bench.edits import TEXT, Edits
from tests.bench.listeners import Sink, listening, sinking
from tests.bench.load import create, write_once
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, in_turns
from tests.bench.servers import Server, running

IDLE: Final = "an idle listener"
IDLE_KB_GOAL: Final = 12

_IDLE_BARE: Final = "an idle listener of bare ASGI"
_OPEN: Final = f"an open canvas of {len(TEXT) // 1000} KB, edited once"
IDLE_LISTENERS: Final = 900
_CANVASES: Final = 200
_WARM: Final = 50
"""Listeners or canvases before the first that counts."""


def memory(plan: Plan) -> Group:
    """Measure memory, with a new server for each figure."""
    measures: dict[str, Callable[[], float]] = {
        IDLE: partial(idle_kb, "canvas"),
        _IDLE_BARE: partial(idle_kb, "bare"),
        _OPEN: _open_kb,
    }
    told = {name: median_low(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [Row(name, [Value("resident", kb, "KB")], _besides(name, told)) for name, kb in told.items()]
    note = f"By {IDLE_LISTENERS} listeners and {_CANVASES} canvases; the kernel's buffers are not in it."
    return Group("Memory", note, rows)


def _besides(name: str, told: Mapping[str, float]) -> Sequence[Beside]:
    if name == IDLE:
        ceiling = [Beside(told[IDLE] / told[_IDLE_BARE], "times bare ASGI")] if _IDLE_BARE in told else []
        return [Beside(told[IDLE], "KB", IDLE_KB_GOAL, at_most=True), *ceiling]
    if name == _OPEN:
        return [Beside(told[_OPEN] * 1024 / len(TEXT), "times its text")]
    return []


def idle_kb(kind: str) -> float:
    """Return what an idle listener costs a server of a kind."""
    with running(kind) as server:
        create(server.port, "bench", TEXT)
        return uvloop.run(_idle_kb(server))


def _open_kb() -> float:
    with running("canvas") as server:
        uvloop.run(_open(server, "warm", _WARM))
        before_bytes = server.memory_bytes
        uvloop.run(_open(server, "open", _CANVASES))
        return (server.memory_bytes - before_bytes) / _CANVASES / 1024


async def _idle_kb(server: Server) -> float:
    async with sinking(server.port, partial(Sink, "bench"), _WARM):
        before_bytes = server.memory_bytes
        async with sinking(server.port, partial(Sink, "bench"), IDLE_LISTENERS):
            return (server.memory_bytes - before_bytes) / IDLE_LISTENERS / 1024


async def _open(server: Server, prefix: str, count: int) -> None:
    for number in range(count):
        ref = f"{prefix}-{number}"
        create(server.port, ref, TEXT)
        async with listening(server.port, ref) as listener:
            await write_once(server.port, Edits(ref, listener).single())
