"""Measures the server beside others of its kind, on this machine and in turns: `python -m tests.bench.peers`.

Gets Hocuspocus, y-websocket and pycrdt-websocket by name when it is first called. They keep documents that merge by
themselves (CRDTs), ours orders operations; what is compared is what people wait for: an edit that everybody sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median_low
from typing import Final

from tests.bench import command, page
from tests.bench.edits import TEXT
from tests.bench.hearing import (
    CANVASES,
    LISTENERS,
    calm_note,
    counted,
    delays_row,
    documents_measures,
    fan_out_measures,
)
from tests.bench.memory import IDLE_LISTENERS, idle_kb
from tests.bench.peers.install import install
from tests.bench.peers.servers import KINDS, peer_delays, peer_idle_kb, peer_rate, replayed
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan, Rate, calm_delays, in_turns, middle, middle_delays, rate_row
from tests.bench.servers import Server, running
from tests.bench.sessions import EDIT_US_GOAL, replay_us, shortened, there

OURS: Final = "canvas-server"
TIMES_BEST: Final = {1: 4.0, 100: 2.0, 500: 1.0}
"""Edits of batches and lines beside the best peer's, by the number of listeners; single ones are to be above it."""

_MANY: Final = f"{CANVASES} documents"
_ONE_BY_ONE: Final = "a transaction each"


def fan_out(plan: Plan) -> Group:
    """Measure one document with many listeners."""
    with running("canvas") as server:
        measures = {name: each for number in LISTENERS for name, each in _heard_by(number, server, plan).items()}
        rates = {name: middle(runs) for name, runs in in_turns(plan, measures).items()}
    goals = {f"{counted(number)}: {OURS}, 50": times for number, times in TIMES_BEST.items()}
    rows = [rate_row(name, "edits", rate, _beside_best(name, rates, goals)) for name, rate in rates.items()]
    note = (
        f"A text of {len(TEXT) // 1000} KB that keeps its size: each edit replaces 20 characters. Every listener hears "
        "every edit; the author is one of them. Peers have one author with 200 edits under way and keep all in memory; "
        "ours has 32 authors with one each or 4 with 50, and writes to SQLite. "
        f" Medians of {plan.rounds} runs of {plan.seconds:g} s, in turns."
    )
    return Group("Beside peers: one document", note, rows)


def _heard_by(listeners: int, server: Server, plan: Plan) -> Mapping[str, Callable[[], Rate]]:
    title = counted(listeners)
    ours = fan_out_measures(server, listeners, plan)
    return {
        **{f"{title}: {kind}": partial(peer_rate, kind, plan, listeners=listeners) for kind in KINDS},
        **{name.replace(": ", f": {OURS}, "): measure for name, measure in ours.items()},
    }


def documents(plan: Plan) -> Group:
    """Measure many documents at once."""
    with running("canvas") as server:
        measures: dict[str, Callable[[], Rate]] = {
            **{f"{_MANY}: {kind}": partial(peer_rate, kind, plan, documents=CANVASES) for kind in KINDS},
            **{f"{_MANY}: {OURS}, {name}": each for name, each in documents_measures(server, plan).items()},
        }
        rates = {name: middle(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [rate_row(name, "edits", rate, _beside_best(name, rates, {})) for name, rate in rates.items()]
    return Group(f"Beside peers: {_MANY}", "Each with one author, who hears the edits.", rows)


def _beside_best(name: str, rates: Mapping[str, Rate], goals: Mapping[str, float]) -> Sequence[Beside]:
    title, _, what = name.partition(": ")
    if not what.startswith(OURS):
        return []
    peers = {kind: rates[f"{title}: {kind}"].per_s for kind in KINDS if f"{title}: {kind}" in rates}
    if not peers:
        return []
    best = max(peers, key=peers.__getitem__)
    goal = next((times for begin, times in goals.items() if name.startswith(begin)), 1.0)
    return [Beside(rates[name].per_s / peers[best], f"times {best}", goal)]


def delays(plan: Plan) -> Group:
    """Measure how long a calm edit takes to reach every listener."""
    with running("canvas") as server:
        measures = {
            f"{counted(number)}: {kind}": partial(peer_delays, kind, plan, number)
            if kind in KINDS
            else partial(calm_delays, server, number, plan)
            for number in LISTENERS
            for kind in (*KINDS, OURS)
        }
        told = {name: middle_delays(runs) for name, runs in in_turns(plan, measures).items()}
    rows = []
    for name, each in told.items():
        title, _, what = name.partition(": ")
        peers = {kind: told[f"{title}: {kind}"].p99_ms for kind in KINDS if f"{title}: {kind}" in told}
        best = min(peers, key=peers.__getitem__, default="")
        share = [Beside(each.p99_ms / peers[best], f"times the p99 of {best}", 1, at_most=True)] if peers else []
        rows.append(delays_row(name, each, share if what == OURS else ()))
    return Group("Beside peers: delay at 100 edits a second", calm_note(), rows)


def memory(plan: Plan) -> Group:
    """Measure what an idle listener costs."""
    measures = {kind: partial(peer_idle_kb, kind, IDLE_LISTENERS) for kind in KINDS} | {
        OURS: partial(idle_kb, "canvas")
    }
    told = {name: median_low(runs) for name, runs in in_turns(plan, measures).items()}
    rows = [Row(name, [Value("resident", kb, "KB")]) for name, kb in told.items()]
    return Group("Beside peers: an idle listener", f"By {IDLE_LISTENERS} listeners.", rows)


def sessions(plan: Plan) -> Group:
    """Measure recorded sessions, edit by edit."""
    measures = {name: each for trace in there() for name, each in _replays(trace, plan).items()}
    costs = {name: min(runs) for name, runs in in_turns(plan, measures).items()}
    rows = []
    for name, us in costs.items():
        title, _, what = name.partition(": ")
        others = [
            cost for other, cost in costs.items() if other.startswith(title) and other.endswith("transaction each")
        ]
        besides = [Beside(us, "µs an edit", EDIT_US_GOAL, at_most=True)] if what == OURS else []
        if what == OURS and others:
            besides.append(Beside(us / min(others), f"times the best with {_ONE_BY_ONE}", 1, at_most=True))
        rows.append(Row(name, [Value("an edit", us, "µs")], besides))
    note = "Processor time. Ours decides and applies each edit in scope `range`, and makes the event that is told."
    return Group("Beside peers: recorded sessions", note, rows)


def _replays(name: str, plan: Plan) -> Mapping[str, Callable[[], float]]:
    trace = shortened(name, plan)
    return {
        f"{name}: {OURS}": partial(replay_us, trace, "range"),
        f"{name}: pycrdt, {_ONE_BY_ONE}": lambda: replayed("pycrdt", trace).transactions_us,
        f"{name}: pycrdt, told as updates": lambda: replayed("pycrdt", trace).updates_us,
        f"{name}: Yjs, {_ONE_BY_ONE}": lambda: replayed("Yjs", trace).transactions_us,
        f"{name}: Yjs, told as updates": lambda: replayed("Yjs", trace).updates_us,
    }


GROUPS: Final[command.Makers] = {
    "fan-out": fan_out,
    "delays": delays,
    "documents": documents,
    "memory": memory,
    "sessions": sessions,
}


if __name__ == "__main__":
    install()
    command.run("tests.bench.peers", __doc__, GROUPS, {}, page.PEERS)
