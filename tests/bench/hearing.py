"""Listening: edits a second that reach every listener, the delay of calm ones, and many documents at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import (
    BATCHES,
    SINGLE,
    WAYS,
    Delays,
    Plan,
    Rate,
    calm_delays,
    delivered,
    in_turns,
    middle,
    middle_delays,
    rate_row,
)
from tests.bench.servers import Server, running

LISTENERS: Final = (1, 100, 500)
CANVASES: Final = 100
BATCHES_GOAL: Final = 100_000
"""Edits a second of 100 documents."""

_LOAD: Final = "All listeners and writers are one process: where it is busier than the server, the server can do more."


def fan_out(plan: Plan) -> Group:
    """Measure edits a second by the number of listeners."""
    with running("canvas") as server:
        measures = {name: each for number in LISTENERS for name, each in fan_out_measures(server, number, plan).items()}
        rates = {name: middle(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [rate_row(name, "edits", rate) for name, rate in rates.items()]
    return Group("One document, many listeners", f"Every listener hears every edit. {_LOAD}", rows)


def fan_out_measures(server: Server, listeners: int, plan: Plan) -> Mapping[str, Callable[[], Rate]]:
    """Return what is measured for a number of listeners, by its name."""
    return {
        f"{counted(listeners)}: {name}": partial(delivered, server, way, plan, writers=writers, listeners=listeners)
        for name, (way, writers) in WAYS.items()
    }


def delays(plan: Plan) -> Group:
    """Measure how long a calm edit takes to reach every listener."""
    with running("canvas") as server:
        measures = {counted(number): partial(calm_delays, server, number, plan) for number in LISTENERS}
        told = {name: middle_delays(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [delays_row(name, each) for name, each in told.items()]
    return Group("Delay at 100 edits a second", calm_note(), rows)


def documents(plan: Plan) -> Group:
    """Measure a hundred documents at once."""
    with running("canvas") as server:
        measures = documents_measures(server, plan)
        rates = {name: middle(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [
        rate_row(name, "edits", rate, [Beside(rate.per_s, "edits/s", BATCHES_GOAL)] if name == BATCHES else [])
        for name, rate in rates.items()
    ]
    return Group(f"{CANVASES} documents", f"Each of 52 KB, with one writer and one listener. {_LOAD}", rows)


def documents_measures(server: Server, plan: Plan) -> Mapping[str, Callable[[], Rate]]:
    """Return what is measured of many documents, by its name."""
    return {
        name: partial(delivered, server, WAYS[name][0], plan, writers=CANVASES, canvases=CANVASES)
        for name in (SINGLE, BATCHES)
    }


def delays_row(what: str, measured: Delays, besides: Sequence[Beside] = ()) -> Row:
    """Return delays as a row."""
    return Row(what, [Value("p50", measured.p50_ms, "ms"), Value("p99", measured.p99_ms, "ms")], besides)


def calm_note() -> str:
    """Return what to know when reading delays."""
    return "From just before an edit is sent until a listener has it; all deliveries to all listeners."


def counted(listeners: int) -> str:
    """Return a number of listeners in words."""
    return "1 listener" if listeners == 1 else f"{listeners} listeners"
