"""What others' edits cost a client that has many of its own pending, in JavaScript and in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter
from typing import Final

from canvas_server.client.changeset import Change, ChangeSet
from canvas_server.client.replica import Replica
from canvas_server.core.event import Ack
from canvas_server.core.splice import Splice
from tests.bench.report import Beside, Group, Row, Value
from tests.bench.runs import Plan
from tests.bench.servers import ROOT

PENDING: Final = 1_000
LINE: Final = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labo\n"
_TURNS: Final = 20
_SCRIPT: Final = ROOT / "tests" / "bench" / "rebase.mjs"


def rebasing(plan: Plan) -> Group:
    """Measure an edit of somebody else's over many pending ones."""
    node = shutil.which("node")
    costs = {} if node is None else {"JavaScript": _javascript(node, plan)}
    costs["Python"] = _python(plan)
    rows = [
        Row(name, [Value("an ack", ack_us, "µs")], [Beside(ack_us / copy_us, "times writing the places down")])
        for name, (copy_us, ack_us) in costs.items()
    ]
    text = f"{PENDING * len(LINE) // 1000} KB"
    note = f"One ack, with {PENDING} edits pending at as many places of a text of {text}; the lowest of all turns."
    return Group(f"Rebasing {PENDING} pending edits", note, rows)


def _javascript(node: str, plan: Plan) -> tuple[float, float]:
    command = [node, str(_SCRIPT), str(PENDING), str(plan.seconds)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return told["copy"], told["ack"]


def _python(plan: Plan) -> tuple[float, float]:
    replica = Replica(LINE * PENDING, _etag(0))
    for place in range(PENDING):
        at = place * (len(LINE) + 1)
        replica.edit(ChangeSet.of([Change(at, at, "x")]))
    places = [(place * 100, place * 100, "x") for place in range(PENDING)]
    acks = _acks()

    def copy() -> None:
        places[:] = [(start + 1, end + 1, insert) for start, end, insert in places]

    def ack() -> None:
        assert replica.take(next(acks)).kind == "applied"

    return _cost_us(copy, plan), _cost_us(ack, plan)


def _cost_us(act: Callable[[], None], plan: Plan) -> float:
    least_s = float("inf")
    end_s = perf_counter() + plan.seconds
    while (began_s := perf_counter()) < end_s:
        for _ in range(_TURNS):
            act()
        least_s = min(least_s, (perf_counter() - began_s) / _TURNS)
    return least_s * 1e6


def _acks() -> Iterator[Ack]:
    """Yield what another author does: a letter of one line, then of another."""
    for seq in count():
        at = ((seq * 7919) % PENDING) * len(LINE) + 5
        yield Ack(
            canvas="notes",
            op_id=f"other-{seq}",
            server_version=_etag(seq + 1),
            base_version=_etag(seq),
            changes=(Splice(at, at + 1, "y"),),
            action="replace",
            actor="other",
            client_id=None,
            kind="human",
            timestamp=0,
            rebased=False,
        )


def _etag(seq: int) -> str:
    return f'W/"{seq}-{seq:016x}"'
